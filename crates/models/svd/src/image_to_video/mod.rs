//! Stable Video Diffusion itself: a picture to the clip that it begins.
//!
//! *Stable Video Diffusion* (Blattmann et al. 2023, arXiv:2311.15127); diffusers 0.42.1
//! `pipelines/stable_video_diffusion/pipeline_stable_video_diffusion.py`, step by step in
//! `tests/image_to_video.rs`. Latents, schedule, image encoder and the VAE's encoder are f32 whatever the type
//! of the denoiser and the decoder.

mod decode;
mod memory;
mod networks;
mod precision;
mod seeded;

use candle_core::{DType, Device, Result, Tensor, bail};

use self::decode::in_chunks;
pub use self::memory::Working;
pub use self::networks::Folder;
pub use self::precision::Precision;
pub use self::seeded::Stopped;
use crate::clip::VisionModel;
use crate::preprocess::{self, clip_pixels};
use crate::scheduler::{self, Schedule};
use crate::unet::{Conditioning, Unet};
use crate::vae::{self, TemporalVae};

/// Standard normal noise of a shape, f32, on the device of the networks.
pub type Noise<'a> = dyn FnMut(&[usize]) -> Result<Tensor> + 'a;
/// Called before every piece of work that takes long; its error ends the run.
pub type Watch<'a> = dyn FnMut(Work) -> Result<()> + 'a;

/// A piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The picture is looked at.
    Encoding,
    /// So many of the steps are done.
    Denoising(usize),
    /// So many of the frames are decoded.
    Decoding(usize),
}

/// What is asked for; the defaults are the published pipeline's but for `decode_chunk`.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Frames of the clip, at least 1. Defaults to 25.
    pub frames: usize,
    /// Denoising steps, at least 1. Defaults to 25.
    pub steps: usize,
    /// How much moves, 1 to 255 in training. Defaults to 127.
    pub motion_bucket: f32,
    /// Frames per second that the motion is meant for; the network is told one less. Defaults to 7.
    pub fps: f32,
    /// Strength of the noise on the encoded picture, in units of its [-1, 1]. Defaults to 0.02.
    pub noise_augmentation: f64,
    /// Guidance scale of the first and of the last frame; without guidance, at half the cost, where the larger
    /// is not above 1. Defaults to 1 and 3.
    pub guidance: (f64, f64),
    /// Frames decoded together, at least 1: pixels depend on it. Defaults to 8.
    pub decode_chunk: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            frames: 25,
            steps: 25,
            motion_bucket: 127.0,
            fps: 7.0,
            noise_augmentation: 0.02,
            guidance: (1.0, 3.0),
            decode_chunk: 8,
        }
    }
}

/// What a picture tells the denoiser.
#[derive(Debug, Clone)]
pub struct Condition {
    /// What the image encoder sees in it, (1, 1, D).
    pub token: Tensor,
    /// The mode of its latents with their noise, (1, 4, h, w), not multiplied by the VAE's factor.
    pub latents: Tensor,
}

/// A clip.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Red, green and blue of each frame, row by row.
    pub frames: Vec<Vec<u8>>,
    /// Frames that were decoded together: what was asked for, or less where memory ran out.
    pub decode_chunk: usize,
}

/// The networks.
#[derive(Debug, Clone)]
pub struct ImageToVideo {
    clip: VisionModel,
    clip_side: usize,
    preprocess: preprocess::Config,
    vae: TemporalVae,
    vae_config: vae::Config,
    unet: Unet,
    scheduler: scheduler::Config,
    trained_frames: usize,
    working: Working,
    device: Device,
}

impl ImageToVideo {
    /// The clip length that the denoiser was trained for: 14 or 25 of the published ones.
    pub fn trained_frames(&self) -> usize {
        self.trained_frames
    }

    /// What runs take beside the weights.
    pub fn working(&self) -> &Working {
        &self.working
    }

    /// The clip of a picture (1, 3, H, W) in [-1, 1], f32, whose sides are multiples of the pixels that a latent
    /// covers; with the published networks multiples of 64 fit every level.
    ///
    /// Draws the noise of the picture (1, 3, H, W), also where its strength is 0, and then that of the latents
    /// (1, F, 4, h, w).
    ///
    /// # Errors
    /// What `watch` returns, what the networks say, and where one of them gave what are no numbers.
    pub fn run(
        &self,
        picture: &Tensor,
        options: &Options,
        noise: &mut Noise,
        watch: &mut Watch,
    ) -> Result<Clip> {
        watch(Work::Encoding)?;
        let condition = self.condition(picture, options.noise_augmentation, noise)?;
        let latents = self.denoise(&condition, options, noise, watch)?;
        self.decode(&latents, options.decode_chunk, watch)
    }

