//! The networks of one stage and what both stages do with them.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, bail};
use parallax_svd::clip::{self, VisionModel};
use parallax_svd::manifest;
use parallax_svd::preprocess::{self, clip_pixels};
use parallax_svd::scheduler::{self, Schedule};
use parallax_svd::unet::{self, Conditioning, Unet};
use parallax_svd::vae::{self, TemporalVae};
use parallax_weights::{Checkpoint, Error, Inventory, Part, config};

use crate::decoding::{Decoding, tiled};
use crate::finite::{self, Network};
use crate::precision::Precision;
use crate::windows::runs;

/// Names of the tensors that decode begin with this.
pub(crate) const DECODER: &str = "decoder.";
/// Noisy latents and image latents.
const VIDEO_CHANNELS: usize = 8;
/// Noisy latents, image latents and mask.
const INPAINTING_CHANNELS: usize = 9;

/// Called before every piece of work that takes long; its error stops the stage.
pub type Check<'a> = dyn FnMut() -> Result<()> + 'a;

/// One stage's networks, as its checkpoint has them. All take and give f32.
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

/// What both stages share: everything but the denoiser.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    clip: VisionModel,
    clip_side: usize,
    preprocess: preprocess::Config,
    vae: TemporalVae,
    vae_config: vae::Config,
    scheduler: scheduler::Config,
}

impl Shared {
    /// Read image encoder, VAE and schedule from the Stable Video Diffusion folder `svd`.
    pub(crate) fn open(
        svd: &Path,
        device: &Device,
        precision: Precision,
    ) -> std::result::Result<Self, Error> {
        let clip_config: clip::Config = config(svd, manifest::IMAGE_ENCODER)?;
        let vae_config: vae::Config = config(svd, manifest::VAE)?;
        let encoder = manifest::open(svd, manifest::IMAGE_ENCODER)?;
        encoder.check_values(|_| DType::F32)?;
        let autoencoder = manifest::open(svd, manifest::VAE)?;
        let decoder = precision.decoder;
        autoencoder.check_values(
            |name| {
                if name.starts_with(DECODER) { decoder } else { DType::F32 }
            },
        )?;
        Ok(Self {
            clip: encoder.build("the image encoder", DType::F32, device, |vb| {
                VisionModel::new(&clip_config, vb)
            })?,
            clip_side: clip_config.image_size,
            preprocess: config(svd, manifest::FEATURE_EXTRACTOR)?,
            vae: Self::vae(svd, &vae_config, device, precision)?,
            vae_config,
            scheduler: config(svd, manifest::SCHEDULER)?,
        })
    }

    /// The same, with a VAE that decodes in f32.
    pub(crate) fn wide(&self, svd: &Path, device: &Device) -> std::result::Result<Self, Error> {
        let vae = Self::vae(svd, &self.vae_config, device, Precision::SINGLE)?;
        Ok(Self { vae, ..self.clone() })
    }

    fn vae(
        svd: &Path,
        config: &vae::Config,
        device: &Device,
        precision: Precision,
    ) -> std::result::Result<TemporalVae, Error> {
        manifest::open(svd, manifest::VAE)?.build("the VAE", DType::F32, device, |vb| {
            TemporalVae::decoding_in(precision.decoder, config, vb)
        })
    }

    /// The networks of the stage whose denoiser this is.
    pub(crate) fn with(&self, unet: Unet) -> Networks {
        let Self { clip, clip_side, preprocess, vae, vae_config, scheduler } = self.clone();
        Networks { clip, clip_side, preprocess, vae, vae_config, unet, scheduler }
    }
}

/// A denoiser on disk, not read yet.
#[derive(Debug)]
pub(crate) struct Denoiser {
    name: &'static str,
    pub(crate) config: unet::Config,
    pub(crate) checkpoint: Checkpoint,
}

impl Denoiser {
    /// Find the denoiser of a stage and check its tensors.
    ///
    /// # Errors
    /// A denoiser with other channels than `part` is named as such.
    pub(crate) fn find(root: &Path, part: Part) -> std::result::Result<Self, Error> {
        let config: unet::Config = config(root, part)?;
        let (name, in_channels) = match part {
            manifest::INPAINTING_UNET => ("the StereoCrafter UNet", INPAINTING_CHANNELS),
            _ => ("the DepthCrafter UNet", VIDEO_CHANNELS),
        };
        let config = unet::Config { in_channels, ..config };
        let checkpoint = manifest::open(root, part)?;
        let failed = |source| Error::Build { what: name.to_owned(), source };
        let inventory = Inventory::of(|vb| Unet::new(&config, vb)).map_err(failed)?;
        checkpoint.check(name, &inventory)?;
        Ok(Self { name, config, checkpoint })
    }

    /// Reads every value.
    ///
    /// # Errors
    /// When one is not a finite number, or is none in the denoiser's type.
    pub(crate) fn check_values(&self, precision: Precision) -> std::result::Result<(), Error> {
        self.checkpoint.check_values(|_| precision.denoiser)
    }

