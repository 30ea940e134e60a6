//! Group and layer normalisation, statistics in f32 or wider whatever the activations' type.

use candle_core::{DType, Module, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::f32_op::{F32Op, apply3, is_cpu_f32};
use super::fused_conv::channels_first;
use super::group_norm::GroupedLast;
use super::{TEMPORARY, simd};

/// What follows a norm in the same pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `x * sigmoid(x)`.
    Silu,
}

/// Group normalisation with affine weights per channel.
#[derive(Debug, Clone)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// Reads `weight` and `bias` (channels).
    pub fn new(groups: usize, channels: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        if !channels.is_multiple_of(groups) {
            candle_core::bail!(
                "{channels} channels do not divide into {groups} groups at {}",
                vb.prefix()
            );
        }
        Ok(Self {
            weight: vb.get(channels, "weight")?,
            bias: vb.get(channels, "bias")?,
            groups,
            eps,
        })
    }

    /// `(N, C, H, W)`, each image by its own statistics.
    pub fn forward(&self, x: &Tensor, then: Activation) -> Result<Tensor> {
        self.forward_clips(x, 1, then)
    }

    /// `(B F, C, H, W)`, statistics over all `frames` of a clip.
    pub fn forward_clips(&self, x: &Tensor, frames: usize, then: Activation) -> Result<Tensor> {
        if is_cpu_f32(x) && frames == 1 && then == Activation::None {
            let last = x.permute((0, 2, 3, 1))?;
            if last.is_contiguous() {
                let op = GroupedLast { groups: self.groups, eps: self.eps };
                return channels_first(&apply3(&op, &last, &self.weight, &self.bias)?);
            }
        }
        if is_cpu_f32(x) {
            let op = Grouped { groups: self.groups, eps: self.eps, frames, then };
            return apply3(&op, x, &self.weight, &self.bias);
        }
        self.by_groups(x, frames, then, TEMPORARY)
    }

    /// As many groups at a time as have at most `limit` elements; at least one.
    fn by_groups(
        &self,
        x: &Tensor,
        frames: usize,
        then: Activation,
        limit: usize,
    ) -> Result<Tensor> {
        let (channels, each) = (x.dim(1)?, x.elem_count() / self.groups.max(1));
        let step = (limit / each.max(1)).clamp(1, self.groups);
        if step == self.groups {
            return self.plain(x, frames, then);
        }
        let size = channels / self.groups;
        let parts = (0..self.groups)
            .step_by(step)
            .map(|first| {
                let groups = step.min(self.groups - first);
                let part = Self {
                    weight: self.weight.narrow(0, first * size, groups * size)?,
                    bias: self.bias.narrow(0, first * size, groups * size)?,
                    groups,
                    eps: self.eps,
                };
                let x = x.narrow(1, first * size, groups * size)?.contiguous()?;
                part.plain(&x, frames, then)
            })
            .collect::<Result<Vec<_>>>()?;
        Tensor::cat(&parts, 1)
    }

    fn plain(&self, x: &Tensor, frames: usize, then: Activation) -> Result<Tensor> {
        let (images, channels, height, width) = x.dims4()?;
        // (B F, C, H, W) -> (B, F, G, C / G, H W), reduced over all but B and G
        let shape = (images / frames, frames, self.groups, channels / self.groups, height * width);
        let wide = x.to_dtype(DType::F32)?.reshape(shape)?;
        let mean = wide.mean_keepdim(4)?.mean_keepdim(3)?.mean_keepdim(1)?;
        let wide = wide.broadcast_sub(&mean)?;
        let variance = wide.sqr()?.mean_keepdim(4)?.mean_keepdim(3)?.mean_keepdim(1)?;
        let wide = wide.broadcast_div(&(variance + self.eps)?.sqrt()?)?;
        let affine = |t: &Tensor| t.to_dtype(DType::F32)?.reshape((1, channels, 1, 1));
        let y = wide.reshape((images, channels, height, width))?;
        let y = y
            .broadcast_mul(&affine(&self.weight)?)?
            .broadcast_add(&affine(&self.bias)?)?
            .to_dtype(x.dtype())?;
        match then {
            Activation::None => Ok(y),
            Activation::Silu => y.silu(),
        }
    }
}

