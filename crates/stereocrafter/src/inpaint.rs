//! The second stage: the warped view and its holes to the right eye.
//!
//! StereoCrafter `inpainting_inference.py` and `pipelines/stereo_video_inpainting.py`. Every chunk after
//! the first starts from results of the one before it, rounded to 8 bits.

use candle_core::{Result, Tensor, bail};

use crate::networks::{Check, Guided, Networks};
use crate::noise::{Noise, Site};
use crate::size::{Size, cropped_size};
use crate::tiles::Tiling;
use crate::windows::reference_chunks;

/// Frames per second less one, motion bucket and noise augmentation that the network is told.
const IDS: [f32; 3] = [6.0, 127.0, 0.0];
/// Mask values from here on are holes.
const HOLE: f32 = 0.5;

/// What a latent's mask is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holes {
    /// The top left of the pixels that the latent covers, as in the reference; thin holes can vanish.
    TopLeft,
    /// Any of them.
    Any,
}

/// What happens to a picture whose sides are not multiples of [`InpaintOptions::step_px`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It is cut on the right and below, as in the reference.
    Crop,
    /// It is continued there by its last column and row, and the result is cut back.
    Pad,
}

/// Choices of an inpainting run; the defaults are StereoCrafter's.
#[derive(Debug, Clone, PartialEq)]
pub struct InpaintOptions {
    /// Denoising steps. Defaults to 8.
    pub steps: usize,
    /// Guidance scale; 1 and less means none and costs half. Defaults to 1.01.
    pub guidance: f64,
    /// Frames inpainted together. Defaults to 23.
    pub chunk: usize,
    /// Results that a chunk starts from. Defaults to 3.
    pub overlap: usize,
    /// Spatial tiles.
    pub tiling: Tiling,
    /// Frames encoded together. Defaults to 5.
    pub encode_chunk: usize,
    /// Frames decoded together; the result depends on it. Defaults to 2.
    pub decode_chunk: usize,
    /// Frames on either side that a decoded run sees besides. Defaults to 0.
    pub decode_context: usize,
    /// How the mask is reduced to latents. Defaults to the top left pixel.
    pub holes: Holes,
    /// Worked sizes are multiples of this, in pixels. Defaults to 128.
    pub step_px: usize,
    /// How other sizes become so. Defaults to cropping.
    pub fit: Fit,
}

impl Default for InpaintOptions {
    fn default() -> Self {
        Self {
            steps: 8,
            guidance: 1.01,
            chunk: 23,
            overlap: 3,
            tiling: Tiling::default(),
            encode_chunk: 5,
            decode_chunk: 2,
            decode_context: 0,
            holes: Holes::TopLeft,
            step_px: 128,
            fit: Fit::Crop,
        }
    }
}

impl InpaintOptions {
    /// Where the reference loses quality, something else: every size is kept, no hole vanishes, and
    /// decoding does not start afresh every second frame.
    pub fn preferred() -> Self {
        Self {
            decode_chunk: 8,
            decode_context: 2,
            holes: Holes::Any,
            step_px: 64,
            fit: Fit::Pad,
            ..Self::default()
        }
    }
}

/// Right eyes of clips, step by step.
#[derive(Debug, Clone)]
pub struct InpaintStage {
    /// StereoCrafter's networks.
    pub networks: Networks,
    /// Choices.
    pub options: InpaintOptions,
}

impl InpaintStage {
    /// Warped frames (N, 3, H, W) and their mask (N, C, H, W), both in [0, 1], to right eyes (N, 3, h, w)
    /// in [0, 1] at the size that the fit leaves, each value a multiple of 1/255.
    pub fn run(
        &self,
        warped: &Tensor,
        mask: &Tensor,
        noise: &mut dyn Noise,
        check: &mut Check,
    ) -> Result<Tensor> {
        let (_, _, height, width) = warped.dims4()?;
        let (warped, mask) = self.prepare(warped, mask)?;
        let frames = warped.dim(0)?;
        let mut results = Vec::new();
        let mut before: Option<Tensor> = None;
        for chunk in reference_chunks(frames, self.options.chunk, self.options.overlap)? {
            let span = |t: &Tensor| stretch(t, chunk.frames.start, chunk.frames.len());
            let mut part = span(&warped)?;
            if let Some(before) = &before {
                part = with_known(&part, before, chunk.known)?;
            }
            let latents = self.latents(&part, &span(&mask)?, chunk.frames.start, noise, check)?;
            let out = self.decode(&latents, check)?;
            let fresh = chunk.results();
            let count = fresh.end.min(frames) - fresh.start;
            results.push(out.narrow(0, chunk.known, count)?);
            before = Some(out);
        }
        let out = Tensor::cat(&results, 0)?;
        let (_, _, out_height, out_width) = out.dims4()?;
        out.narrow(2, 0, out_height.min(height))?.narrow(3, 0, out_width.min(width))
    }

