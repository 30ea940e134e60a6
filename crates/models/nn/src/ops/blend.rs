//! Weighted sums of two tensors of one shape, in one pass over memory.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::f32_op::{F32Op, apply2, is_cpu_f32};

const CHUNK: usize = 1 << 14;

struct WeightedSum(f32, f32);

impl F32Op<2> for WeightedSum {
    fn name(&self) -> &'static str {
        "weighted-sum"
    }

    fn compute(&self, [a, b]: [&[f32]; 2], [l1, l2]: [&Shape; 2]) -> Result<(Vec<f32>, Shape)> {
        if l1.dims() != l2.dims() {
            candle_core::bail!("weighted sum of {:?} and {:?}", l1.dims(), l2.dims());
        }
        let mut out = vec![0f32; a.len()];
        let parts = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
        out.par_chunks_mut(CHUNK).zip(parts).for_each(|(out, (a, b))| {
            for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *o = self.0 * a + self.1 * b;
            }
        });
        Ok((out, l1.clone()))
    }
}

/// `weight * a + (1 - weight) * b`.
pub fn mix(a: &Tensor, b: &Tensor, weight: f64) -> Result<Tensor> {
    if is_cpu_f32(a) {
        let op = WeightedSum(weight as f32, (1.0 - weight) as f32);
        return apply2(&op, a, b);
    }
    (a * weight)? + (b * (1.0 - weight))?
}

/// `a + scale * b`.
pub fn add_scaled(a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    if is_cpu_f32(a) {
        return apply2(&WeightedSum(1.0, scale as f32), a, b);
    }
    a + (b * scale)?
}
