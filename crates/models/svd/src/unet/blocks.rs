//! The levels of the UNet.
//!
//! Epsilons of the residual blocks' norms follow the kind of level (diffusers
//! `models/unets/unet_3d_blocks.py`): see [`ATTENDING_EPS`], [`PLAIN_EPS`], [`UP_EPS`].

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;

use super::config::{Config, DownBlock, UpBlock};
use super::prepared::Prepared;
use super::transformer::{Sizes, Transformer};
use crate::resnet::{Blend, SAME, Shape, SpatioTemporalResBlock};
use parallax_nn::Tap;
use parallax_nn::ops::{Conv2d, Padding};

/// `CrossAttnDownBlockSpatioTemporal`.
const ATTENDING_EPS: f64 = 1e-6;
/// `DownBlockSpatioTemporal` and `UNetMidBlockSpatioTemporal`.
const PLAIN_EPS: f64 = 1e-5;
/// Both kinds of up block.
const UP_EPS: f64 = 1e-6;

/// Stride 2, one pixel of zeros around.
const HALVE: (usize, Padding) = (2, Padding::same(1));

fn resnet(
    inputs: usize,
    outputs: usize,
    time: usize,
    eps: f64,
    vb: VarBuilder,
) -> Result<SpatioTemporalResBlock> {
    let shape = Shape {
        inputs,
        outputs,
        embedding: Some(time),
        spatial_eps: eps,
        temporal_eps: eps,
        blend: Blend::Spatial,
    };
    SpatioTemporalResBlock::new(shape, vb)
}

fn transformer(cfg: &Config, level: usize, vb: VarBuilder) -> Result<Transformer> {
    let sizes = Sizes {
        channels: cfg.block_out_channels[level],
        heads: cfg.num_attention_heads.at(level)?,
        context: cfg.cross_attention_dim.at(level)?,
        layers: cfg.transformer_layers_per_block.at(level)?,
    };
    Transformer::new(sizes, vb)
}

/// Residual blocks and transformers in alternation, then a halving.
#[derive(Debug, Clone)]
pub(super) struct DownLevel {
    resnets: Vec<SpatioTemporalResBlock>,
    pub(super) attentions: Vec<Transformer>,
    downsampler: Option<Conv2d>,
}

impl DownLevel {
    pub(super) fn new(cfg: &Config, level: usize, time: usize, vb: VarBuilder) -> Result<Self> {
        let outputs = cfg.block_out_channels[level];
        let mut inputs = cfg.block_out_channels[level.saturating_sub(1)];
        let attending = cfg.down_block_types[level] == DownBlock::CrossAttention;
        let eps = if attending { ATTENDING_EPS } else { PLAIN_EPS };
        let (mut resnets, mut attentions) = (Vec::new(), Vec::new());
        for j in 0..cfg.layers_per_block.at(level)? {
            resnets.push(resnet(inputs, outputs, time, eps, vb.pp("resnets").pp(j))?);
            inputs = outputs;
            if attending {
                attentions.push(transformer(cfg, level, vb.pp("attentions").pp(j))?);
            }
        }
        let downsampler = (level + 1 < cfg.block_out_channels.len())
            .then(|| Conv2d::new(outputs, outputs, 3, HALVE, vb.pp("downsamplers.0.conv")))
            .transpose()?;
        Ok(Self { resnets, attentions, downsampler })
    }

    /// Pushes what the way up will need onto `skips`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        frames: usize,
        active: &Tensor,
        prepared: &[Prepared],
        skips: &mut Vec<Tensor>,
        tap: &mut Tap,
    ) -> Result<Tensor> {
        let mut x = x.clone();
        for (j, resnet) in self.resnets.iter().enumerate() {
            x = resnet.forward(&x, frames, Some(active))?;
            tap(&format!("resnets.{j}"), &x)?;
            if let (Some(attention), Some(prepared)) = (self.attentions.get(j), prepared.get(j)) {
                x = attention.forward(&x, frames, prepared)?;
                tap(&format!("attentions.{j}"), &x)?;
            }
            skips.push(x.clone());
        }
        if let Some(conv) = &self.downsampler {
            x = conv.forward(&x)?;
            tap("downsamplers.0", &x)?;
            skips.push(x.clone());
        }
        Ok(x)
    }
}

