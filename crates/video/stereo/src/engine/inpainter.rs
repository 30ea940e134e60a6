//! The seam between depth and the other eye.

use std::fmt::Debug;

use parallax_frame::Frame;

use super::capabilities::Capabilities;
use super::error::Error;
use super::pair::StereoPair;
use super::run::{Clip, Run};
use crate::Plane;
use crate::shot::Stand;

/// Where a frame belongs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placed {
    /// Where it stands relative to the screen.
    pub stand: Stand,
    /// Frames of its shot that lie before it.
    pub in_shot: usize,
    /// The clip's number of the shot's first frame; negative where that lies before the clip.
    pub shot_begins: i64,
}

/// Draws the other eye from frames with depth, and decides what hides where foreground has moved away.
/// Pairs come out in order, one for each frame, none later than its shot's end.
pub trait Inpainter: Send + Debug {
    /// Shows a frame of the shot before it is drawn, as soon as its depth is known; those around the clip
    /// are shown alike and never drawn. Defaults to not looking.
    ///
    /// # Errors
    /// As [`Session::push`](crate::Session::push).
    fn look(&mut self, _frame: &Frame, _depth: &Plane) -> Result<(), Error> {
        Ok(())
    }

    /// Takes the next frame of the clip.
    ///
    /// # Errors
    /// As [`Session::push`](crate::Session::push).
    fn draw(&mut self, frame: Frame, depth: &Plane, at: &Placed) -> Result<Vec<StereoPair>, Error>;

    /// Nothing more is known for now: what can be finished is. Defaults to nothing.
    ///
    /// # Errors
    /// As [`Session::push`](crate::Session::push).
    fn settle(&mut self) -> Result<Vec<StereoPair>, Error> {
        Ok(Vec::new())
    }

    /// Finishes the shot and forgets it.
    ///
    /// # Errors
    /// As [`Session::push`](crate::Session::push).
    fn end_shot(&mut self) -> Result<Vec<StereoPair>, Error>;
}

impl<T: Inpainter + ?Sized> Inpainter for Box<T> {
    fn look(&mut self, frame: &Frame, depth: &Plane) -> Result<(), Error> {
        (**self).look(frame, depth)
    }

    fn draw(&mut self, frame: Frame, depth: &Plane, at: &Placed) -> Result<Vec<StereoPair>, Error> {
        (**self).draw(frame, depth, at)
    }

    fn settle(&mut self) -> Result<Vec<StereoPair>, Error> {
        (**self).settle()
    }

    fn end_shot(&mut self) -> Result<Vec<StereoPair>, Error> {
        (**self).end_shot()
    }
}

/// A way of filling what the other eye sees alone. Cheap to share; each clip gets an inpainter of its own.
pub trait InpaintModel: Capabilities {
    /// Starts on a clip.
    ///
    /// # Errors
    /// `Unsupported` when the clip or the run cannot be served.
    fn inpainter(&self, clip: &Clip, run: &Run) -> Result<Box<dyn Inpainter>, Error>;
}
