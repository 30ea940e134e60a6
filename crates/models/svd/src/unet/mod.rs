//! The spatio-temporal UNet: noisy latents of a clip to the network's prediction.
//!
//! diffusers `models/unets/unet_spatio_temporal_condition.py` and `models/unets/unet_3d_blocks.py`;
//! DepthCrafter `depthcrafter/unet.py` for one context token per frame.
//!
//! Upsamplers return the size of the skip connection that they meet, so any latent size runs; the
//! 0.29.2 release, which doubles, agrees where sides are multiples of what the levels halve.

mod blocks;
mod config;
mod context;
mod prepared;
mod transformer;

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;

use self::blocks::{DownLevel, MidBlock, UpLevel};
pub use self::config::{Config, DownBlock, PerLevel, UpBlock};
pub use self::context::Conditioning;
use self::context::Context;
use crate::resnet::{GROUPS, SAME, activate};
use parallax_nn::embedding::{Embedding, sinusoidal};
use parallax_nn::ops::{Activation, Conv2d, GroupNorm};
use parallax_nn::{Tap, ignore};

/// Epsilon of `conv_norm_out`.
const OUT_EPS: f64 = 1e-5;
/// Width of the time embedding over that of the first level.
const TIME_EXPANSION: usize = 4;

/// The network.
#[derive(Debug, Clone)]
pub struct Unet {
    conv_in: Conv2d,
    time_embedding: Embedding,
    add_embedding: Embedding,
    down: Vec<DownLevel>,
    mid: MidBlock,
    up: Vec<UpLevel>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    cfg: Config,
    dtype: DType,
}

impl Unet {
    /// Names as in `unet/diffusion_pytorch_model.safetensors`.
    pub fn new(cfg: &Config, vb: VarBuilder) -> Result<Self> {
        let levels = cfg.levels()?;
        let widths = &cfg.block_out_channels;
        let time = TIME_EXPANSION * widths[0];
        let down = (0..levels)
            .map(|i| DownLevel::new(cfg, i, time, vb.pp("down_blocks").pp(i)))
            .collect::<Result<_>>()?;
        let up = (0..levels)
            .map(|i| UpLevel::new(cfg, i, time, vb.pp("up_blocks").pp(i)))
            .collect::<Result<_>>()?;
        let added = cfg.projection_class_embeddings_input_dim;
        Ok(Self {
            conv_in: Conv2d::new(cfg.in_channels, widths[0], 3, SAME, vb.pp("conv_in"))?,
            time_embedding: Embedding::new(widths[0], time, time, vb.pp("time_embedding"))?,
            add_embedding: Embedding::new(added, time, time, vb.pp("add_embedding"))?,
            down,
            mid: MidBlock::new(cfg, time, vb.pp("mid_block"))?,
            up,
            conv_norm_out: GroupNorm::new(GROUPS, widths[0], OUT_EPS, vb.pp("conv_norm_out"))?,
            conv_out: Conv2d::new(widths[0], cfg.out_channels, 3, SAME, vb.pp("conv_out"))?,
            cfg: cfg.clone(),
            dtype: vb.dtype(),
        })
    }

    /// Prepare clips of `frames` conditioned on tokens (B, T, D) shared by all frames (T = 1 in practice).
    ///
    /// `added_ids` (B rows): frames per second as trained (6 for the image-to-video and inpainting
    /// pipelines, 7 for DepthCrafter), motion bucket, noise augmentation strength.
    pub fn condition(
        &self,
        tokens: &Tensor,
        frames: usize,
        added_ids: &[Vec<f32>],
    ) -> Result<Conditioning> {
        self.prepare(&Context::per_clip(&self.typed(tokens)?, frames)?, added_ids, true)
    }

    /// DepthCrafter's conditioning: tokens (B, F, D), one for each frame. Attention over time sees the
    /// first frame's.
    pub fn condition_per_frame(
        &self,
        tokens: &Tensor,
        added_ids: &[Vec<f32>],
    ) -> Result<Conditioning> {
        self.prepare(&Context::per_frame(&self.typed(tokens)?)?, added_ids, true)
    }

