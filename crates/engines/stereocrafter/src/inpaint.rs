//! The second stage: the warped view and its holes to the right eye.
//!
//! StereoCrafter `inpainting_inference.py` and `pipelines/stereo_video_inpainting.py`. Every chunk after
//! the first starts from results of the one before it, rounded to 8 bits.

use candle_core::{DType, Result, Tensor, bail};

use crate::colour::Fit as ColourFit;
use crate::decoding::Decoding;
use crate::finite::{self, Network};
use crate::networks::{Check, Guided, Networks, Undecoded};
use crate::noise::{Noise, Site};
use crate::size::{Size, cropped_size};
use crate::strip::{Strip, unit, with_known};
use crate::tiles::Tiling;
use crate::windows::Tail;

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
    /// Tiles along each side of a decoded picture. Defaults to 1.
    pub decode_tiles: usize,
    /// How the mask is reduced to latents. Defaults to the top left pixel.
    pub holes: Holes,
    /// Worked sizes are multiples of this, in pixels. Defaults to 128.
    pub step_px: usize,
    /// How other sizes become so. Defaults to cropping.
    pub fit: Fit,
    /// Where a chunk starts that would pass the end. Defaults to a stride before it.
    pub tail: Tail,
    /// Whether frames that two chunks share go from one result to the other, instead of keeping the
    /// first. Defaults to false.
    pub fade: bool,
    /// Whether results take the colours of what they continue. Defaults to false.
    pub fit_colours: bool,
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
            decode_tiles: 1,
            holes: Holes::TopLeft,
            step_px: 128,
            fit: Fit::Crop,
            tail: Tail::Stride,
            fade: false,
            fit_colours: false,
        }
    }
}

