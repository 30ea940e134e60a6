//! Networks without files.

use std::cell::RefCell;
use std::f32::consts::TAU;

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

thread_local! {
    // The same in every run: what a bound is compared with must not be a matter of luck.
    static DICE: RefCell<StdRng> = RefCell::new(StdRng::seed_from_u64(1));
}

struct Small;

impl SimpleBackend for Small {
    fn get(&self, s: Shape, _: &str, _: candle_nn::Init, _: DType, dev: &Device) -> Result<Tensor> {
        let of = |dice: &mut StdRng| dice.random_range(-0.05f32..0.06);
        let values: Vec<f32> =
            DICE.with_borrow_mut(|dice| (0..s.elem_count()).map(|_| of(dice)).collect());
        Tensor::from_vec(values, s, dev)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name} without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

/// Small random weights of any name and shape, f32 on the processor; the same in every run.
pub fn random_weights() -> VarBuilder<'static> {
    VarBuilder::from_backend(Box::new(Small), DType::F32, Device::Cpu)
}

/// Normal noise of `shape`, f32 on the processor; the same in every run.
///
/// # Errors
/// candle's.
pub fn random(shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    // Box and Muller's transform of two even numbers.
    let normal = |dice: &mut StdRng| {
        let (radius, angle) = (1.0 - dice.random::<f32>(), dice.random::<f32>());
        (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()
    };
    let values: Vec<f32> =
        DICE.with_borrow_mut(|dice| (0..shape.elem_count()).map(|_| normal(dice)).collect());
    Tensor::from_vec(values, shape, &Device::Cpu)
}
