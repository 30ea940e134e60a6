//! The seam to the networks.

use std::fmt::Debug;

use parallax_frame::Frame;

use crate::{Error, Plane};

/// Relative inverse depth of a shot's frames, in order; may lag by a bounded number of frames.
///
/// A network that sees one frame at a time answers every [`InverseDepth::push`] with one plane. One that
/// works in windows answers with none until a window is full, and with the rest at
/// [`InverseDepth::finish_shot`]. Nothing of one shot may count in the next.
pub trait InverseDepth: Send + Debug {
    /// Forgets the shot: the next frame begins another. Called before every shot, the first one too.
    fn begin_shot(&mut self);

    /// Takes the shot's next frame; gives planes for the earliest frames that have none.
    ///
    /// A plane covers the frame and may have any size. Larger is nearer, linear in inverse depth, of
    /// unknown scale and shift.
    ///
    /// # Errors
    /// As [`Session::push`](crate::Session::push).
    fn push(&mut self, frame: &Frame) -> Result<Vec<Plane>, Error>;

    /// The planes of the shot's remaining frames.
    ///
    /// # Errors
    /// As [`Session::push`](crate::Session::push).
    fn finish_shot(&mut self) -> Result<Vec<Plane>, Error>;

    /// Whether all planes of a shot share one scale and shift already, as those of video networks do.
    /// They are not aligned then. Defaults to not.
    fn consistent(&self) -> bool {
        false
    }
}

impl<T: InverseDepth + ?Sized> InverseDepth for Box<T> {
    fn begin_shot(&mut self) {
        (**self).begin_shot();
    }

    fn push(&mut self, frame: &Frame) -> Result<Vec<Plane>, Error> {
        (**self).push(frame)
    }

    fn finish_shot(&mut self) -> Result<Vec<Plane>, Error> {
        (**self).finish_shot()
    }

    fn consistent(&self) -> bool {
        (**self).consistent()
    }
}
