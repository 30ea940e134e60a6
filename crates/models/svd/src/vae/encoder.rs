//! Images to moments, each image by itself.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::attention::PixelAttention;
use super::config::Config;
use super::epsilon::EPS;
use crate::resnet::{GROUPS, ResBlock, SAME};
use parallax_nn::Tap;
use parallax_nn::ops::{Activation, Conv2d, GroupNorm, Padding};

/// Stride 2, with zeros below and to the right only.
const HALVE: (usize, Padding) = (2, Padding { before: 0, after: 1 });

#[derive(Debug, Clone)]
struct Level {
    resnets: Vec<ResBlock>,
    downsampler: Option<Conv2d>,
}

#[derive(Debug, Clone)]
pub(super) struct Encoder {
    conv_in: Conv2d,
    levels: Vec<Level>,
    mid_resnets: [ResBlock; 2],
    mid_attention: PixelAttention,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Encoder {
    pub(super) fn new(cfg: &Config, vb: VarBuilder) -> Result<Self> {
        let deepest = cfg.deepest()?;
        let widths = &cfg.block_out_channels;
        let mut levels = Vec::with_capacity(widths.len());
        let mut inputs = widths[0];
        for (i, &outputs) in widths.iter().enumerate() {
            let vb = vb.pp("down_blocks").pp(i);
            let mut resnets = Vec::with_capacity(cfg.layers_per_block);
            for j in 0..cfg.layers_per_block {
                resnets.push(ResBlock::new(inputs, outputs, None, EPS, vb.pp("resnets").pp(j))?);
                inputs = outputs;
            }
            let downsampler = (i + 1 < widths.len())
                .then(|| Conv2d::new(outputs, outputs, 3, HALVE, vb.pp("downsamplers.0.conv")))
                .transpose()?;
            levels.push(Level { resnets, downsampler });
        }
        let mid =
            |i: usize| ResBlock::new(deepest, deepest, None, EPS, vb.pp("mid_block.resnets").pp(i));
        Ok(Self {
            conv_in: Conv2d::new(cfg.in_channels, widths[0], 3, SAME, vb.pp("conv_in"))?,
            levels,
            mid_resnets: [mid(0)?, mid(1)?],
            mid_attention: PixelAttention::new(deepest, vb.pp("mid_block.attentions.0"))?,
            conv_norm_out: GroupNorm::new(GROUPS, deepest, EPS, vb.pp("conv_norm_out"))?,
            conv_out: Conv2d::new(deepest, 2 * cfg.latent_channels, 3, SAME, vb.pp("conv_out"))?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, tap: &mut Tap) -> Result<Tensor> {
        let mut x = self.conv_in.forward(x)?;
        tap("encoder.conv_in", &x)?;
        for (i, level) in self.levels.iter().enumerate() {
            for (j, resnet) in level.resnets.iter().enumerate() {
                x = resnet.forward(&x, None)?;
                tap(&format!("encoder.down_blocks.{i}.resnets.{j}"), &x)?;
            }
            if let Some(conv) = &level.downsampler {
                x = conv.forward(&x)?;
                tap(&format!("encoder.down_blocks.{i}.downsamplers.0"), &x)?;
            }
        }
        x = self.mid_resnets[0].forward(&x, None)?;
        tap("encoder.mid_block.resnets.0", &x)?;
        x = self.mid_attention.forward(&x)?;
        tap("encoder.mid_block.attentions.0", &x)?;
        x = self.mid_resnets[1].forward(&x, None)?;
        tap("encoder.mid_block.resnets.1", &x)?;
        let x = self.conv_out.forward(&self.conv_norm_out.forward(&x, Activation::Silu)?)?;
        tap("encoder.conv_out", &x)?;
        Ok(x)
    }
}
