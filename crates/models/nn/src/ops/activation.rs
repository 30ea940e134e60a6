//! Pointwise non-linearities.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::f32_op::{F32Op, apply1, is_cpu_f32};
use super::simd;

const CHUNK: usize = 1 << 14;

struct Map(&'static str, fn(&[f32], &mut [f32]));

impl F32Op<1> for Map {
    fn name(&self) -> &'static str {
        self.0
    }

    fn compute(&self, [x]: [&[f32]; 1], [shape]: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| (self.1)(x, y));
        Ok((y, shape.clone()))
    }
}

macro_rules! mapped {
    ($f:path) => {
        |x: &[f32], y: &mut [f32]| {
            simd::over(
                #[inline(always)]
                || {
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = $f(x);
                    }
                },
            )
        }
    };
}

/// `x * sigmoid(x)`.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    if is_cpu_f32(x) { apply1(&Map("silu", mapped!(simd::silu)), x) } else { x.silu() }
}

/// The exact Gaussian error linear unit, or (`quick`) the sigmoid form `x * sigmoid(1.702 x)` of CLIP.
pub fn gelu(x: &Tensor, quick: bool) -> Result<Tensor> {
    match (is_cpu_f32(x), quick) {
        (true, true) => apply1(&Map("quick_gelu", mapped!(simd::quick_gelu)), x),
        (true, false) => apply1(&Map("gelu", mapped!(simd::gelu)), x),
        (false, true) => x * candle_nn::ops::sigmoid(&(x * 1.702)?)?,
        (false, false) => x.gelu_erf(),
    }
}

struct Geglu;

impl F32Op<1> for Geglu {
    fn name(&self) -> &'static str {
        "geglu"
    }

    fn compute(&self, [x]: [&[f32]; 1], [shape]: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
        let mut dims = shape.dims().to_vec();
        let Some(last) = dims.last_mut() else { candle_core::bail!("geglu of a scalar") };
        let inner = *last / 2;
        *last = inner;
        let mut y = vec![0f32; x.len() / 2];
        y.par_chunks_mut(inner).zip(x.par_chunks(2 * inner)).with_min_len(8).for_each(|(y, x)| {
            let (value, gate) = x.split_at(inner);
            simd::over(
                #[inline(always)]
                || {
                    for ((y, &v), &g) in y.iter_mut().zip(value).zip(gate) {
                        *y = v * simd::gelu(g);
                    }
                },
            )
        });
        Ok((y, Shape::from(dims)))
    }
}

/// `(.., 2 D)` to `(.., D)`: the first half times the exact GELU of the second.
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    if is_cpu_f32(x) {
        return apply1(&Geglu, x);
    }
    let halves = x.chunk(2, candle_core::D::Minus1)?;
    &halves[0] * halves[1].gelu_erf()?
}
