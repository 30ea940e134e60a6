//! What is decided shot by shot.

use serde::{Deserialize, Serialize};

use super::comfort::Comfort;
use crate::Error;

/// Frames that wait so that decisions can look ahead.
pub(crate) const LOOKAHEAD: usize = 8;

/// What is decided shot by shot.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Staging {
    /// Convergence from each shot's depth, in place of [`Geometry::convergence`].
    pub auto_convergence: bool,
    /// What parallax is limited to.
    pub comfort: Option<Comfort>,
    /// Black bars at the sides where something in front of the screen crosses the frame's edge.
    pub floating_window: bool,
}

impl Staging {
    /// # Errors
    /// `Unsupported` naming the field, what was found and what is allowed.
    pub fn validate(&self) -> Result<(), Error> {
        self.comfort.map_or(Ok(()), |comfort| comfort.validate())
    }

    /// Whether frames must wait for those after them.
    pub fn looks_ahead(&self) -> bool {
        self.auto_convergence || self.floating_window
    }
}
