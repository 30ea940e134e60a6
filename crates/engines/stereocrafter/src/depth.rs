//! The first stage: video to depth.
//!
//! DepthCrafter `depthcrafter/depth_crafter_ppl.py` and StereoCrafter `depth_splatting_inference.py`. The
//! latents of the whole clip stay in memory until the end.

use candle_core::{Result, Tensor, bail};

use crate::decoding::Decoding;
use crate::finite::{self, Network};
use crate::networks::{Check, Guided, Networks, Undecoded};
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
    /// Frames on either side that a decoded run sees besides. Defaults to 0.
    pub decode_context: usize,
    /// Tiles along each side of a decoded picture. Defaults to 1.
    pub decode_tiles: usize,
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
            decode_context: 0,
            decode_tiles: 1,
        }
    }
}

impl DepthOptions {
    /// Without guidance, as later releases of DepthCrafter have it, and decoded with context.
    pub fn preferred() -> Self {
        Self { guidance: 1.0, decode_context: 2, ..Self::default() }
    }
}

/// What one window leaves to the next.
#[derive(Debug, Clone, Default)]
pub struct Stitch {
    /// First frame of the next window, counted from the first window's.
    start: usize,
    /// Latents of the frames that the next window shares.
    shared: Option<Tensor>,
    /// Noise of the first window, where noise is a stream.
    noise: Option<Tensor>,
}

impl Stitch {
    /// First frame of the next window, counted from the first window's.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Frames that the next window shares with the last.
    pub fn shared(&self) -> usize {
        self.shared.as_ref().map_or(0, |shared| shared.dims()[0])
    }

    /// The latents that no window came to change, where a clip ended with the last window.
    pub fn finish(&mut self) -> Option<Tensor> {
        let shared = self.shared.take();
        self.start += shared.as_ref().map_or(0, |shared| shared.dims()[0]);
        shared
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
        let images = self.encode(frames, 0, noise, check)?;
        let latents = self.denoise(&tokens, &images, noise, check)?;
        self.decode(&latents, check)
    }

    /// Context tokens (N, D) of the clean frames.
    pub fn embed(&self, frames: &Tensor, check: &mut Check) -> Result<Tensor> {
        crate::networks::in_runs(frames, EMBED_CHUNK, check, |part| self.networks.embed(part))
    }

    /// Image latents (N, 4, h, w) of the frames from `first` of the clip on, with their noise
    /// augmentation, which is drawn here.
    pub fn encode(
        &self,
        frames: &Tensor,
        first: usize,
        noise: &mut dyn Noise,
        check: &mut Check,
    ) -> Result<Tensor> {
        let drawn = noise.draw(Site::frame(first), frames.dims(), frames.device())?;
        let frames = (frames + (drawn * self.options.noise_augmentation)?)?;
        self.networks.encode(&frames, self.options.codec_chunk, check)
    }

    /// Depth latents (N, 4, h, w) under tokens (N, D) and image latents (N, 4, h, w), window by window.
    pub fn denoise(
        &self,
        tokens: &Tensor,
        images: &Tensor,
        noise: &mut dyn Noise,
        check: &mut Check,
    ) -> Result<Tensor> {
        let frames = images.dim(0)?;
        if tokens.dim(0)? != frames {
            bail!("{} tokens for {frames} frames", tokens.dim(0)?);
        }
        let mut stitch = Stitch::default();
        let mut parts = Vec::new();
        for span in depth_windows(frames, self.options.window, self.options.overlap)? {
            let cut = |t: &Tensor| t.narrow(0, span.start, span.len());
            let last = span.end == frames;
            let (tokens, images) = (cut(tokens)?, cut(images)?);
            parts.push(self.advance(&mut stitch, (&tokens, &images), last, noise, check)?);
        }
        Tensor::cat(&parts, 0)
    }