    /// Both fitted to the multiple that the options ask for, and the mask's channels averaged to one.
    pub fn prepare(&self, warped: &Tensor, mask: &Tensor) -> Result<(Tensor, Tensor)> {
        let (frames, _, height, width) = warped.dims4()?;
        let (mask_frames, _, mask_height, mask_width) = mask.dims4()?;
        if (frames, height, width) != (mask_frames, mask_height, mask_width) {
            bail!("mask {:?} for frames {:?}", mask.dims(), warped.dims());
        }
        let step = self.options.step_px;
        let mask = mask.mean_keepdim(1)?;
        if self.options.fit == Fit::Pad {
            let (below, right) = (missing(height, step), missing(width, step));
            let pad = |t: &Tensor| t.pad_with_same(2, 0, below)?.pad_with_same(3, 0, right);
            return Ok((pad(warped)?, pad(&mask)?));
        }
        let size = cropped_size(Size::new(width, height), step)?;
        let cut = |t: &Tensor| t.narrow(2, 0, size.height)?.narrow(3, 0, size.width)?.contiguous();
        Ok((cut(warped)?, cut(&mask)?))
    }

    /// One chunk (F, 3, H, W) from frame `first` on with its mask (F, 1, H, W), both in [0, 1], to latents
    /// (F, 4, h, w), tile by tile.
    pub fn latents(
        &self,
        frames: &Tensor,
        mask: &Tensor,
        first: usize,
        noise: &mut dyn Noise,
        check: &mut Check,
    ) -> Result<Tensor> {
        let (_, _, height, width) = frames.dims4()?;
        let downsampling = self.networks.vae_config.downsampling();
        let grid = self.options.tiling.grid(Size::new(width, height), downsampling)?;
        let mut tiles = Vec::with_capacity(grid.rows.len() * grid.columns.len());
        for rows in &grid.rows {
            for columns in &grid.columns {
                let cut = |t: &Tensor| {
                    t.narrow(2, rows.start, rows.len())?
                        .narrow(3, columns.start, columns.len())?
                        .contiguous()
                };
                let site = Site {
                    frame: first,
                    row: rows.start / downsampling,
                    column: columns.start / downsampling,
                };
                tiles.push(self.tile(&cut(frames)?, &cut(mask)?, site, noise, check)?);
            }
        }
        grid.merge(&tiles)
    }

    fn tile(
        &self,
        frames: &Tensor,
        mask: &Tensor,
        site: Site,
        noise: &mut dyn Noise,
        check: &mut Check,
    ) -> Result<Tensor> {
        let (token, extra) = self.condition(frames, mask, check)?;
        noise.skip(frames.dims())?;
        let (count, _, height, width) = extra.dims4()?;
        let channels = self.networks.vae_config.latent_channels;
        let start = noise.draw(site, &[count, channels, height, width], frames.device())?;
        let unet = &self.networks.unet;
        let token = token.unsqueeze(0)?;
        let ids = [IDS.to_vec()];
        let conditional = unet.condition(&token, count, &ids)?;
        let unconditional = if self.options.guidance > 1.0 {
            Some(unet.condition(&token.zeros_like()?, count, &ids)?)
        } else {
            None
        };
        let schedule = self.networks.schedule(self.options.steps)?;
        let guided = Guided {
            unet,
            schedule: &schedule,
            extra: &extra.unsqueeze(0)?,
            conditional: &conditional,
            unconditional: unconditional.as_ref().map(|c| (c, self.options.guidance)),
        };
        let start = (start.unsqueeze(0)? * f64::from(schedule.init_noise_sigma))?;
        guided.denoise(start, check)?.squeeze(0)
    }