    /// [`Unet::condition`] that leaves queries, keys and softmax in place even for a single token: slower,
    /// and equal. For tests and measurements.
    pub fn condition_unfolded(
        &self,
        tokens: &Tensor,
        frames: usize,
        added_ids: &[Vec<f32>],
    ) -> Result<Conditioning> {
        self.prepare(&Context::per_clip(&self.typed(tokens)?, frames)?, added_ids, false)
    }

    /// As the weights are.
    fn typed(&self, x: &Tensor) -> Result<Tensor> {
        x.to_dtype(self.dtype)
    }

    fn prepare(
        &self,
        context: &Context,
        added_ids: &[Vec<f32>],
        fold: bool,
    ) -> Result<Conditioning> {
        let batch = context.temporal.dim(0)?;
        let (width, total) =
            (self.cfg.addition_time_embed_dim, self.cfg.projection_class_embeddings_input_dim);
        if added_ids.len() != batch || added_ids.iter().any(|ids| ids.len() * width != total) {
            bail!("added ids {added_ids:?} for {batch} clips and {total} inputs of {width} per id");
        }
        let ids = added_ids.concat();
        // (B ids, width) -> (B, ids width)
        let sinusoids =
            sinusoidal(&ids, width, context.temporal.device())?.reshape((batch, total))?;
        let per_block = |ts: &[transformer::Transformer]| -> Result<Vec<_>> {
            ts.iter().map(|t| t.prepare(context, fold)).collect()
        };
        Ok(Conditioning {
            frames: context.frames,
            batch,
            added: self.add_embedding.forward(&sinusoids)?,
            down: self.down.iter().map(|l| per_block(&l.attentions)).collect::<Result<_>>()?,
            mid: per_block(&self.mid.attentions)?,
            up: self.up.iter().map(|l| per_block(&l.attentions)).collect::<Result<_>>()?,
        })
    }

    /// `sample` (B, F, C, H, W), scaled by the scheduler, at `timestep`, to a prediction (B, F, 4, H, W).
    ///
    /// Computes in the type of the weights and answers in that of `sample`.
    pub fn forward(
        &self,
        sample: &Tensor,
        timestep: f32,
        conditioning: &Conditioning,
    ) -> Result<Tensor> {
        self.forward_tapped(sample, timestep, conditioning, &mut ignore)
    }

    /// [`Unet::forward`], showing every block's output to `tap`.
    pub fn forward_tapped(
        &self,
        sample: &Tensor,
        timestep: f32,
        conditioning: &Conditioning,
        tap: &mut Tap,
    ) -> Result<Tensor> {
        let (batch, frames, channels, height, width) = sample.dims5()?;
        if (batch, frames) != (conditioning.batch, conditioning.frames)
            || channels != self.cfg.in_channels
        {
            bail!(
                "sample {:?} for {} clips of {} frames and {} channels",
                sample.dims(),
                conditioning.batch,
                conditioning.frames,
                self.cfg.in_channels
            );
        }
        let time = self.time_embedding.of(&[timestep], self.cfg.block_out_channels[0])?;
        tap("time_embedding", &time)?;
        tap("add_embedding", &conditioning.added)?;
        let active = activate(&conditioning.added.broadcast_add(&time)?)?;

        // (B, F, C, H, W) -> (B F, C, H, W)
        let x = self.typed(sample)?.reshape((batch * frames, channels, height, width))?;
        let mut x = self.conv_in.forward(&x)?;
        tap("conv_in", &x)?;
        let mut skips = vec![x.clone()];
        for (i, (level, prepared)) in self.down.iter().zip(&conditioning.down).enumerate() {
            x = level.forward(&x, frames, &active, prepared, &mut skips, &mut |n, t| {
                tap(&format!("down_blocks.{i}.{n}"), t)
            })?;
        }
        x = self.mid.forward(&x, frames, &active, &conditioning.mid, &mut |n, t| {
            tap(&format!("mid_block.{n}"), t)
        })?;
        for (i, (level, prepared)) in self.up.iter().zip(&conditioning.up).enumerate() {
            x = level.forward(&x, frames, &active, prepared, &mut skips, &mut |n, t| {
                tap(&format!("up_blocks.{i}.{n}"), t)
            })?;
        }
        let x = self.conv_out.forward(&self.conv_norm_out.forward(&x, Activation::Silu)?)?;
        x.reshape((batch, frames, self.cfg.out_channels, height, width))?.to_dtype(sample.dtype())
    }
}
