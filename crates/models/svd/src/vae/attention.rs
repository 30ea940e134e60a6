//! Self-attention over the pixels of an image, one head as wide as the image has channels.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::epsilon::EPS;
use crate::resnet::GROUPS;
use parallax_nn::ops::{Activation, GroupNorm, Linear, attention};

#[derive(Debug, Clone)]
pub(super) struct PixelAttention {
    group_norm: GroupNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
}

impl PixelAttention {
    pub(super) fn new(channels: usize, vb: VarBuilder) -> Result<Self> {
        let square = |name: &str| Linear::new(channels, channels, vb.pp(name));
        Ok(Self {
            group_norm: GroupNorm::new(GROUPS, channels, EPS, vb.pp("group_norm"))?,
            q: square("to_q")?,
            k: square("to_k")?,
            v: square("to_v")?,
            out: square("to_out.0")?,
        })
    }

    /// (N, C, H, W) to the same, residual included.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n, c, h, w) = x.dims4()?;
        // (N, C, H, W) -> (N, H W, C)
        let tokens = |t: &Tensor| t.reshape((n, c, h * w))?.transpose(1, 2)?.contiguous();
        let y = tokens(&self.group_norm.forward(x, Activation::None)?)?;
        let y = attention(&self.q.forward(&y)?, &self.k.forward(&y)?, &self.v.forward(&y)?, 1)?;
        let y = self.out.forward_add(&y, &tokens(x)?)?;
        y.transpose(1, 2)?.contiguous()?.reshape((n, c, h, w))
    }
}
