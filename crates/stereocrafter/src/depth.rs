//! The first stage: video to depth.
//!
//! DepthCrafter `depthcrafter/depth_crafter_ppl.py` and StereoCrafter `depth_splatting_inference.py`. The
//! latents of the whole clip stay in memory until the end.

use candle_core::{Result, Tensor, bail};

use crate::networks::{Check, Guided, Networks};
use crate::noise::{Noise, Site};
use crate::size::Size;
use crate::windows::depth_windows;

/// Frames per second (not decremented, unlike the inpainter's) and motion bucket that the network is
/// told; the third id is the noise augmentation.
const FPS: f32 = 7.0;
const MOTION_BUCKET: f32 = 127.0;
/// Frames per call of the image encoder.
const EMBED_CHUNK: usize = 8;

/// Choices of a depth run; the defaults are StereoCrafter's.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthOptions {
    /// Denoising steps. Defaults to 8.
    pub steps: usize,
    /// Guidance scale; 1 and less means none and costs half. Defaults to 1.2.
    pub guidance: f64,
    /// Frames denoised together. Defaults to 70.
    pub window: usize,
    /// Frames that windows share. Defaults to 25.
    pub overlap: usize,
    /// Strength of the noise on the encoded frames. Defaults to 0.02.
    pub noise_augmentation: f64,
    /// Frames encoded and decoded together; decoding depends on it. Defaults to 8.
    pub codec_chunk: usize,
}

impl Default for DepthOptions {
    fn default() -> Self {
        Self {
            steps: 8,
            guidance: 1.2,
            window: 70,
            overlap: 25,
            noise_augmentation: 0.02,
            codec_chunk: 8,
        }
    }
}

/// Depth of clips, step by step.
#[derive(Debug, Clone)]
pub struct DepthStage {
    /// DepthCrafter's networks.
    pub networks: Networks,
    /// Choices.
    pub options: DepthOptions,
}

impl DepthStage {
    /// Frames (N, 3, H, W) in [-1, 1] to disparity-like depth (N, 1, H, W) in [0, 1], larger is nearer,
    /// not yet normalised.
    pub fn run(&self, frames: &Tensor, noise: &mut dyn Noise, check: &mut Check) -> Result<Tensor> {
        let tokens = self.embed(frames, check)?;
        let images = self.encode(frames, noise, check)?;
        let latents = self.denoise(&tokens, &images, noise, check)?;
        self.decode(&latents, check)
    }

    /// Context tokens (N, D) of the clean frames.
    pub fn embed(&self, frames: &Tensor, check: &mut Check) -> Result<Tensor> {
        crate::networks::in_runs(frames, EMBED_CHUNK, check, |part| self.networks.embed(part))
    }

    /// Image latents (N, 4, h, w) of the frames with their noise augmentation, which is drawn here.
    pub fn encode(
        &self,
        frames: &Tensor,
        noise: &mut dyn Noise,
        check: &mut Check,
    ) -> Result<Tensor> {
        let drawn = noise.draw(Site::default(), frames.dims(), frames.device())?;
        let frames = (frames + (drawn * self.options.noise_augmentation)?)?;
        self.networks.encode(&frames, self.options.codec_chunk, check)
    }

    /// Depth latents (N, 4, h, w) under tokens (N, D) and image latents (N, 4, h, w), window by window;
    /// the noise of a window is drawn here, once.
    ///
    /// Frames shared with the window before start from its result under the same noise as before, and
    /// end as a mix of both results, all old on the first and all new on the last.
    pub fn denoise(
        &self,
        tokens: &Tensor,
        images: &Tensor,
        noise: &mut dyn Noise,
        check: &mut Check,
    ) -> Result<Tensor> {
        let (frames, channels, height, width) = images.dims4()?;
        if tokens.dim(0)? != frames {
            bail!("{} tokens for {frames} frames", tokens.dim(0)?);
        }
        let DepthOptions { window, overlap, .. } = self.options;
        let schedule = self.networks.schedule(self.options.steps)?;
        let windows = depth_windows(frames, window, overlap)?;
        let window = window.min(frames);
        let noise =
            noise.draw(Site::default(), &[window, channels, height, width], images.device())?;
        let mut done: Option<Tensor> = None;
        for span in windows {
            let indices: Vec<u32> = span.clone().map(|f| (f % window) as u32).collect();
            let noise = noise.index_select(&Tensor::new(indices, images.device())?, 0)?;
            let mut start = (&noise * f64::from(schedule.init_noise_sigma))?;
            let length = span.len();
            if let Some(done) = done.as_ref().filter(|_| overlap > 0) {
                let old = done.narrow(0, span.start, overlap)?;
                let level = f64::from(schedule.sigmas[0]);
                let shared = (old + (noise.narrow(0, 0, overlap)? * level)?)?;
                let rest = start.narrow(0, overlap, length - overlap)?;
                start = Tensor::cat(&[&shared, &rest], 0)?;
            }
            let latents = self.window(
                &tokens.narrow(0, span.start, length)?,
                &images.narrow(0, span.start, length)?,
                start,
                check,
            )?;
            done = Some(match done {
                None => latents,
                Some(done) => stitch(&done, &latents, overlap)?,
            });
        }
        match done {
            Some(latents) => Ok(latents),
            None => bail!("no frames"),
        }
    }

