//! Sinusoidal embeddings of numbers, and the small network that follows them.
//!
//! diffusers `models/embeddings.py`: `get_timestep_embedding` with `flip_sin_to_cos = True` and
//! `downscale_freq_shift = 0`; `TimestepEmbedding` with SiLU.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

use crate::ops::{Linear, silu};

const MAX_PERIOD: f64 = 10_000.0;

/// Cosines then sines of `values` at `dim / 2` frequencies: (values, dim), f32.
///
/// Angles are formed in f32 as the reference does, whatever the model's type.
///
/// # Example
/// ```
/// use candle_core::Device;
/// use parallax_nn::embedding::sinusoidal;
///
/// // Cosines, then sines: of nothing, ones and zeros.
/// let rows = sinusoidal(&[0.0, 1.0], 4, &Device::Cpu)?.to_vec2::<f32>()?;
/// assert_eq!(rows[0], [1.0, 1.0, 0.0, 0.0]);
/// assert!((rows[1][0] - 1f32.cos()).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn sinusoidal(values: &[f32], dim: usize, device: &Device) -> Result<Tensor> {
    let half = dim / 2;
    let frequency = |i: usize| (-(MAX_PERIOD.ln() as f32) * i as f32 / half as f32).exp();
    let mut out = Vec::with_capacity(values.len() * dim);
    for &v in values {
        out.extend((0..half).map(|i| (v * frequency(i)).cos()));
        out.extend((0..half).map(|i| (v * frequency(i)).sin()));
        out.extend((2 * half..dim).map(|_| 0.0));
    }
    Tensor::from_vec(out, (values.len(), dim), device)
}

/// Linear, SiLU, linear.
#[derive(Debug, Clone)]
pub struct Embedding {
    linear_1: Linear,
    linear_2: Linear,
    dtype: DType,
    device: Device,
}

impl Embedding {
    /// Reads `linear_1` and `linear_2`, of `inputs`, `hidden` and `outputs` values.
    pub fn new(inputs: usize, hidden: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            linear_1: Linear::new(inputs, hidden, vb.pp("linear_1"))?,
            linear_2: Linear::new(hidden, outputs, vb.pp("linear_2"))?,
            dtype: vb.dtype(),
            device: vb.device().clone(),
        })
    }

    /// Sinusoids of `dim` for each of `values`, through the network: (values, outputs).
    pub fn of(&self, values: &[f32], dim: usize) -> Result<Tensor> {
        self.forward(&sinusoidal(values, dim, &self.device)?)
    }

    /// (N, inputs) to (N, outputs).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.linear_2.forward(&silu(&self.linear_1.forward(&x.to_dtype(self.dtype)?)?)?)
    }
}
