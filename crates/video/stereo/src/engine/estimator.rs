//! The seam between guessing depth and what is made of it.

use std::fmt::Debug;

use parallax_frame::Frame;

use super::capabilities::Capabilities;
use super::error::Error;
use super::run::{Clip, Run};
use crate::Plane;

/// Gives every frame of a clip a depth plane, in order; may lag by a bounded number of frames.
///
/// Depth is normalised: 0 farthest, 1 nearest, linear in disparity. A plane may have any size;
/// [`ViewSynthesis`](crate::ViewSynthesis) resamples it to the frame's.
pub trait DepthEstimator: Send + Debug {
    /// Takes a frame from right before the clip, before the first [`DepthEstimator::push`]. Defaults to
    /// taking it as one of the clip's.
    ///
    /// # Errors
    /// As [`DepthEstimator::push`].
    fn lead_in(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        self.push(frame)
    }

    /// Takes the next frame and returns the frames whose depth is ready.
    ///
    /// # Errors
    /// As [`Session::push`](crate::Session::push).
    fn push(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error>;

    /// Takes a frame from right after the clip, after the last [`DepthEstimator::push`]. Defaults to
    /// taking it as one of the clip's.
    ///
    /// # Errors
    /// As [`DepthEstimator::push`].
    fn lead_out(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        self.push(frame)
    }

    /// What else is ready after any of the others, asked for until it is nothing: whoever works in windows
    /// gives one at a time. Defaults to nothing.
    ///
    /// # Errors
    /// As [`DepthEstimator::push`].
    fn more(&mut self) -> Result<Vec<(Frame, Plane)>, Error> {
        Ok(Vec::new())
    }

    /// Ends the clip and returns the rest; called again, it returns nothing.
    ///
    /// # Errors
    /// As [`DepthEstimator::push`].
    fn finish(&mut self) -> Result<Vec<(Frame, Plane)>, Error>;

    /// Whether the frame shown at `pts`, one of those given out last, begins another shot than the one
    /// before it. `None` when the estimator does not look for shots.
    fn begins_shot(&self, pts: i64) -> Option<bool> {
        let _ = pts;
        None
    }

    /// Whether the shot is over with what was given out last, known before the next one's first frame
    /// comes out. Defaults to what [`DepthEstimator::begins_shot`] tells later.
    fn ends_shot(&self) -> bool {
        false
    }

    /// Whether frames that are given out together look ahead to each other, and to no others. Defaults to
    /// looking ahead as far as the run does.
    fn looks_ahead_in_windows(&self) -> bool {
        false
    }
}

impl<T: DepthEstimator + ?Sized> DepthEstimator for Box<T> {
    fn lead_in(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        (**self).lead_in(frame)
    }

    fn push(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        (**self).push(frame)
    }

    fn lead_out(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        (**self).lead_out(frame)
    }

    fn more(&mut self) -> Result<Vec<(Frame, Plane)>, Error> {
        (**self).more()
    }

    fn finish(&mut self) -> Result<Vec<(Frame, Plane)>, Error> {
        (**self).finish()
    }

    fn begins_shot(&self, pts: i64) -> Option<bool> {
        (**self).begins_shot(pts)
    }

    fn ends_shot(&self) -> bool {
        (**self).ends_shot()
    }

    fn looks_ahead_in_windows(&self) -> bool {
        (**self).looks_ahead_in_windows()
    }
}

/// A way of estimating depth. Cheap to share; each clip gets an estimator of its own.
pub trait DepthModel: Capabilities {
    /// Starts on a clip.
    ///
    /// # Errors
    /// `Unsupported` when the clip cannot be served.
    fn estimator(&self, clip: &Clip, run: &Run) -> Result<Box<dyn DepthEstimator>, Error>;
}