    /// One window from its latents at the first noise level.
    fn window(
        &self,
        tokens: &Tensor,
        images: &Tensor,
        start: Tensor,
        check: &mut Check,
    ) -> Result<Tensor> {
        let ids = [vec![FPS, MOTION_BUCKET, self.options.noise_augmentation as f32]];
        let unet = &self.networks.unet;
        let tokens = tokens.unsqueeze(0)?.contiguous()?;
        let conditional = unet.condition_per_frame(&tokens, &ids)?;
        let unconditional = if self.options.guidance > 1.0 {
            Some(unet.condition_per_frame(&tokens.zeros_like()?, &ids)?)
        } else {
            None
        };
        let guided = Guided {
            unet,
            schedule: &self.networks.schedule(self.options.steps)?,
            extra: &images.unsqueeze(0)?,
            conditional: &conditional,
            unconditional: unconditional.as_ref().map(|c| (c, self.options.guidance)),
        };
        guided.denoise(start.unsqueeze(0)?, check)?.squeeze(0)
    }

    /// Latents (N, 4, h, w) to depth (N, 1, H, W) in [0, 1]: the mean of the decoded channels.
    pub fn decode(&self, latents: &Tensor, check: &mut Check) -> Result<Tensor> {
        let images = self.networks.decode(latents, self.options.codec_chunk, 0, check)?;
        ((images / 2.0)? + 0.5)?.clamp(0f32, 1f32)?.mean_keepdim(1)
    }
}

/// `done` and `latents` (F, 4, h, w), whose first `overlap` frames are its last.
fn stitch(done: &Tensor, latents: &Tensor, overlap: usize) -> Result<Tensor> {
    let (total, length) = (done.dim(0)?, latents.dim(0)?);
    let kept = done.narrow(0, 0, total - overlap)?;
    let fresh = latents.narrow(0, overlap, length - overlap)?;
    if overlap == 0 {
        return Tensor::cat(&[&kept, &fresh], 0);
    }
    let steps = overlap.saturating_sub(1).max(1) as f32;
    let weights: Vec<f32> = (0..overlap).map(|i| i as f32 / steps).collect();
    let weights = Tensor::from_vec(weights, (overlap, 1, 1, 1), done.device())?;
    let old = done.narrow(0, total - overlap, overlap)?;
    let new = latents.narrow(0, 0, overlap)?;
    let mixed = (old.broadcast_mul(&(1.0 - &weights)?)? + new.broadcast_mul(&weights)?)?;
    Tensor::cat(&[&kept, &mixed, &fresh], 0)
}

/// Depth (N, 1, h, w) bilinearly to `size`, corners not aligned, then to the whole of [0, 1] by its least
/// and greatest value over all frames. Constant depth becomes a half, the depth of the screen.
pub fn normalise(depth: &Tensor, size: Size) -> Result<Tensor> {
    let depth = depth.upsample_bilinear2d(size.height, size.width, false)?;
    let flat = depth.flatten_all()?;
    let (low, high) = (flat.min(0)?.to_scalar::<f32>()?, flat.max(0)?.to_scalar::<f32>()?);
    if !(low.is_finite() && high.is_finite()) {
        bail!("depth between {low} and {high}");
    }
    if high <= low {
        return Tensor::full(0.5f32, depth.shape(), depth.device());
    }
    (depth - f64::from(low))? / f64::from(high - low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn constant_depth_lies_on_the_screen() {
        let depth = Tensor::full(0.7f32, (2, 1, 3, 4), &Device::Cpu).unwrap();
        let out = normalise(&depth, Size::new(8, 6)).unwrap();
        assert_eq!(out.dims(), [2, 1, 6, 8]);
        assert!(out.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|&d| d == 0.5));
        assert!(normalise(&(depth * f64::NAN).unwrap(), Size::new(8, 6)).is_err());
    }

    #[test]
    fn shared_frames_go_from_old_to_new() {
        let run = |v: f32, n: usize| Tensor::full(v, (n, 1, 1, 1), &Device::Cpu).unwrap();
        let flat = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let out = stitch(&run(0.0, 4), &run(8.0, 4), 3).unwrap();
        assert_eq!(flat(out), [0., 0., 4., 8., 8.]);
        assert_eq!(flat(stitch(&run(0.0, 2), &run(8.0, 2), 1).unwrap()), [0., 0., 8.]);
        assert_eq!(flat(stitch(&run(0.0, 1), &run(8.0, 1), 0).unwrap()), [0., 8.]);
    }
}
