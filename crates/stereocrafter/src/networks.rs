//! The networks of one stage and what both stages do with them.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, bail};
use parallax_svd::clip::{self, VisionModel};
use parallax_svd::preprocess::{self, clip_pixels};
use parallax_svd::scheduler::{self, Schedule};
use parallax_svd::unet::{self, Conditioning, Unet};
use parallax_svd::vae::{self, TemporalVae};
use parallax_weights::{Error, Part, config, part_dir};

use crate::windows::runs;

/// Noisy latents and image latents.
const VIDEO_CHANNELS: usize = 8;
/// Noisy latents, image latents and mask.
const INPAINTING_CHANNELS: usize = 9;

/// Called before every piece of work that takes long; its error stops the stage.
pub type Check<'a> = dyn FnMut() -> Result<()> + 'a;

/// One stage's networks, in f32, as its checkpoint has them.
#[derive(Debug, Clone)]
pub struct Networks {
    /// Image encoder.
    pub clip: VisionModel,
    /// Side of the image encoder's input, in pixels.
    pub clip_side: usize,
    /// Normalisation of the image encoder's input.
    pub preprocess: preprocess::Config,
    /// Images to latents and back.
    pub vae: TemporalVae,
    /// Its configuration.
    pub vae_config: vae::Config,
    /// The denoiser: 8 channels for depth, 9 for inpainting.
    pub unet: Unet,
    /// Noise schedule.
    pub scheduler: scheduler::Config,
}

impl Networks {
    /// Read the networks of a stage: image encoder, VAE and schedule from the Stable Video Diffusion
    /// folder `svd`, the denoiser from the folder `denoiser` of DepthCrafter ([`Part::DepthUnet`]) or
    /// StereoCrafter ([`Part::InpaintingUnet`]).
    ///
    /// # Errors
    /// As `parallax_weights` has them; a denoiser with other channels than `part` is named as such.
    pub fn open(
        svd: &Path,
        denoiser: &Path,
        part: Part,
        device: &Device,
    ) -> std::result::Result<Self, Error> {
        let weights = |root, part| parallax_weights::Checkpoint::open(&part_dir(root, part)?);
        let clip_config: clip::Config = config(svd, Part::ImageEncoder)?;
        let vae_config: vae::Config = config(svd, Part::Vae)?;
        let unet_config: unet::Config = config(denoiser, part)?;
        let (name, in_channels) = match part {
            Part::InpaintingUnet => ("the StereoCrafter UNet", INPAINTING_CHANNELS),
            _ => ("the DepthCrafter UNet", VIDEO_CHANNELS),
        };
        let unet_config = unet::Config { in_channels, ..unet_config };
        let dtype = DType::F32;
        Ok(Self {
            clip: weights(svd, Part::ImageEncoder)?.build(
                "the image encoder",
                dtype,
                device,
                |vb| VisionModel::new(&clip_config, vb),
            )?,
            clip_side: clip_config.image_size,
            preprocess: config(svd, Part::FeatureExtractor)?,
            vae: weights(svd, Part::Vae)?
                .build("the VAE", dtype, device, |vb| TemporalVae::new(&vae_config, vb))?,
            unet: weights(denoiser, part)?
                .build(name, dtype, device, |vb| Unet::new(&unet_config, vb))?,
            vae_config,
            scheduler: config(svd, Part::Scheduler)?,
        })
    }

    /// Frames (N, 3, H, W) in [-1, 1] to one context token each, (N, D).
    pub fn embed(&self, frames: &Tensor) -> Result<Tensor> {
        self.clip.forward(&clip_pixels(&self.preprocess, frames, self.clip_side)?)
    }

    /// Frames (N, 3, H, W) in [-1, 1] to the modes of their latents (N, 4, h, w), unscaled, `chunk` at a
    /// time; the chunk does not change the result.
    pub fn encode(&self, frames: &Tensor, chunk: usize, check: &mut Check) -> Result<Tensor> {
        in_runs(frames, chunk, check, |part| self.vae.encode(part))
    }

    /// Latents (N, 4, h, w) to images (N, 3, H, W) around [-1, 1], `chunk` at a time. Each sees `context`
    /// more frames on either side; the reference has none.
    pub fn decode(
        &self,
        latents: &Tensor,
        chunk: usize,
        context: usize,
        check: &mut Check,
    ) -> Result<Tensor> {
        let latents = (latents / self.vae_config.scaling_factor)?;
        let frames = latents.dim(0)?;
        let mut parts = Vec::new();
        for run in runs(frames, chunk) {
            check()?;
            let start = run.start.saturating_sub(context);
            let length = frames.min(run.end + context) - start;
            let images = self.vae.decode(&latents.narrow(0, start, length)?, length)?;
            parts.push(images.narrow(0, run.start - start, run.len())?);
        }
        Tensor::cat(&parts, 0)
    }

    pub(crate) fn schedule(&self, steps: usize) -> Result<Schedule> {
        Schedule::new(&self.scheduler, steps)
    }
}

/// `work` on `chunk` frames at a time, joined.
pub(crate) fn in_runs(
    frames: &Tensor,
    chunk: usize,
    check: &mut Check,
    work: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut parts = Vec::new();
    for run in runs(frames.dim(0)?, chunk) {
        check()?;
        parts.push(work(&frames.narrow(0, run.start, run.len())?)?);
    }
    if parts.is_empty() {
        bail!("no frames");
    }
    Tensor::cat(&parts, 0)
}

/// What a clip is denoised under.
pub(crate) struct Guided<'a> {
    pub(crate) unet: &'a Unet,
    pub(crate) schedule: &'a Schedule,
    /// Channels beside the noisy latents, (1, F, C, h, w); zeros without condition.
    pub(crate) extra: &'a Tensor,
    pub(crate) conditional: &'a Conditioning,
    /// The condition of zeroed tokens, and the guidance scale; none costs half.
    pub(crate) unconditional: Option<(&'a Conditioning, f64)>,
}

impl Guided<'_> {
    /// Latents (1, F, 4, h, w) at the first noise level to clean ones.
    pub(crate) fn denoise(&self, latents: Tensor, check: &mut Check) -> Result<Tensor> {
        let mut latents = latents;
        let blind = self.extra.zeros_like()?;
        for (step, &timestep) in self.schedule.timesteps.iter().enumerate() {
            check()?;
            let scaled = self.schedule.scale_input(&latents, step)?;
            // (1, F, 4, h, w) + (1, F, C, h, w) -> (1, F, 4 + C, h, w)
            let predict = |extra: &Tensor, conditioning| {
                self.unet.forward(&Tensor::cat(&[&scaled, extra], 2)?, timestep, conditioning)
            };
            let mut velocity = predict(self.extra, self.conditional)?;
            if let Some((conditioning, scale)) = self.unconditional {
                let without = predict(&blind, conditioning)?;
                velocity = (&without + ((velocity - &without)? * scale)?)?;
            }
            latents = self.schedule.step(&velocity, step, &latents)?;
        }
        Ok(latents)
    }
}
