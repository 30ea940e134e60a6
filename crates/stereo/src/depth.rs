//! Frames in, depth out: the seam between guessing depth and drawing the other eye.

use std::fmt::Debug;
use std::sync::Arc;

use parallax_frame::{Frame, VideoFormat};
use tokio_util::sync::CancellationToken;

use crate::{Error, Plane, Rendering, Run, Session, StereoPair, ViewSynthesis};

/// Gives every frame of a clip a depth plane, in order; may lag by a bounded number of frames.
///
/// Depth is normalised: 0 farthest, 1 nearest, linear in disparity. A plane may have any size;
/// [`ViewSynthesis`] resamples it to the frame's.
pub trait DepthEstimator: Send + Debug {
    /// Takes the next frame and returns the frames whose depth is ready.
    ///
    /// # Errors
    /// As [`Session::push`].
    fn push(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error>;

    /// Ends the clip and returns the rest; called again, it returns nothing.
    ///
    /// # Errors
    /// As [`Session::push`].
    fn finish(&mut self) -> Result<Vec<(Frame, Plane)>, Error>;
}

/// A [`Session`] out of any depth estimator: estimate, warp, fill. The eye that is not drawn is the
/// source.
#[derive(Debug)]
pub struct DepthSession<E> {
    estimator: E,
    synthesis: ViewSynthesis,
    rendering: Rendering,
    format: Arc<VideoFormat>,
    cancel: CancellationToken,
    /// Frames from before the clip whose depth is not out yet.
    before: usize,
}

impl<E: DepthEstimator> DepthSession<E> {
    /// A session for frames of `format`.
    ///
    /// # Errors
    /// `Unsupported` when the geometry is out of range.
    pub fn new(estimator: E, format: &Arc<VideoFormat>, run: &Run) -> Result<Self, Error> {
        Ok(Self {
            estimator,
            synthesis: ViewSynthesis::new(format, run.geometry)?,
            rendering: run.rendering,
            format: format.clone(),
            cancel: run.cancel.clone(),
            before: 0,
        })
    }

    fn take(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        self.check()?;
        if *frame.format() != self.format {
            return Err(Error::Unsupported(format!(
                "frame of {}x{} {} in a clip of {}x{} {}",
                frame.format().width,
                frame.format().height,
                frame.format().pixels.ffmpeg_name(),
                self.format.width,
                self.format.height,
                self.format.pixels.ffmpeg_name(),
            )));
        }
        self.estimator.push(frame)
    }

    fn render(&mut self, ready: Vec<(Frame, Plane)>) -> Result<Vec<StereoPair>, Error> {
        let mut pairs = Vec::with_capacity(ready.len());
        for (frame, depth) in ready {
            self.check()?;
            if self.before > 0 {
                self.before -= 1;
                continue;
            }
            pairs.push(self.synthesis.pair(frame, &depth, self.rendering)?);
        }
        Ok(pairs)
    }

    fn check(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl<E: DepthEstimator> Session for DepthSession<E> {
    fn lead_in(&mut self, frame: Frame) -> Result<(), Error> {
        self.before += 1;
        let ready = self.take(frame)?;
        self.render(ready).map(|_| ())
    }

    fn push(&mut self, frame: Frame) -> Result<Vec<StereoPair>, Error> {
        let ready = self.take(frame)?;
        self.render(ready)
    }

    fn finish(&mut self) -> Result<Vec<StereoPair>, Error> {
        self.check()?;
        let ready = self.estimator.finish()?;
        self.render(ready)
    }
}