    /// What the network sees of a tile besides noise: the token (1, D) of the first frame, and the frames'
    /// latents with the mask, (F, 5, h, w).
    ///
    /// The mask is 1 from a half on.
    pub fn condition(
        &self,
        frames: &Tensor,
        mask: &Tensor,
        check: &mut Check,
    ) -> Result<(Tensor, Tensor)> {
        let frames = ((frames * 2.0)? - 1.0)?;
        check()?;
        let token = self.networks.embed(&frames.narrow(0, 0, 1)?)?;
        let latents = self.networks.encode(&frames, self.options.encode_chunk, check)?;
        let (_, _, height, width) = latents.dims4()?;
        let holes = mask.ge(HOLE)?.to_dtype(latents.dtype())?;
        let holes = match self.options.holes {
            Holes::TopLeft => every(&every(&holes, 2, height)?, 3, width)?,
            Holes::Any => holes.max_pool2d(self.networks.vae_config.downsampling())?,
        };
        Ok((token, Tensor::cat(&[&latents, &holes], 1)?))
    }

    /// Latents (F, 4, h, w) to images (F, 3, H, W) in [0, 1], rounded to multiples of 1/255.
    pub fn decode(&self, latents: &Tensor, check: &mut Check) -> Result<Tensor> {
        let InpaintOptions { decode_chunk, decode_context, .. } = self.options;
        let images = self.networks.decode(latents, decode_chunk, decode_context, check)?;
        let levels = (((images / 2.0)? + 0.5)?.clamp(0f32, 1f32)? * 255.0)?;
        round_ties_even(&levels)? / 255.0
    }
}

/// What `side` lacks to a multiple of `step`.
fn missing(side: usize, step: usize) -> usize {
    side.next_multiple_of(step.max(1)) - side
}

/// To the nearest integer, halves to the even one.
fn round_ties_even(x: &Tensor) -> Result<Tensor> {
    let tie = (x - x.floor()?)?.eq(0.5f32)?;
    tie.where_cond(&((x / 2.0)?.round()? * 2.0)?, &x.round()?)
}

/// `count` values along `dim`, equally far apart from the first on.
fn every(t: &Tensor, dim: usize, count: usize) -> Result<Tensor> {
    let step = t.dim(dim)? / count;
    let indices = Tensor::arange_step(0u32, (count * step) as u32, step as u32, t.device())?;
    t.index_select(&indices, dim)
}

/// `length` frames of `t` from `start`, the last one repeated where there are no more.
fn stretch(t: &Tensor, start: usize, length: usize) -> Result<Tensor> {
    let frames = t.dim(0)?;
    let there = length.min(frames - start);
    let part = t.narrow(0, start, there)?;
    if there == length {
        return Ok(part);
    }
    let last = t.narrow(0, frames - 1, 1)?;
    let mut parts = vec![part];
    parts.resize(1 + length - there, last);
    Tensor::cat(&parts, 0)
}

/// `part` with its first `known` frames replaced by the last of `before`.
fn with_known(part: &Tensor, before: &Tensor, known: usize) -> Result<Tensor> {
    if known == 0 {
        return Ok(part.clone());
    }
    let old = before.narrow(0, before.dim(0)? - known, known)?;
    let rest = part.narrow(0, known, part.dim(0)? - known)?;
    Tensor::cat(&[&old, &rest], 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn halves_round_to_even() {
        let x = Tensor::new(&[0.5f32, 1.5, 2.5, 3.5, 2.4, 2.6, 255.0], &Device::Cpu).unwrap();
        let out = round_ties_even(&x).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(out, [0.0, 2.0, 2.0, 4.0, 2.0, 3.0, 255.0]);
    }

    #[test]
    fn short_clips_repeat_their_last_frame() {
        let t = Tensor::arange(0f32, 3.0, &Device::Cpu).unwrap();
        let values = |s, n| stretch(&t, s, n).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(0, 5), [0., 1., 2., 2., 2.]);
        assert_eq!(values(1, 2), [1., 2.]);
    }
}