struct Grouped {
    groups: usize,
    eps: f64,
    frames: usize,
    then: Activation,
}

impl F32Op<3> for Grouped {
    fn name(&self) -> &'static str {
        "group-norm"
    }

    fn compute(
        &self,
        [x, weight, bias]: [&[f32]; 3],
        [l1, _, _]: [&Shape; 3],
    ) -> Result<(Vec<f32>, Shape)> {
        let (images, channels, height, width) = l1.dims4()?;
        if channels != weight.len() || images % self.frames != 0 {
            candle_core::bail!(
                "norm of {} channels on {:?}, clips of {}",
                weight.len(),
                l1.dims(),
                self.frames
            );
        }
        let pixels = height * width;
        let span = channels / self.groups * pixels;
        // One group of one image is one contiguous run; a clip's runs lie `frames` apart.
        let run = |clip: usize, group: usize, f: usize| {
            let start = ((clip * self.frames + f) * self.groups + group) * span;
            &x[start..start + span]
        };
        let statistics: Vec<(f32, f32)> = (0..images / self.frames * self.groups)
            .into_par_iter()
            .map(|i| {
                let (clip, group) = (i / self.groups, i % self.groups);
                let count = (span * self.frames) as f64;
                let over = |f: &(dyn Fn(&[f32]) -> f64 + Sync)| {
                    (0..self.frames).map(|i| f(run(clip, group, i))).sum::<f64>()
                };
                let mean = over(&|r| {
                    simd::over(
                        #[inline(always)]
                        || simd::sum(r, |v| v),
                    )
                }) / count;
                let centre = mean as f32;
                let variance = over(&|r| {
                    simd::over(
                        #[inline(always)]
                        || simd::sum(r, |v| (v - centre) * (v - centre)),
                    )
                }) / count;
                (centre, (1.0 / (variance + self.eps).sqrt()) as f32)
            })
            .collect();
        let then = self.then;
        let parameters: Vec<[f32; 3]> = (0..images * channels)
            .map(|row| {
                let (image, channel) = (row / channels, row % channels);
                let group = channel / (channels / self.groups);
                let (mean, inverse) = statistics[image / self.frames * self.groups + group];
                [mean, inverse * weight[channel], bias[channel]]
            })
            .collect();
        let y = by_rows(x, pixels, |row, _, x, y| {
            let [mean, scale, shift] = parameters[row];
            simd::over(
                #[inline(always)]
                || match then {
                    Activation::None => {
                        for (y, &x) in y.iter_mut().zip(x) {
                            *y = (x - mean) * scale + shift;
                        }
                    }
                    Activation::Silu => {
                        for (y, &x) in y.iter_mut().zip(x) {
                            *y = simd::silu((x - mean) * scale + shift);
                        }
                    }
                },
            );
        });
        Ok((y, l1.clone()))
    }
}

/// Elements of a block of [`by_rows`].
const BLOCK: usize = 64;

/// What `work` makes of `x`, whose rows are `length` long. It is given a row's number, a column, the
/// elements from there on, and where the results go.
///
/// Results are collected block by block rather than written into zeroes: one thread alone writes those,
/// and that took as long as the work.
fn by_rows(
    x: &[f32],
    length: usize,
    work: impl Fn(usize, usize, &[f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    if !length.is_multiple_of(BLOCK) {
        let mut y = vec![0f32; x.len()];
        let rows = y.par_chunks_mut(length).zip(x.par_chunks(length)).with_min_len(4).enumerate();
        rows.for_each(|(row, (y, x))| work(row, 0, x, y));
        return y;
    }
    let across = length / BLOCK;
    let (blocks, _) = x.as_chunks::<BLOCK>();
    let blocks = blocks.par_iter().with_min_len(64).enumerate().map(|(i, x)| {
        let mut y = [0f32; BLOCK];
        work(i / across, i % across * BLOCK, x, &mut y);
        y
    });
    blocks.collect::<Vec<_>>().into_flattened()
}

/// Layer normalisation over the last axis.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Reads `weight` and `bias` (channels).
    pub fn new(channels: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        Ok(Self { weight: vb.get(channels, "weight")?, bias: vb.get(channels, "bias")?, eps })
    }

    /// What it needs for rows on the processor.
    pub(super) fn rows(&self) -> Result<RowNorm> {
        Ok(RowNorm { weight: self.weight.to_vec1()?, bias: self.bias.to_vec1()?, eps: self.eps })
    }

    /// `(.., C)` to the same.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if is_cpu_f32(x) {
            return apply3(&Layered { eps: self.eps }, x, &self.weight, &self.bias);
        }
        if x.dtype() == DType::F64 {
            // candle's fused kernel knows no f64.
            return candle_nn::ops::layer_norm_slow(x, &self.weight, &self.bias, self.eps as f32);
        }
        candle_nn::LayerNorm::new(self.weight.clone(), self.bias.clone(), self.eps).forward(x)
    }
}

