//! What every way of making the other eye has in common: frames in, stereo pairs out.

mod capabilities;
mod combined;
mod error;
mod estimator;
mod finite;
mod inpainter;
mod pair;
mod passthrough;
mod rendering;
mod run;
mod session;
mod stage;
mod warp_fill;
mod watch;

use parallax_frame::Frame;

pub use self::capabilities::Capabilities;
pub use self::combined::{Combined, WarpFills};
pub use self::error::Error;
pub use self::estimator::{DepthEstimator, DepthModel};
pub use self::finite::{NotFinite, Odd, Retry};
pub use self::inpainter::{InpaintModel, Inpainter, Placed};
pub use self::pair::StereoPair;
pub use self::passthrough::Copy;
pub use self::rendering::{Eyes, Fill, Geometry, Rendering, Warping};
pub use self::run::{Clip, Reach, Run};
pub use self::session::{DepthSession, StereoSession};
pub use self::stage::Stage;
pub use self::warp_fill::WarpFill;
pub use self::watch::Watch;

/// A way of making stereo pairs. Cheap to share; each clip gets a [`Session`] of its own.
pub trait Engine: Capabilities {
    /// The name a user selects it by.
    fn name(&self) -> &'static str;

    /// Starts on a clip.
    ///
    /// # Errors
    /// `Unsupported` when the clip or the geometry cannot be served.
    fn start(&self, clip: &Clip, run: &Run) -> Result<Box<dyn Session>, Error>;
}

/// One clip in progress. Pairs come out in the order of the frames, one for each, and may lag.
pub trait Session: Send {
    /// Takes a frame from right before the clip, of the clip's format and in order, before the
    /// first [`Session::push`]: it is remembered as one of the clip's would be, and gives no pair.
    /// Defaults to forgetting it.
    ///
    /// # Errors
    /// As [`Session::push`].
    fn lead_in(&mut self, _frame: Frame) -> Result<(), Error> {
        Ok(())
    }

    /// Takes the next frame and returns the pairs that are ready.
    ///
    /// # Errors
    /// After an error the session is of no further use.
    fn push(&mut self, frame: Frame) -> Result<Vec<StereoPair>, Error>;

    /// Takes a frame from right after the clip, of the clip's format and in order, after the last
    /// [`Session::push`]: the clip's last frames may look ahead to it, and it gives no pair. Returns the
    /// clip's pairs that are ready. Defaults to ignoring it.
    ///
    /// # Errors
    /// As [`Session::push`].
    fn lead_out(&mut self, _frame: Frame) -> Result<Vec<StereoPair>, Error> {
        Ok(Vec::new())
    }

    /// Ends the clip and returns pairs that remain, as many as are ready together. Called again until
    /// it returns none: an engine that can only begin at the end need not hold all pairs at once.
    ///
    /// # Errors
    /// As [`Session::push`].
    fn finish(&mut self) -> Result<Vec<StereoPair>, Error>;
}
