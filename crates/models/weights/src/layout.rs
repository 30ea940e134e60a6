//! Where the parts of the family lie in the folders that people have.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::error::Error;

/// A part of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// CLIP vision tower, in a Stable Video Diffusion folder.
    ImageEncoder,
    /// Temporal VAE, in a Stable Video Diffusion folder.
    Vae,
    /// Noise schedule, in a Stable Video Diffusion folder.
    Scheduler,
    /// Normalisation of the image encoder's input, in a Stable Video Diffusion folder.
    FeatureExtractor,
    /// The 8-channel network of a Stable Video Diffusion folder.
    VideoUnet,
    /// DepthCrafter's network: its repository is flat, some copies have it under `unet`.
    DepthUnet,
    /// StereoCrafter's 9-channel network: `unet_diffusers` of its repository.
    InpaintingUnet,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::ImageEncoder => "image encoder",
            Self::Vae => "VAE",
            Self::Scheduler => "scheduler",
            Self::FeatureExtractor => "feature extractor",
            Self::VideoUnet => "Stable Video Diffusion UNet",
            Self::DepthUnet => "DepthCrafter UNet",
            Self::InpaintingUnet => "StereoCrafter UNet",
        }
    }

    /// Sub-folder (empty for the folder itself) and file that marks it, in order of preference.
    fn places(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::ImageEncoder => &[("image_encoder", "config.json")],
            Self::Vae => &[("vae", "config.json")],
            Self::Scheduler => &[("scheduler", "scheduler_config.json")],
            Self::FeatureExtractor => &[("feature_extractor", "preprocessor_config.json")],
            Self::VideoUnet => &[("unet", "config.json")],
            Self::DepthUnet => &[("", "config.json"), ("unet", "config.json")],
            Self::InpaintingUnet => {
                &[("unet_diffusers", "config.json"), ("", "config.json"), ("unet", "config.json")]
            }
        }
    }

    fn find(self, root: &Path) -> Result<(PathBuf, PathBuf), Error> {
        for (folder, file) in self.places() {
            let dir = if folder.is_empty() { root.to_owned() } else { root.join(folder) };
            let marker = dir.join(file);
            if marker.is_file() {
                return Ok((dir, marker));
            }
        }
        let tried =
            self.places().iter().map(|(folder, file)| root.join(folder).join(file)).collect();
        Err(Error::NoPart { part: self.name(), root: root.to_owned(), tried })
    }
}

/// The folder of a part of the model at `root`.
pub fn part_dir(root: &Path, part: Part) -> Result<PathBuf, Error> {
    Ok(part.find(root)?.0)
}

/// The configuration of a part of the model at `root`.
pub fn config<T: DeserializeOwned>(root: &Path, part: Part) -> Result<T, Error> {
    let path = part.find(root)?.1;
    let text =
        fs::read_to_string(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    serde_json::from_str(&text)
        .map_err(|e| Error::Malformed { path, why: format!("{} configuration: {e}", part.name()) })
}
