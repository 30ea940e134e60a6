//! Networks without files.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;

struct Small;

impl SimpleBackend for Small {
    fn get(&self, s: Shape, _: &str, _: candle_nn::Init, _: DType, dev: &Device) -> Result<Tensor> {
        Tensor::rand(-0.05f32, 0.06, s, dev)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name} without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

/// Small random weights of any name and shape, f32 on the processor.
pub fn random_weights() -> VarBuilder<'static> {
    VarBuilder::from_backend(Box::new(Small), DType::F32, Device::Cpu)
}

/// Normal noise of `shape`, f32 on the processor.
///
/// # Errors
/// candle's.
pub fn random(shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::randn(0f32, 1.0, shape, &Device::Cpu)
}
