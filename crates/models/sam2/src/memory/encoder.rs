//! What is remembered of a frame and of the mask of an object in it.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use parallax_nn::Tap;
use parallax_nn::ops::{
    Dense, FusedConv2d, LayerNorm, Window, channels_first, channels_last, gelu,
};

use crate::config::Config;
use crate::neck::point;

/// Added to variances here.
const EPSILON: f64 = 1e-6;
/// Cells on each side of one that it is mixed with.
const REACH: usize = 3;
const KERNEL: usize = 2 * REACH + 1;

/// A convolution of each channel with a kernel of its own.
#[derive(Debug)]
struct Depthwise {
    /// (KERNEL KERNEL, C)
    weights: Tensor,
    /// (C)
    bias: Tensor,
}

impl Depthwise {
    fn new(width: usize, vb: &VarBuilder) -> Result<Self> {
        let weights = vb.get((width, 1, KERNEL, KERNEL), "weight")?;
        let weights = weights.reshape((width, KERNEL * KERNEL))?.t()?.contiguous()?;
        Ok(Self { weights, bias: vb.get(width, "bias")? })
    }

    /// (B, h, w, C) to the same, with zeros around.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, h, w, _) = x.dims4()?;
        let padded = x.pad_with_zeros(1, REACH, REACH)?.pad_with_zeros(2, REACH, REACH)?;
        let mut sum = self.bias.broadcast_as(x.shape())?.contiguous()?;
        for tap in 0..KERNEL * KERNEL {
            let moved = padded.narrow(1, tap / KERNEL, h)?.narrow(2, tap % KERNEL, w)?;
            sum = (sum + moved.broadcast_mul(&self.weights.get(tap)?)?)?;
        }
        Ok(sum)
    }
}

/// A block that mixes cells, then channels (Liu et al. 2022, arXiv:2201.03545).
#[derive(Debug)]
struct Mixer {
    cells: Depthwise,
    norm: LayerNorm,
    fc1: Dense,
    fc2: Dense,
    scale: Tensor,
}

impl Mixer {
    fn new(config: &Config, vb: &VarBuilder) -> Result<Self> {
        let (width, hidden) = (config.width, config.memory.fuser_hidden);
        Ok(Self {
            cells: Depthwise::new(width, &vb.pp("depthwise_conv"))?,
            norm: LayerNorm::new(width, EPSILON, vb.pp("layer_norm"))?,
            fc1: Dense::new(width, hidden, vb.pp("pointwise_conv1"))?,
            fc2: Dense::new(hidden, width, vb.pp("pointwise_conv2"))?,
            scale: vb.get(width, "scale")?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.norm.forward(&self.cells.forward(x)?)?;
        let y = self.fc2.forward(&self.fc1.forward_gelu(&y)?)?;
        x + y.broadcast_mul(&self.scale)?
    }
}

/// The encoder of memories.
#[derive(Debug)]
pub(crate) struct MemoryEncoder {
    halvings: Vec<(FusedConv2d, LayerNorm)>,
    mask: Dense,
    frame: Dense,
    mixers: Vec<Mixer>,
    projection: Dense,
}

impl MemoryEncoder {
    pub(super) fn new(config: &Config, vb: &VarBuilder) -> Result<Self> {
        let (width, memory) = (config.width, &config.memory);
        let masks = vb.pp("mask_downsampler");
        let (mut channels, mut halvings) = (1, Vec::new());
        for i in 0..memory.halvings {
            let vb = masks.pp("layers").pp(i);
            let window = Window::new(3, 2, 1);
            let halving = FusedConv2d::new(channels, 4 * channels, window, vb.pp("conv"))?;
            channels *= 4;
            halvings.push((halving, LayerNorm::new(channels, EPSILON, vb.pp("layer_norm"))?));
        }
        let mixer = |i: usize| Mixer::new(config, &vb.pp("memory_fuser.layers").pp(i));
        Ok(Self {
            halvings,
            mask: point(channels, width, &masks.pp("final_conv"))?,
            frame: point(width, width, &vb.pp("feature_projection"))?,
            mixers: (0..memory.fuser_layers).map(mixer).collect::<Result<_>>()?,
            projection: point(width, memory.channels, &vb.pp("projection"))?,
        })
    }

    /// A frame (1, h, w, C) and a mask (1, 1, 16 h, 16 w) to what is remembered of both, (1, h, w, channels of
    /// memory).
    pub(crate) fn forward(&self, frame: &Tensor, mask: &Tensor, tap: &mut Tap) -> Result<Tensor> {
        let mut x = channels_last(mask)?;
        for (halving, norm) in &self.halvings {
            let halved = channels_last(&halving.forward(&channels_first(&x)?)?)?;
            x = gelu(&norm.forward(&halved)?, false)?;
        }
        let mut x = self.mask.forward_add(&x, &self.frame.forward(frame)?)?;
        tap("memory_mask", &x)?;
        for (i, mixer) in self.mixers.iter().enumerate() {
            x = mixer.forward(&x)?;
            tap(&format!("memory_mixer{i}"), &x)?;
        }
        let x = self.projection.forward(&x)?;
        tap("memory_features", &x)?;
        Ok(x)
    }
}
