//! Residual blocks: over an image, over time, and the blend of both.
//!
//! diffusers `models/resnet.py`: `ResnetBlock2D`, `TemporalResnetBlock`, `SpatioTemporalResBlock`,
//! `AlphaBlender`. Activations are clips flattened to `(B F, C, H, W)` throughout.

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;

use parallax_nn::ops::{
    Activation, Conv2d, GroupNorm, Linear, Padding, TemporalConv, add_scaled, silu,
};

/// Groups of every group norm of the family.
pub(crate) const GROUPS: usize = 32;

/// 3x3, stride 1, one pixel of zeros around.
pub(crate) const SAME: (usize, Padding) = (1, Padding::same(1));
/// 1x1.
pub(crate) const POINT: (usize, Padding) = (1, Padding::same(0));

/// How wide, and how small an epsilon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Width of the time embedding; the VAE has none.
    pub(crate) embedding: Option<usize>,
    pub(crate) spatial_eps: f64,
    pub(crate) temporal_eps: f64,
    pub(crate) blend: Blend,
}

/// Which path the learned factor weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blend {
    /// `s * spatial + (1 - s) * temporal`, as in the UNet.
    Spatial,
    /// `(1 - s) * spatial + s * temporal`, as in the VAE (`switch_spatial_to_temporal_mix`).
    Temporal,
}

/// The weight of the spatial path: the sigmoid of a learned number.
pub(crate) fn spatial_weight(blend: Blend, vb: VarBuilder) -> Result<f64> {
    let factor = vb.get(1, "mix_factor")?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    let s = 1.0 / (1.0 + (-f64::from(factor.first().copied().unwrap_or_default())).exp());
    Ok(match blend {
        Blend::Spatial => s,
        Blend::Temporal => 1.0 - s,
    })
}

/// Norm, SiLU, 3x3 convolution, twice, around a skip.
#[derive(Debug, Clone)]
pub(crate) struct ResBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
}

impl ResBlock {
    pub(crate) fn new(
        inputs: usize,
        outputs: usize,
        embedding: Option<usize>,
        eps: f64,
        vb: VarBuilder,
    ) -> Result<Self> {
        let time_emb_proj =
            embedding.map(|e| Linear::new(e, outputs, vb.pp("time_emb_proj"))).transpose()?;
        let conv_shortcut = (inputs != outputs)
            .then(|| Conv2d::new(inputs, outputs, 1, POINT, vb.pp("conv_shortcut")))
            .transpose()?;
        Ok(Self {
            norm1: GroupNorm::new(GROUPS, inputs, eps, vb.pp("norm1"))?,
            conv1: Conv2d::new(inputs, outputs, 3, SAME, vb.pp("conv1"))?,
            time_emb_proj,
            norm2: GroupNorm::new(GROUPS, outputs, eps, vb.pp("norm2"))?,
            conv2: Conv2d::new(outputs, outputs, 3, SAME, vb.pp("conv2"))?,
            conv_shortcut,
        })
    }

    /// `x` (N, C, H, W) and the SiLU of the embedding (B, E), whose rows serve N / B images each.
    pub(crate) fn forward(&self, x: &Tensor, active: Option<&Tensor>) -> Result<Tensor> {
        let h = self.norm1.forward(x, Activation::Silu)?;
        let h = match (&self.time_emb_proj, active) {
            (Some(proj), Some(e)) => self.conv1.forward_shifted(&h, &proj.forward(e)?)?,
            _ => self.conv1.forward(&h)?,
        };
        let h = self.conv2.forward(&self.norm2.forward(&h, Activation::Silu)?)?;
        match &self.conv_shortcut {
            Some(conv) => add_scaled(&conv.forward(x)?, &h, 1.0),
            None => add_scaled(x, &h, 1.0),
        }
    }
}

/// The same with convolutions over time and statistics over the clip. Returns the branch without its
/// skip: the blend that follows needs only that.
#[derive(Debug, Clone)]
struct TemporalBranch {
    norm1: GroupNorm,
    conv1: TemporalConv,
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: TemporalConv,
}

impl TemporalBranch {
    fn new(channels: usize, embedding: Option<usize>, eps: f64, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            norm1: GroupNorm::new(GROUPS, channels, eps, vb.pp("norm1"))?,
            conv1: TemporalConv::new(channels, channels, vb.pp("conv1"))?,
            time_emb_proj: embedding
                .map(|e| Linear::new(e, channels, vb.pp("time_emb_proj")))
                .transpose()?,
            norm2: GroupNorm::new(GROUPS, channels, eps, vb.pp("norm2"))?,
            conv2: TemporalConv::new(channels, channels, vb.pp("conv2"))?,
        })
    }

    fn forward(&self, x: &Tensor, frames: usize, active: Option<&Tensor>) -> Result<Tensor> {
        let h = self.norm1.forward_clips(x, frames, Activation::Silu)?;
        let h = match (&self.time_emb_proj, active) {
            (Some(proj), Some(e)) => self.conv1.forward_shifted(&h, frames, &proj.forward(e)?)?,
            _ => self.conv1.forward(&h, frames)?,
        };
        self.conv2.forward(&self.norm2.forward_clips(&h, frames, Activation::Silu)?, frames)
    }
}

/// A spatial block, then a temporal one on its result, blended by a learned factor.
#[derive(Debug, Clone)]
pub(crate) struct SpatioTemporalResBlock {
    spatial: ResBlock,
    temporal: TemporalBranch,
    spatial_weight: f64,
}

impl SpatioTemporalResBlock {
    pub(crate) fn new(shape: Shape, vb: VarBuilder) -> Result<Self> {
        let Shape { inputs, outputs, embedding, .. } = shape;
        let spatial = vb.pp("spatial_res_block");
        Ok(Self {
            spatial: ResBlock::new(inputs, outputs, embedding, shape.spatial_eps, spatial)?,
            temporal: TemporalBranch::new(
                outputs,
                embedding,
                shape.temporal_eps,
                vb.pp("temporal_res_block"),
            )?,
            spatial_weight: spatial_weight(shape.blend, vb.pp("time_mixer"))?,
        })
    }

    /// `x` (B F, C, H, W) and the SiLU of the embedding (B, E).
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        frames: usize,
        active: Option<&Tensor>,
    ) -> Result<Tensor> {
        let spatial = self.spatial.forward(x, active)?;
        let branch = self.temporal.forward(&spatial, frames, active)?;
        // w * s + (1 - w) * (s + branch) = s + (1 - w) * branch
        add_scaled(&spatial, &branch, 1.0 - self.spatial_weight)
    }
}

/// SiLU of an embedding, once for all the blocks that project it.
pub(crate) fn activate(embedding: &Tensor) -> Result<Tensor> {
    silu(embedding)
}
