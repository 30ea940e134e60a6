//! Types that the networks compute in.
//!
//! The published programs load everything in half precision and encode images in f32. Here the denoisers
//! and the VAE's decoder, where the time and the memory go, have the type that is asked for; the image
//! encoder and the VAE's encoder stay in f32. Latents, schedule and norms are f32 whatever the type.

use candle_core::{DType, Device, Result, bail};

/// Elements of weights and activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// Of the denoisers.
    pub denoiser: DType,
    /// Of the VAE's decoder.
    pub decoder: DType,
}

impl Precision {
    /// All in f32.
    pub const SINGLE: Self = Self { denoiser: DType::F32, decoder: DType::F32 };

    /// What `dtype` means on `device`; `None` is f32 on the processor and f16 on a GPU.
    ///
    /// # Errors
    /// For a type that the device has no matrix products in, and those that no network runs in.
    pub fn on(device: &Device, dtype: Option<DType>) -> Result<Self> {
        let dtype = match dtype {
            Some(dtype) => dtype,
            None if device.is_cuda() => DType::F16,
            None => DType::F32,
        };
        match dtype {
            DType::F32 | DType::F16 => {}
            DType::BF16 if device.is_cuda() => {}
            DType::BF16 => {
                bail!("bf16: the processor multiplies no matrices of it; allowed are f32 and f16")
            }
            _ => bail!("{}: allowed are f32, f16 and bf16", dtype.as_str()),
        }
        Ok(Self { denoiser: dtype, decoder: dtype })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_computes_in_single_precision_unless_asked() {
        let on = |dtype| Precision::on(&Device::Cpu, dtype);
        assert_eq!(on(None).unwrap(), Precision::SINGLE);
        assert_eq!(on(Some(DType::F16)).unwrap().decoder, DType::F16);
        for (dtype, name) in [(DType::BF16, "bf16"), (DType::F64, "f64")] {
            let error = on(Some(dtype)).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("allowed are f32"), "{error}");
        }
    }
}
