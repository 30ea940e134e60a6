//! The networks as they are published.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use parallax_weights::{Checkpoint, Error, Inventory, config};

use super::ImageToVideo;
use super::memory::Working;
use super::precision::Precision;
use crate::clip::{self, VisionModel};
use crate::manifest;
use crate::unet::{self, Unet};
use crate::vae::{self, TemporalVae};

/// Names of the tensors that decode begin with this.
const DECODER: &str = "decoder.";
/// Noisy latents and image latents.
const CHANNELS: usize = 8;

/// A folder of all parts. Configurations and headers were read, no weights.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    clip: (clip::Config, Checkpoint),
    vae: (vae::Config, Checkpoint),
    unet: (unet::Config, Checkpoint),
}

impl Folder {
    /// Looks at the folder of a model.
    ///
    /// # Errors
    /// As `parallax_weights` has them; a denoiser of other channels is named as such.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let of = |part| manifest::open(root, part);
        let clip = (config(root, manifest::IMAGE_ENCODER)?, of(manifest::IMAGE_ENCODER)?);
        let vae = (config(root, manifest::VAE)?, of(manifest::VAE)?);
        let unet: unet::Config = config(root, manifest::VIDEO_UNET)?;
        let unet = (unet::Config { in_channels: CHANNELS, ..unet }, of(manifest::VIDEO_UNET)?);
        let failed = |source| Error::Build { what: UNET.to_owned(), source };
        let inventory = Inventory::of(|vb| Unet::new(&unet.0, vb)).map_err(failed)?;
        unet.1.check(UNET, &inventory)?;
        Ok(Self { root: root.to_owned(), clip, vae, unet })
    }

    /// Bytes of all weights in memory.
    pub fn bytes(&self, precision: Precision) -> u64 {
        let decoding = |name: &str| name.starts_with(DECODER);
        let entries = self.vae.1.entries().iter();
        let vae = entries.map(|(name, entry)| {
            let dtype = if decoding(name) { precision.decoder } else { DType::F32 };
            entry.elements() * dtype.size_in_bytes() as u64
        });
        let clip = self.clip.1.plan(DType::F32).resident_bytes;
        clip + vae.sum::<u64>() + self.unet.1.plan(precision.denoiser).resident_bytes
    }

    /// Reads the networks.
    ///
    /// # Errors
    /// As `parallax_weights` has them.
    pub fn build(&self, device: &Device, precision: Precision) -> Result<ImageToVideo, Error> {
        let Self { root, clip, vae, unet } = self;
        let autoencoder =
            |vb: candle_nn::VarBuilder| TemporalVae::decoding_in(precision.decoder, &vae.0, vb);
        Ok(ImageToVideo {
            clip: clip.1.build("the image encoder", DType::F32, device, |vb| {
                VisionModel::new(&clip.0, vb)
            })?,
            clip_side: clip.0.image_size,
            preprocess: config(root, manifest::FEATURE_EXTRACTOR)?,
            vae: vae.1.build("the VAE", DType::F32, device, autoencoder)?,
            vae_config: vae.0.clone(),
            unet: unet.1.build(UNET, precision.denoiser, device, |vb| Unet::new(&unet.0, vb))?,
            scheduler: config(root, manifest::SCHEDULER)?,
            trained_frames: unet.0.num_frames,
            working: Working::of(&unet.0, &vae.0, precision),
            device: device.clone(),
        })
    }
}

const UNET: &str = "the Stable Video Diffusion UNet";