struct Layered {
    eps: f64,
}

impl F32Op<3> for Layered {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn compute(
        &self,
        [x, weight, bias]: [&[f32]; 3],
        [l1, _, _]: [&Shape; 3],
    ) -> Result<(Vec<f32>, Shape)> {
        let channels = weight.len();
        if l1.dims().last() != Some(&channels) {
            candle_core::bail!("layer norm of {channels} channels on {:?}", l1.dims());
        }
        let eps = self.eps;
        let statistics: Vec<(f32, f32)> = x
            .par_chunks(channels)
            .with_min_len(16)
            .map(|x| {
                simd::over(
                    #[inline(always)]
                    || statistics_of(x, eps),
                )
            })
            .collect();
        let y = by_rows(x, channels, |row, start, x, y| {
            let (mean, inverse) = statistics[row];
            let (weight, bias) = (&weight[start..][..x.len()], &bias[start..][..x.len()]);
            simd::over(
                #[inline(always)]
                || {
                    for (((y, &x), &w), &b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                        *y = (x - mean) * inverse * w + b;
                    }
                },
            );
        });
        Ok((y, l1.clone()))
    }
}

/// A row's mean, and the inverse of its deviation.
#[inline(always)]
fn statistics_of(x: &[f32], eps: f64) -> (f32, f32) {
    let mean = (simd::sum(x, |v| v) / x.len() as f64) as f32;
    let variance = simd::sum(x, |v| (v - mean) * (v - mean)) / x.len() as f64;
    (mean, (1.0 / (variance + eps).sqrt()) as f32)
}

/// A [`LayerNorm`] of rows in a slice.
#[derive(Debug)]
pub(super) struct RowNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f64,
}

impl RowNorm {
    pub(super) fn channels(&self) -> usize {
        self.weight.len()
    }

    /// All rows of `x`, on this thread.
    pub(super) fn apply(&self, x: &[f32], y: &mut [f32]) {
        let channels = self.weight.len();
        simd::over(
            #[inline(always)]
            || {
                for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
                    let (mean, inverse) = statistics_of(x, self.eps);
                    for (((y, &x), &w), &b) in y.iter_mut().zip(x).zip(&self.weight).zip(&self.bias)
                    {
                        *y = (x - mean) * inverse * w + b;
                    }
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn groups_by_themselves_are_normalised_as_together() {
        let random = |shape: &[usize]| Tensor::randn(0.3f32, 1.5, shape, &Device::Cpu).unwrap();
        let x = random(&[6, 12, 5, 7]);
        let norm = GroupNorm { weight: random(&[12]), bias: random(&[12]), groups: 4, eps: 1e-5 };
        for frames in [1, 3] {
            let want = norm.forward_clips(&x, frames, Activation::Silu).unwrap();
            for limit in [1, 2 * 6 * 3 * 35, 3 * 6 * 3 * 35, usize::MAX] {
                let got = norm.by_groups(&x, frames, Activation::Silu, limit).unwrap();
                let off = (got - &want).unwrap().abs().unwrap().flatten_all().unwrap();
                let off = off.max(0).unwrap().to_scalar::<f32>().unwrap();
                assert!(off < 1e-5, "{frames} frames, {limit}: {off}");
            }
        }
    }
}
