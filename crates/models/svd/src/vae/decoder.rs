//! Latents to images, with temporal blocks between the spatial ones and a last convolution over time.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::attention::PixelAttention;
use super::config::Config;
use super::epsilon::{EPS, TEMPORAL_EPS};
use crate::resnet::{Blend, GROUPS, SAME, Shape, SpatioTemporalResBlock};
use parallax_nn::Tap;
use parallax_nn::ops::{Activation, Conv2d, GroupNorm, TemporalConv};

#[derive(Debug, Clone)]
struct Level {
    resnets: Vec<SpatioTemporalResBlock>,
    upsampler: Option<Conv2d>,
}

#[derive(Debug, Clone)]
pub(super) struct Decoder {
    conv_in: Conv2d,
    mid_resnets: Vec<SpatioTemporalResBlock>,
    mid_attention: PixelAttention,
    levels: Vec<Level>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    time_conv_out: TemporalConv,
}

fn block(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<SpatioTemporalResBlock> {
    let shape = Shape {
        inputs,
        outputs,
        embedding: None,
        spatial_eps: EPS,
        temporal_eps: TEMPORAL_EPS,
        blend: Blend::Temporal,
    };
    SpatioTemporalResBlock::new(shape, vb)
}

impl Decoder {
    pub(super) fn new(cfg: &Config, vb: VarBuilder) -> Result<Self> {
        let deepest = cfg.deepest()?;
        let mid = vb.pp("mid_block");
        let mid_resnets = (0..cfg.layers_per_block)
            .map(|i| block(deepest, deepest, mid.pp("resnets").pp(i)))
            .collect::<Result<_>>()?;
        let count = cfg.block_out_channels.len();
        let mut levels = Vec::with_capacity(count);
        let mut inputs = deepest;
        for (i, &outputs) in cfg.block_out_channels.iter().rev().enumerate() {
            let vb = vb.pp("up_blocks").pp(i);
            let mut resnets = Vec::with_capacity(cfg.layers_per_block + 1);
            for j in 0..=cfg.layers_per_block {
                resnets.push(block(inputs, outputs, vb.pp("resnets").pp(j))?);
                inputs = outputs;
            }
            let upsampler = (i + 1 < count)
                .then(|| Conv2d::new(outputs, outputs, 3, SAME, vb.pp("upsamplers.0.conv")))
                .transpose()?;
            levels.push(Level { resnets, upsampler });
        }
        Ok(Self {
            conv_in: Conv2d::new(cfg.latent_channels, deepest, 3, SAME, vb.pp("conv_in"))?,
            mid_resnets,
            mid_attention: PixelAttention::new(deepest, mid.pp("attentions.0"))?,
            levels,
            conv_norm_out: GroupNorm::new(GROUPS, inputs, EPS, vb.pp("conv_norm_out"))?,
            conv_out: Conv2d::new(inputs, cfg.out_channels, 3, SAME, vb.pp("conv_out"))?,
            time_conv_out: TemporalConv::new(
                cfg.out_channels,
                cfg.out_channels,
                vb.pp("time_conv_out"),
            )?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, frames: usize, tap: &mut Tap) -> Result<Tensor> {
        let mut x = self.conv_in.forward(x)?;
        tap("decoder.conv_in", &x)?;
        for (i, resnet) in self.mid_resnets.iter().enumerate() {
            // The one attention lies before the second block; with one block it is never reached.
            if i == 1 {
                x = self.mid_attention.forward(&x)?;
                tap("decoder.mid_block.attentions.0", &x)?;
            }
            if i <= 1 {
                x = resnet.forward(&x, frames, None)?;
                tap(&format!("decoder.mid_block.resnets.{i}"), &x)?;
            }
        }
        for (i, level) in self.levels.iter().enumerate() {
            for (j, resnet) in level.resnets.iter().enumerate() {
                x = resnet.forward(&x, frames, None)?;
                tap(&format!("decoder.up_blocks.{i}.resnets.{j}"), &x)?;
            }
            if let Some(conv) = &level.upsampler {
                let (_, _, h, w) = x.dims4()?;
                x = conv.forward(&x.upsample_nearest2d(2 * h, 2 * w)?)?;
                tap(&format!("decoder.up_blocks.{i}.upsamplers.0"), &x)?;
            }
        }
        let x = self.conv_out.forward(&self.conv_norm_out.forward(&x, Activation::Silu)?)?;
        tap("decoder.conv_out", &x)?;
        self.time_conv_out.forward(&x, frames)
    }
}