    /// The next window, with tokens (F, D) and image latents (F, 4, h, w): latents of the frames that no
    /// later window changes, all of them in the `last`. Noise is counted from the first window's first
    /// frame.
    ///
    /// Frames shared with the window before start from its result under the same noise as before, and
    /// end as a mix of both results, all old on the first and all new on the last. Noise that is a
    /// stream is drawn once, for the first window, and repeated from there on. After an error the window
    /// can be run again, or a shorter one.
    ///
    /// # Errors
    /// When a network gave what are no numbers, too.
    pub fn advance(
        &self,
        stitch: &mut Stitch,
        (tokens, images): (&Tensor, &Tensor),
        last: bool,
        noise: &mut dyn Noise,
        check: &mut Check,
    ) -> Result<Tensor> {
        let (length, channels, height, width) = images.dims4()?;
        let schedule = self.networks.schedule(self.options.steps)?;
        let noise = if noise.placed() {
            let site = Site::frame(stitch.start);
            noise.draw(site, &[length, channels, height, width], images.device())?
        } else {
            let drawn = match &stitch.noise {
                Some(drawn) => drawn,
                None => {
                    let shape = [length, channels, height, width];
                    stitch.noise.insert(noise.draw(Site::frame(0), &shape, images.device())?)
                }
            };
            let period = drawn.dim(0)?;
            let frames = stitch.start..stitch.start + length;
            let indices: Vec<u32> = frames.map(|f| (f % period) as u32).collect();
            drawn.index_select(&Tensor::new(indices, images.device())?, 0)?
        };
        let mut start = (&noise * f64::from(schedule.init_noise_sigma))?;
        if let Some(shared) = &stitch.shared {
            let overlap = shared.dim(0)?;
            let level = f64::from(schedule.sigmas[0]);
            let old = (shared + (noise.narrow(0, 0, overlap)? * level)?)?;
            let rest = start.narrow(0, overlap, length - overlap)?;
            start = Tensor::cat(&[&old, &rest], 0)?;
        }
        let latents = self.window(tokens, images, start, check)?;
        let frames = stitch.start..stitch.start + length;
        let after = [(Network::ImageEncoder, tokens), (Network::Encoder, images)];
        finite::look(&latents, Network::Denoiser, frames, None, &after)?;
        let latents = match &stitch.shared {
            None => latents,
            Some(old) => mix(old, &latents)?,
        };
        let shared = if last { 0 } else { self.options.overlap };
        if shared >= length {
            bail!("a window of {length} frames that shares {shared}");
        }
        stitch.start += length - shared;
        stitch.shared =
            if shared == 0 { None } else { Some(latents.narrow(0, length - shared, shared)?) };
        latents.narrow(0, 0, length - shared)
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
        flatten(&self.networks.decode(latents, self.decoding(), check)?)
    }

    fn decoding(&self) -> Decoding {
        let DepthOptions { codec_chunk, decode_context, decode_tiles, .. } = self.options;
        Decoding { chunk: codec_chunk, context: decode_context, tiles: decode_tiles }
    }

    /// The next depth (F, 1, H, W) in [0, 1] of frames whose latents wait; see
    /// [`Networks::decode_next`].
    pub fn decode_next(
        &self,
        waiting: &mut Undecoded,
        ended: bool,
        check: &mut Check,
    ) -> Result<Option<Tensor>> {
        let images = self.networks.decode_next(waiting, ended, self.decoding(), check)?;
        images.map(|images| flatten(&images)).transpose()
    }
}

/// Images (N, 3, H, W) around [-1, 1] to the means of their channels in [0, 1].
fn flatten(images: &Tensor) -> Result<Tensor> {
    ((images / 2.0)? + 0.5)?.clamp(0f32, 1f32)?.mean_keepdim(1)
}

/// `latents` (F, 4, h, w), the first of which are mixed with `old` ones of the same frames.
fn mix(old: &Tensor, latents: &Tensor) -> Result<Tensor> {
    let (overlap, length) = (old.dim(0)?, latents.dim(0)?);
    let steps = overlap.saturating_sub(1).max(1) as f32;
    let weights: Vec<f32> = (0..overlap).map(|i| i as f32 / steps).collect();
    let weights = Tensor::from_vec(weights, (overlap, 1, 1, 1), old.device())?;
    let new = latents.narrow(0, 0, overlap)?;
    let mixed = (old.broadcast_mul(&(1.0 - &weights)?)? + new.broadcast_mul(&weights)?)?;
    Tensor::cat(&[&mixed, &latents.narrow(0, overlap, length - overlap)?], 0)
}

/// Depth (N, 1, h, w) bilinearly to `size`, corners not aligned, then to the whole of [0, 1] by its least
/// and greatest value over all frames. Constant depth becomes a half, the depth of the screen.
pub fn normalise(depth: &Tensor, size: Size) -> Result<Tensor> {
    let depth = enlarge(depth, size)?;
    spread(&depth, range(&depth)?)
}

/// Depth (N, 1, h, w) bilinearly to `size`, corners not aligned.
pub fn enlarge(depth: &Tensor, size: Size) -> Result<Tensor> {
    depth.upsample_bilinear2d(size.height, size.width, false)
}

/// The least and the greatest value.
///
/// # Errors
/// When one is not finite.
pub fn range(depth: &Tensor) -> Result<(f32, f32)> {
    let flat = depth.flatten_all()?;
    let (low, high) = (flat.min(0)?.to_scalar::<f32>()?, flat.max(0)?.to_scalar::<f32>()?);
    if !(low.is_finite() && high.is_finite()) {
        bail!("depth between {low} and {high}");
    }
    Ok((low, high))
}

/// `depth` with `low` moved to 0 and `high` to 1; a half where they are equal.
pub fn spread(depth: &Tensor, (low, high): (f32, f32)) -> Result<Tensor> {
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
        assert_eq!(flat(mix(&run(0.0, 3), &run(8.0, 4)).unwrap()), [0., 4., 8., 8.]);
        assert_eq!(flat(mix(&run(0.0, 1), &run(8.0, 2)).unwrap()), [0., 8.]);
    }
}
