//! From depth to disparity.

use super::comfort::Comfort;
use crate::Geometry;

/// How depth becomes disparity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placing {
    pub(super) geometry: Geometry,
    pub(super) comfort: Option<Comfort>,
}

impl Placing {
    /// Disparity in pixels at `width_px`; positive is in front of the screen.
    pub(super) fn disparity(self, depth: f32, width_px: f32) -> f32 {
        let disparity = self.geometry.disparity_px(depth.clamp(0.0, 1.0), width_px);
        self.comfort.map_or(disparity, |comfort| comfort.limit(disparity, width_px))
    }
}
