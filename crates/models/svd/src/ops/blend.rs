//! Weighted sums of two tensors of one shape, in one pass over memory.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{cpu_f32, elements};

const CHUNK: usize = 1 << 14;

struct WeightedSum(f32, f32);

impl CustomOp2 for WeightedSum {
    fn name(&self) -> &'static str {
        "weighted-sum"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (elements(s1, l1)?, elements(s2, l2)?);
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
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }
}

/// `weight * a + (1 - weight) * b`.
pub fn mix(a: &Tensor, b: &Tensor, weight: f64) -> Result<Tensor> {
    if cpu_f32(a) {
        let op = WeightedSum(weight as f32, (1.0 - weight) as f32);
        return a.contiguous()?.apply_op2_no_bwd(&b.contiguous()?, &op);
    }
    (a * weight)? + (b * (1.0 - weight))?
}

/// `a + scale * b`.
pub fn add_scaled(a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    if cpu_f32(a) {
        return a.contiguous()?.apply_op2_no_bwd(&b.contiguous()?, &WeightedSum(1.0, scale as f32));
    }
    a + (b * scale)?
}
