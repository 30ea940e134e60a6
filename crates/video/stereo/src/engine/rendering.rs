//! What is drawn, and how.

use serde::{Deserialize, Serialize};

use super::error::Error;

/// The stereo geometry that the viewer asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// Range of parallax from the farthest to the nearest depth, in percent of the frame's width;
    /// 0 to 10. (`max_disp` of the reference pipeline is half of this, in pixels.)
    pub disparity_percent: f32,
    /// The normalised depth (0 farthest, 1 nearest) that appears at the screen's distance;
    /// 0 to 1.
    pub convergence: f32,
}

impl Default for Geometry {
    fn default() -> Self {
        Self { disparity_percent: 2.0, convergence: 0.5 }
    }
}

impl Geometry {
    /// # Errors
    /// `Unsupported` naming the field, what was found and what is allowed.
    pub fn validate(&self) -> Result<(), Error> {
        let fields = [
            ("disparity_percent", self.disparity_percent, 10.0),
            ("convergence", self.convergence, 1.0),
        ];
        for (name, found, max) in fields {
            if !(0.0..=max).contains(&found) {
                return Err(Error::Unsupported(format!("{name} {found}: allowed is 0 to {max}")));
            }
        }
        Ok(())
    }

    /// Disparity, in pixels at `width_px`, of normalised `depth`; positive is in front of the
    /// screen and moves the right-eye sample left.
    pub fn disparity_px(&self, depth: f32, width_px: f32) -> f32 {
        (depth - self.convergence) * self.disparity_percent / 100.0 * width_px
    }
}

/// Which eyes are drawn; the other one is the source, sample for sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eyes {
    /// The right eye carries the whole parallax.
    #[default]
    Right,
    /// The left eye does: the source is the right eye.
    Left,
    /// Each eye carries half of it, and half of the holes.
    Both,
}

/// How pixels are taken to the other eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warping {
    /// Rows as surfaces, of which the nearest wins: [`crate::Warp`].
    #[default]
    Surface,
    /// As the published pipeline scatters them, in R'G'B', with its losses: [`crate::reference`]. Where
    /// nothing falls, the fill of the surface shows.
    Reference,
}

/// What hides in the holes that moved foreground uncovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// Nothing: holes are black, as the published pipeline hands them on.
    Black,
    /// The background's last sample, drawn across the hole: fastest, and streaks.
    Stretch,
    /// The background mirrored at the edge of the hole.
    Mirror,
    /// The background around the hole, running on along its own edges.
    #[default]
    Continue,
    /// The background around the hole, blurred more the farther it is.
    Smooth,
    /// What other frames of the shot saw there, if the camera stands still, and else as
    /// [`Fill::Continue`].
    Temporal,
}

/// How pairs are drawn from depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Rendering {
    /// Which eyes are drawn.
    pub eyes: Eyes,
    /// How pixels are taken there.
    pub warping: Warping,
    /// What holes are filled with.
    pub fill: Fill,
    /// In place of the right eye, its depth as a grey picture: white is nearest.
    pub depth_picture: bool,
}
