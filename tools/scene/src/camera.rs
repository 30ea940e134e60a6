//! A pair of parallel cameras whose images are shifted, so that depth and parallax are linear.
//!
//! A point at distance Z has inverse-distance depth d = (1/Z - 1/far) / (1/near - 1/far), and its
//! parallax between the eyes is (d - convergence) * range pixels: exactly what a warp by d does.

/// Which eye looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eye {
    /// The source view.
    Left,
    /// The view to be synthesised.
    Right,
}

/// The stereo geometry of a film.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stereo {
    /// Range of parallax from the farthest to the nearest depth, in percent of the width.
    pub disparity_percent: f32,
    /// The depth without parallax, 0 farthest, 1 nearest.
    pub convergence: f32,
}

impl Default for Stereo {
    fn default() -> Self {
        Self { disparity_percent: 2.0, convergence: 0.5 }
    }
}

/// Distance of depth 1, in scene units.
pub(crate) const NEAR: f32 = 2.0;
/// Distance of depth 0, in scene units.
pub(crate) const FAR: f32 = 16.0;
/// Focal length in widths of the picture.
pub(crate) const FOCAL: f32 = 0.9;

/// Normalised inverse-distance depth, 0 at [`FAR`] and 1 at [`NEAR`].
pub(crate) fn depth(z: f32) -> f32 {
    (z.recip() - FAR.recip()) / (NEAR.recip() - FAR.recip())
}

impl Stereo {
    /// Where the eye is to the right of the left one, in scene units, and how far its image is
    /// shifted to the right, in widths of the picture.
    pub(crate) fn placement(self, eye: Eye) -> (f32, f32) {
        if eye == Eye::Left {
            return (0.0, 0.0);
        }
        let range = self.disparity_percent / 100.0;
        let baseline = range / (FOCAL * (NEAR.recip() - FAR.recip()));
        (baseline, FOCAL * baseline / FAR + self.convergence * range)
    }
}
