//! Group normalisation of maps whose channels come last in memory.

use candle_core::{Result, Shape, bail};
use rayon::prelude::*;

use super::f32_op::F32Op;
use super::simd;

/// Each image by its own statistics.
pub(super) struct GroupedLast {
    pub(super) groups: usize,
    pub(super) eps: f64,
}

impl F32Op<3> for GroupedLast {
    fn name(&self) -> &'static str {
        "group-norm"
    }

    /// `x` (N, H, W, C), `weight` and `bias` (C).
    fn compute(
        &self,
        [x, weight, bias]: [&[f32]; 3],
        [shape, ..]: [&Shape; 3],
    ) -> Result<(Vec<f32>, Shape)> {
        let (_, height, width, channels) = shape.dims4()?;
        if channels != weight.len() || channels != bias.len() {
            bail!("norm of {} channels on {:?}", weight.len(), shape.dims());
        }
        let image = height * width * channels;
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(image).zip(x.par_chunks(image)).for_each(|(y, x)| {
            let (scales, shifts) = self.parameters(x, weight, bias);
            simd::over(
                #[inline(always)]
                || {
                    for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                        for (((y, x), scale), shift) in
                            y.iter_mut().zip(x).zip(&scales).zip(&shifts)
                        {
                            *y = x * scale + shift;
                        }
                    }
                },
            );
        });
        Ok((y, shape.clone()))
    }
}

impl GroupedLast {
    /// What each channel of an image is multiplied by, and what is added then.
    fn parameters(&self, x: &[f32], weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let channels = weight.len();
        let size = channels / self.groups;
        let count = (x.len() / self.groups) as f64;
        let by_group = |sums: Vec<f64>| -> Vec<f64> {
            sums.chunks_exact(size).map(|group| group.iter().sum::<f64>() / count).collect()
        };
        let means = by_group(sums(x, &vec![0.0; channels], |off| off));
        let centres: Vec<f32> = (0..channels).map(|c| means[c / size] as f32).collect();
        let variances = by_group(sums(x, &centres, |off| off * off));
        let scales: Vec<f32> = (0..channels)
            .map(|c| weight[c] * (1.0 / (variances[c / size] + self.eps).sqrt()) as f32)
            .collect();
        let shifts = (0..channels).map(|c| bias[c] - centres[c] * scales[c]).collect();
        (scales, shifts)
    }
}

/// The sums over all pixels of `of` what is beyond each channel's centre.
fn sums(x: &[f32], centres: &[f32], of: fn(f32) -> f32) -> Vec<f64> {
    let channels = centres.len();
    let mut all = vec![0f64; channels];
    let mut some = vec![0f32; channels];
    // A row's worth of pixels in f32: the error does not grow with the map.
    for pixels in x.chunks(64 * channels) {
        some.fill(0.0);
        simd::over(
            #[inline(always)]
            || {
                for pixel in pixels.chunks_exact(channels) {
                    for ((sum, x), centre) in some.iter_mut().zip(pixel).zip(centres) {
                        *sum += of(x - centre);
                    }
                }
            },
        );
        all.iter_mut().zip(&some).for_each(|(all, &some)| *all += f64::from(some));
    }
    all
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use candle_nn::VarBuilder;
    use parallax_test_networks::{assert_close, random};

    use crate::ops::{Activation, GroupNorm, channels_first, channels_last};

    #[test]
    fn order_in_memory_changes_nothing() {
        let x = (random((2, 12, 9, 17)).unwrap() + 3.0).unwrap();
        let named = [("weight", random(12).unwrap()), ("bias", random(12).unwrap())];
        let all = named.into_iter().map(|(name, t)| (name.to_owned(), t)).collect();
        let vb = VarBuilder::from_tensors(all, DType::F32, &Device::Cpu);
        let norm = GroupNorm::new(4, 12, 1e-6, vb).unwrap();
        let of = |x: &Tensor| norm.forward(x, Activation::None).unwrap();
        let last = of(&channels_first(&channels_last(&x).unwrap()).unwrap());
        assert!(!last.is_contiguous());
        assert_close("group norm", &last.contiguous().unwrap(), &of(&x), 1e-5, 1e-5);
    }
}
