//! Tensor operations that these networks spend their time in.
//!
//! Each has two bodies: one for f32 on the CPU (blocked matrix products, fused norms, streaming
//! attention), where candle's own are several times slower than PyTorch's, and one made of candle's
//! operations for every other device and type. Activations are `(N, C, H, W)` or `(N, tokens, C)`.

mod activation;
mod attention;
mod bilinear;
mod blend;
mod block;
mod conv;
mod conv_transpose;
mod dense;
mod f32_op;
mod fused_conv;
mod gemm;
mod group_norm;
mod linear;
mod next_frame;
mod norm;
mod packed;
mod rotary;
mod rowwise;
mod simd;
mod temporal_conv;
mod winograd;

pub use activation::{geglu, gelu, silu};
pub use attention::{attention, self_attention, temporal_attention};
pub use bilinear::bilinear_aligned;
pub use blend::{add_scaled, mix};
pub use block::{Layers, Space, TransformerBlock};
pub use conv::{Conv2d, Padding};
pub use conv_transpose::ConvTranspose2d;
pub use dense::Dense;
pub use f32_op::{F32Op, apply1, apply2, apply3, is_cpu_f32};
pub use fused_conv::{Fuse, FusedConv2d, Window, channels_first, channels_last, joined};
pub use linear::Linear;
pub use next_frame::{Frames, next_frame_attention};
pub use norm::{Activation, GroupNorm, LayerNorm};
pub use rotary::Rotary;
pub use temporal_conv::TemporalConv;

use candle_core::{Result, Tensor};

/// Elements that an operation made of candle's may gather, score or widen at a time: its temporaries
/// must not outgrow the activations, whose sizes the memory planner knows.
const TEMPORARY: usize = 1 << 27;

/// `y` (N, C, H, W) plus `rows` (B, C), each row serving N / B consecutive images.
fn add_per_channel(y: &Tensor, rows: &Tensor) -> Result<Tensor> {
    let (images, channels, height, width) = y.dims4()?;
    let batch = rows.dim(0)?;
    // (N, C, H, W) -> (B, N / B, C, H W)
    let y = y.reshape((batch, images / batch, channels, height * width))?;
    y.broadcast_add(&rows.reshape((batch, 1, channels, 1))?)?
        .reshape((images, channels, height, width))
}
