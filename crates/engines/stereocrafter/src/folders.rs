//! Where an engine finds its models.

use std::path::{Path, PathBuf};

use parallax_svd::manifest;

/// Where the three models lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// Stable Video Diffusion, for its image encoder, VAE and schedule.
    pub svd: PathBuf,
    /// DepthCrafter.
    pub depth: PathBuf,
    /// StereoCrafter.
    pub inpainting: PathBuf,
}

impl Folders {
    /// The three folders in `root`, by the names of their repositories.
    pub fn within(root: &Path) -> Self {
        Self {
            svd: root.join(manifest::SVD.folder()),
            depth: root.join(manifest::DEPTHCRAFTER.folder()),
            inpainting: root.join(manifest::STEREOCRAFTER.folder()),
        }
    }
}