impl InpaintOptions {
    /// Where the reference loses quality, something else: every size is kept, no hole vanishes, decoding
    /// does not start afresh every second frame, chunks fade into each other and keep the colours. The
    /// guidance is off: at 1.01 it doubles the cost and hardly changes the result.
    pub fn preferred() -> Self {
        Self {
            guidance: 1.0,
            decode_chunk: 8,
            decode_context: 2,
            holes: Holes::Any,
            step_px: 64,
            fit: Fit::Pad,
            tail: Tail::Length,
            fade: true,
            fit_colours: true,
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
        let mut strip = Strip::new(0);
        strip.push(warped, &mask.mean_keepdim(1)?)?;
        let mut results = Vec::new();
        while let Some(frames) = self.next_chunk(&mut strip, true, noise, check)? {
            results.push(frames);
        }
        if results.is_empty() {
            bail!("no frames");
        }
        Tensor::cat(&results, 0)
    }

    /// The next right eyes (F, 3, h, w) of the frames on `strip` that no later frame changes, as
    /// [`InpaintStage::run`] has them; nothing until more frames are there or they have `ended`.
    ///
    /// After an error the chunk can be run again, with other options too.
    pub fn next_chunk(
        &self,
        strip: &mut Strip,
        ended: bool,
        noise: &mut dyn Noise,
        check: &mut Check,
    ) -> Result<Option<Tensor>> {
        let shape = (self.options.chunk, self.options.overlap);
        if shape.1 >= shape.0 {
            bail!("chunks of {} that share {}", shape.0, shape.1);
        }
        let total = strip.total();
        let Some(chunk) = strip.chunks.next(total, ended, shape, self.options.tail) else {
            return Ok(if ended { strip.held.take() } else { None });
        };
        let inputs = unit(&strip.frames(&chunk.frames)?)?;
        let size = Size::new(inputs.dim(3)?, inputs.dim(2)?);
        let (warped, mask) = (inputs.narrow(1, 0, 3)?, inputs.narrow(1, 3, 1)?);
        let (part, holes) = self.prepare(&warped, &mask)?;
        let part = match &strip.before {
            Some(before) if chunk.known > 0 => {
                with_known(&part, &self.fit(&unit(before)?)?, chunk.known)?
            }
            _ => part,
        };
        let first = strip.first + chunk.frames.start;
        let latents = self.latents(&part, &holes, first, noise, check)?;
        let out = self.decode_from(first, &latents, check)?;
        let (_, _, height, width) = out.dims4()?;
        let mut out =
            out.narrow(2, 0, height.min(size.height))?.narrow(3, 0, width.min(size.width))?;
        if self.options.fit_colours {
            let colours = match strip.colours {
                Some(colours) => colours,
                None => *strip.colours.insert(ColourFit::of(&out, &warped, &mask)?),
            };
            out = levels(&colours.apply(&out)?)?;
        }
        let results = chunk.results().len().min(total.saturating_sub(chunk.results().start));
        let mut fresh = out.narrow(0, chunk.known, results)?;
        if let Some(held) = strip.held.take() {
            let shared = held.dim(0)?;
            let Some(from) = chunk.known.checked_sub(shared) else {
                bail!("a chunk that shares {} fades over {shared}", chunk.known);
            };
            let again = out.narrow(0, from, shared)?;
            fresh = Tensor::cat(&[&levels(&faded(&held, &again)?)?, &fresh], 0)?;
        }
        strip.chunks.done(&chunk);
        strip.before = Some((&out * 255.0)?.round()?.to_dtype(DType::U8)?);
        strip.forget(chunk.frames.end);
        // What the end of the clip holds is held no longer.
        let held = if self.options.fade { self.options.overlap.min(results) } else { 0 };
        if held > 0 && !(ended && chunk.frames.end >= total) {
            let given = fresh.dim(0)? - held;
            strip.held = Some(fresh.narrow(0, given, held)?);
            fresh = fresh.narrow(0, 0, given)?;
        }
        Ok(Some(fresh))
    }

    /// Both fitted to the multiple that the options ask for, and the mask's channels averaged to one.
    pub fn prepare(&self, warped: &Tensor, mask: &Tensor) -> Result<(Tensor, Tensor)> {
        let (frames, _, height, width) = warped.dims4()?;
        let (mask_frames, _, mask_height, mask_width) = mask.dims4()?;
        if (frames, height, width) != (mask_frames, mask_height, mask_width) {
            bail!("mask {:?} for frames {:?}", mask.dims(), warped.dims());
        }
        Ok((self.fit(warped)?, self.fit(&mask.mean_keepdim(1)?)?))
    }

    /// Pictures (N, C, H, W) at the size that the network works at.
    fn fit(&self, pictures: &Tensor) -> Result<Tensor> {
        let (_, _, height, width) = pictures.dims4()?;
        let step = self.options.step_px;
        if self.options.fit == Fit::Pad {
            let size = self.options.tiling.padded(Size::new(width, height), step);
            let (below, right) = (size.height - height, size.width - width);
            return pictures.pad_with_same(2, 0, below)?.pad_with_same(3, 0, right);
        }
        let size = cropped_size(Size::new(width, height), step)?;
        pictures.narrow(2, 0, size.height)?.narrow(3, 0, size.width)?.contiguous()
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
                let number = (grid.rows.len() * grid.columns.len() > 1).then_some(tiles.len() + 1);
                let (frames, mask) = (cut(frames)?, cut(mask)?);
                tiles.push(self.tile((&frames, &mask), (site, number), noise, check)?);
            }
        }
        grid.merge(&tiles)
    }

    fn tile(
        &self,
        (frames, mask): (&Tensor, &Tensor),
        (site, number): (Site, Option<usize>),
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
        let latents = guided.denoise(start, check)?.squeeze(0)?;
        let after = [(Network::ImageEncoder, &token), (Network::Encoder, &extra)];
        let seen = site.frame..site.frame + count;
        finite::look(&latents, Network::Denoiser, seen, number, &after)?;
        if !noise.placed() {
            // The published scheduler draws noise at every step, which it uses for other methods only.
            for _ in 0..schedule.steps() {
                noise.skip(latents.dims())?;
            }
        }
        Ok(latents)
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
        self.decode_from(0, latents, check)
    }

    /// [`InpaintStage::decode`] for the frames from `first` on.
    fn decode_from(&self, first: usize, latents: &Tensor, check: &mut Check) -> Result<Tensor> {
        let InpaintOptions { decode_chunk, decode_context, decode_tiles, .. } = self.options;
        let decoding =
            Decoding { chunk: decode_chunk, context: decode_context, tiles: decode_tiles };
        let waiting = Undecoded::from(first);
        let images = self.networks.decode_all(waiting, latents, decoding, check)?;
        levels(&((images / 2.0)? + 0.5)?)
    }
}

/// Values in [0, 1] to the nearest multiples of 1/255; others are clipped.
fn levels(images: &Tensor) -> Result<Tensor> {
    round_ties_even(&(images.clamp(0f32, 1f32)? * 255.0)?)? / 255.0
}

/// From `before` to `after` over their frames (F, 3, H, W), neither of them alone.
fn faded(before: &Tensor, after: &Tensor) -> Result<Tensor> {
    let frames = before.dim(0)?;
    let weights: Vec<f32> = (1..=frames).map(|i| i as f32 / (frames + 1) as f32).collect();
    let weights = Tensor::from_vec(weights, (frames, 1, 1, 1), before.device())?;
    before.broadcast_mul(&(1.0 - &weights)?)? + after.broadcast_mul(&weights)?
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
}
