//! Which of the two stages an engine runs.

/// The stages that are wanted. Work is cut as for both, so that either computes what it does beside the
/// other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stages {
    /// Depth and inpainting.
    #[default]
    Both,
    /// Depth alone.
    Depth,
    /// Inpainting alone.
    Inpainting,
}

impl Stages {
    /// Whether depth is estimated.
    pub fn depth(self) -> bool {
        self != Self::Inpainting
    }

    /// Whether holes are inpainted.
    pub fn inpainting(self) -> bool {
        self != Self::Depth
    }
}