    /// What the denoiser is told of a picture; see [`ImageToVideo::run`].
    pub fn condition(
        &self,
        picture: &Tensor,
        augmentation: f64,
        noise: &mut Noise,
    ) -> Result<Condition> {
        let (_, _, height, width) = picture.dims4()?;
        let step = self.vae_config.downsampling();
        if height % step != 0 || width % step != 0 {
            bail!("a picture of {width}x{height}; allowed are multiples of {step}");
        }
        let pixels = clip_pixels(&self.preprocess, picture, self.clip_side)?;
        let token = self.clip.forward(&pixels)?.unsqueeze(1)?;
        let noisy = (picture + (noise(picture.dims())? * augmentation)?)?;
        Ok(Condition { token, latents: self.vae.encode(&noisy)? })
    }

    /// Latents (F, 4, h, w), which are of the VAE's own size times its factor.
    pub fn denoise(
        &self,
        condition: &Condition,
        options: &Options,
        noise: &mut Noise,
        watch: &mut Watch,
    ) -> Result<Tensor> {
        let (_, channels, height, width) = condition.latents.dims4()?;
        let frames = options.frames;
        if frames == 0 {
            bail!("a clip of no frames");
        }
        let schedule = Schedule::new(&self.scheduler, options.steps)?;
        let shape = [1, frames, channels, height, width];
        let mut latents = (noise(&shape)? * f64::from(schedule.init_noise_sigma))?;
        let ids =
            [vec![options.fps - 1.0, options.motion_bucket, options.noise_augmentation as f32]];
        // (1, 4, h, w) -> (1, F, 4, h, w)
        let image = condition.latents.unsqueeze(1)?.repeat((1, frames, 1, 1, 1))?;
        let told = self.unet.condition(&condition.token, frames, &ids)?;
        let guidance = match options.guidance {
            (least, most) if least.max(most) > 1.0 => {
                let token = condition.token.zeros_like()?;
                let untold = self.unet.condition(&token, frames, &ids)?;
                Some((untold, image.zeros_like()?, ramp((least, most), frames, &latents)?))
            }
            _ => None,
        };
        for (step, &timestep) in schedule.timesteps.iter().enumerate() {
            watch(Work::Denoising(step))?;
            let scaled = schedule.scale_input(&latents, step)?;
            // (1, F, 4, h, w) + (1, F, 4, h, w) -> (1, F, 8, h, w)
            let predict = |image: &Tensor, told: &Conditioning| {
                self.unet.forward(&Tensor::cat(&[&scaled, image], 2)?, timestep, told)
            };
            let mut velocity = predict(&image, &told)?;
            if let Some((untold, nothing, scale)) = &guidance {
                let without = predict(nothing, untold)?;
                velocity = (&without + (velocity - &without)?.broadcast_mul(scale)?)?;
            }
            latents = schedule.step(&velocity, step, &latents)?;
        }
        all_numbers(&latents, "the denoiser")?;
        latents.squeeze(0)
    }

    /// Latents (F, 4, h, w) of [`ImageToVideo::denoise`] to frames, `chunk` at a time: each such run is a clip of
    /// its own for the layers that look along time. Where memory runs out all are decoded anew in runs of half
    /// the length, so that the frames are those of that length.
    pub fn decode(&self, latents: &Tensor, chunk: usize, watch: &mut Watch) -> Result<Clip> {
        let latents = (latents / self.vae_config.scaling_factor)?;
        let (frames, decode_chunk) = in_chunks(latents.dim(0)?, chunk, |run| {
            watch(Work::Decoding(run.start))?;
            let images = self.vae.decode(&latents.narrow(0, run.start, run.len())?, run.len())?;
            all_numbers(&images, "the decoder")?;
            bytes(&images)
        })?;
        Ok(Clip { frames, decode_chunk })
    }
}

/// Guidance scales (1, F, 1, 1, 1) from the first frame's to the last one's.
fn ramp((least, most): (f64, f64), frames: usize, like: &Tensor) -> Result<Tensor> {
    let last = frames.saturating_sub(1).max(1) as f64;
    let scale = |frame: usize| (least + (most - least) * frame as f64 / last) as f32;
    let scales: Vec<f32> = (0..frames).map(scale).collect();
    Tensor::from_vec(scales, (1, frames, 1, 1, 1), like.device())
}

/// Images (F, 3, H, W) around [-1, 1] as bytes, red, green and blue together.
fn bytes(images: &Tensor) -> Result<Vec<Vec<u8>>> {
    let levels = (((images / 2.0)? + 0.5)?.clamp(0f32, 1f32)? * 255.0)?;
    let (frames, _, _, _) = levels.dims4()?;
    // (F, 3, H, W) -> (F, H, W, 3)
    let levels = levels.permute((0, 2, 3, 1))?;
    (0..frames)
        .map(|frame| {
            let values = levels.get(frame)?.flatten_all()?.to_vec1::<f32>()?;
            Ok(values.into_iter().map(|level| level.round_ties_even() as u8).collect())
        })
        .collect()
}

/// Refuses what are no numbers: half precision that overflowed, or damaged weights.
fn all_numbers(values: &Tensor, of: &str) -> Result<()> {
    // A sum is a number only if every value is, and its own overflow takes values that are none of a picture.
    let sum = values.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?;
    if !sum.is_finite() {
        bail!("{of} gave what are no numbers");
    }
    Ok(())
}