/// A transformer between two residual blocks.
#[derive(Debug, Clone)]
pub(super) struct MidBlock {
    resnets: [SpatioTemporalResBlock; 2],
    pub(super) attentions: [Transformer; 1],
}

impl MidBlock {
    pub(super) fn new(cfg: &Config, time: usize, vb: VarBuilder) -> Result<Self> {
        let level = cfg.block_out_channels.len() - 1;
        let width = cfg.block_out_channels[level];
        let resnet = |i: usize| resnet(width, width, time, PLAIN_EPS, vb.pp("resnets").pp(i));
        Ok(Self {
            resnets: [resnet(0)?, resnet(1)?],
            attentions: [transformer(cfg, level, vb.pp("attentions.0"))?],
        })
    }

    pub(super) fn forward(
        &self,
        x: &Tensor,
        frames: usize,
        active: &Tensor,
        prepared: &[Prepared],
        tap: &mut Tap,
    ) -> Result<Tensor> {
        let mut x = self.resnets[0].forward(x, frames, Some(active))?;
        tap("resnets.0", &x)?;
        for (attention, prepared) in self.attentions.iter().zip(prepared) {
            x = attention.forward(&x, frames, prepared)?;
            tap("attentions.0", &x)?;
        }
        let x = self.resnets[1].forward(&x, frames, Some(active))?;
        tap("resnets.1", &x)?;
        Ok(x)
    }
}

/// Residual blocks over the joined skips, transformers in alternation, then an enlargement.
#[derive(Debug, Clone)]
pub(super) struct UpLevel {
    resnets: Vec<SpatioTemporalResBlock>,
    pub(super) attentions: Vec<Transformer>,
    upsampler: Option<Conv2d>,
}

impl UpLevel {
    /// `i` counts from the deepest level up.
    pub(super) fn new(cfg: &Config, i: usize, time: usize, vb: VarBuilder) -> Result<Self> {
        let widths = &cfg.block_out_channels;
        let level = widths.len() - 1 - i;
        let outputs = widths[level];
        let mut inputs = widths[(level + 1).min(widths.len() - 1)];
        let layers = cfg.layers_per_block.at(level)? + 1;
        let attending = cfg.up_block_types[i] == UpBlock::CrossAttention;
        let (mut resnets, mut attentions) = (Vec::new(), Vec::new());
        for j in 0..layers {
            // The last skip of a level was made by the level above it, or by the first convolution.
            let skip = if j + 1 == layers { widths[level.saturating_sub(1)] } else { outputs };
            resnets.push(resnet(inputs + skip, outputs, time, UP_EPS, vb.pp("resnets").pp(j))?);
            inputs = outputs;
            if attending {
                attentions.push(transformer(cfg, level, vb.pp("attentions").pp(j))?);
            }
        }
        let upsampler = (i + 1 < widths.len())
            .then(|| Conv2d::new(outputs, outputs, 3, SAME, vb.pp("upsamplers.0.conv")))
            .transpose()?;
        Ok(Self { resnets, attentions, upsampler })
    }

    /// Pops its share of `skips`, newest first.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        frames: usize,
        active: &Tensor,
        prepared: &[Prepared],
        skips: &mut Vec<Tensor>,
        tap: &mut Tap,
    ) -> Result<Tensor> {
        let mut x = x.clone();
        for (j, resnet) in self.resnets.iter().enumerate() {
            let Some(skip) = skips.pop() else { bail!("no skip connection left") };
            x = resnet.forward(&Tensor::cat(&[&x, &skip], 1)?, frames, Some(active))?;
            tap(&format!("resnets.{j}"), &x)?;
            if let (Some(attention), Some(prepared)) = (self.attentions.get(j), prepared.get(j)) {
                x = attention.forward(&x, frames, prepared)?;
                tap(&format!("attentions.{j}"), &x)?;
            }
        }
        if let (Some(conv), Some(next)) = (&self.upsampler, skips.last()) {
            let (_, _, h, w) = next.dims4()?;
            x = conv.forward(&x.upsample_nearest2d(h, w)?)?;
            tap("upsamplers.0", &x)?;
        }
        Ok(x)
    }
}
