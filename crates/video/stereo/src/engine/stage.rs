//! The parts of an engine's work.

use std::fmt;

/// A part of an engine's work that a person can make sense of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Estimating depth.
    Depth,
    /// Moving pixels to the other eye.
    Warp,
    /// Inventing what the first eye did not see.
    Inpaint,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Depth => "depth",
            Stage::Warp => "warp",
            Stage::Inpaint => "inpaint",
        })
    }
}
