//! Types that the networks compute in.

use candle_core::{DType, Device};

/// Types that the networks compute in; the image encoder and the VAE's encoder are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// Of the denoiser.
    pub denoiser: DType,
    /// Of the VAE's decoder.
    pub decoder: DType,
}

impl Precision {
    /// f16 on a GPU, as published, and f32 on the processor.
    pub fn on(device: &Device) -> Self {
        let dtype = if device.is_cuda() { DType::F16 } else { DType::F32 };
        Self { denoiser: dtype, decoder: dtype }
    }
}