    pub(crate) fn load(
        &self,
        device: &Device,
        precision: Precision,
    ) -> std::result::Result<Unet, Error> {
        let build = |vb: candle_nn::VarBuilder| Unet::new(&self.config, vb);
        self.checkpoint.build(self.name, precision.denoiser, device, build)
    }
}

impl Networks {
    /// Read the networks of a stage: image encoder, VAE and schedule from the Stable Video Diffusion
    /// folder `svd`, the denoiser from the folder `denoiser` of DepthCrafter ([`manifest::DEPTH_UNET`]) or
    /// StereoCrafter ([`manifest::INPAINTING_UNET`]). They compute in f32 on the processor and in f16 on a GPU.
    ///
    /// # Errors
    /// As `parallax_weights` has them; a denoiser with other channels than `part` is named as such.
    pub fn open(
        svd: &Path,
        denoiser: &Path,
        part: Part,
        device: &Device,
    ) -> std::result::Result<Self, Error> {
        let failed = |source| Error::Build { what: "the networks".to_owned(), source };
        let precision = Precision::on(device, None).map_err(failed)?;
        let shared = Shared::open(svd, device, precision)?;
        let denoiser = Denoiser::find(denoiser, part)?;
        denoiser.check_values(precision)?;
        Ok(shared.with(denoiser.load(device, precision)?))
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

    /// Latents (N, 4, h, w) to images (N, 3, H, W) around [-1, 1].
    pub fn decode(
        &self,
        latents: &Tensor,
        decoding: Decoding,
        check: &mut Check,
    ) -> Result<Tensor> {
        self.decode_all(Undecoded::default(), latents, decoding, check)
    }

    /// [`Networks::decode`] of latents whose frames are counted as those of `waiting`, which is empty.
    pub(crate) fn decode_all(
        &self,
        mut waiting: Undecoded,
        latents: &Tensor,
        decoding: Decoding,
        check: &mut Check,
    ) -> Result<Tensor> {
        waiting.push(latents)?;
        let mut parts = Vec::new();
        while let Some(images) = self.decode_next(&mut waiting, true, decoding, check)? {
            parts.push(images);
        }
        if parts.is_empty() {
            bail!("no frames");
        }
        Tensor::cat(&parts, 0)
    }

    /// The next images of those whose latents wait, a chunk of them, or nothing until more latents are
    /// there or they have `ended`.
    ///
    /// After an error the latents still wait.
    ///
    /// # Errors
    /// When the decoder gave what are no numbers, too.
    pub fn decode_next(
        &self,
        waiting: &mut Undecoded,
        ended: bool,
        decoding: Decoding,
        check: &mut Check,
    ) -> Result<Option<Tensor>> {
        let Decoding { chunk, context, tiles } = decoding;
        let Some(latents) = &waiting.latents else { return Ok(None) };
        let total = waiting.first + latents.dim(0)?;
        let whole = waiting.next + chunk.max(1) + context <= total;
        if !whole && (!ended || waiting.next >= total) {
            return Ok(None);
        }
        let end = total.min(waiting.next + chunk.max(1));
        let start = waiting.first.max(waiting.next.saturating_sub(context));
        let length = total.min(end + context) - start;
        let part = latents.narrow(0, start - waiting.first, length)?;
        let part = (part / self.vae_config.scaling_factor)?;
        let mut tile = 0;
        let images = tiled(&part, tiles, |latents| {
            check()?;
            tile += 1;
            let images = self.vae.decode(latents, length)?;
            let number = (tiles > 1).then_some(tile);
            finite::look(&images, Network::Decoder, start..start + length, number, &[])?;
            Ok(images)
        })?;
        let images = images.narrow(0, waiting.next - start, end - waiting.next)?;
        let keep = end.saturating_sub(context).max(waiting.first);
        let rest = total - keep;
        waiting.latents = if rest == 0 {
            None
        } else {
            // A copy, so that what is done with does not stay in memory.
            Some(latents.narrow(0, keep - waiting.first, rest)?.copy()?)
        };
        (waiting.first, waiting.next) = (keep, end);
        Ok(Some(images))
    }

    pub(crate) fn schedule(&self, steps: usize) -> Result<Schedule> {
        Schedule::new(&self.scheduler, steps)
    }
}

/// Latents on their way to images, in order.
#[derive(Debug, Clone, Default)]
pub struct Undecoded {
    /// From frame `first` on; what was decoded already is context.
    latents: Option<Tensor>,
    first: usize,
    next: usize,
}

impl Undecoded {
    /// None yet, and the first will be frame `first`.
    pub(crate) fn from(first: usize) -> Self {
        Self { latents: None, first, next: first }
    }

    /// Adds latents (N, 4, h, w).
    pub fn push(&mut self, latents: &Tensor) -> Result<()> {
        self.latents = Some(match &self.latents {
            None => latents.clone(),
            Some(before) => Tensor::cat(&[before, latents], 0)?,
        });
        Ok(())
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
