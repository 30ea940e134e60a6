//! Convolution over three consecutive frames, a (3, 1, 1) kernel with one frame of zeros either side.
//!
//! On the CPU it is three matrix products per frame over the neighbours, read where they lie; elsewhere one
//! over frames that are joined with their neighbours.

use candle_core::{Result, Shape, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::TEMPORARY;
use super::f32_op::{F32Op, apply3, is_cpu_f32};
use super::gemm::{Mat, Old, Sizes, Threads, product};

const TAPS: usize = 3;

/// A (3, 1, 1) convolution on clips flattened to `(B F, C, H, W)`.
#[derive(Debug, Clone)]
pub struct TemporalConv {
    weight: Tensor,
    bias: Tensor,
}

impl TemporalConv {
    /// Reads `weight` (out, in, 3, 1, 1) and `bias` (out).
    pub fn new(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: vb.get((outputs, inputs, TAPS, 1, 1), "weight")?,
            bias: vb.get(outputs, "bias")?,
        })
    }

    /// `(B F, C, H, W)` to `(B F, C', H, W)`; clips of `frames` do not see each other.
    pub fn forward(&self, x: &Tensor, frames: usize) -> Result<Tensor> {
        self.run(x, frames, &self.bias.unsqueeze(0)?)
    }

    /// [`TemporalConv::forward`] plus `shift` (B, C').
    pub fn forward_shifted(&self, x: &Tensor, frames: usize, shift: &Tensor) -> Result<Tensor> {
        self.run(x, frames, &shift.broadcast_add(&self.bias)?)
    }

    fn run(&self, x: &Tensor, frames: usize, bias: &Tensor) -> Result<Tensor> {
        if is_cpu_f32(x) {
            return apply3(&Neighbours { frames }, x, &self.weight, bias);
        }
        super::add_per_channel(&self.in_runs(x, frames, TEMPORARY)?, bias)
    }

    /// The convolution without its bias, on runs of frames that have at most `limit` elements with their
    /// neighbours; at least one frame.
    fn in_runs(&self, x: &Tensor, frames: usize, limit: usize) -> Result<Tensor> {
        let (images, channels, height, width) = x.dims4()?;
        let (outputs, inputs, ..) = self.weight.dims5()?;
        // (C', C, 3, 1, 1) -> (C', 3 C), taps outermost
        let weight = self.weight.reshape((outputs, inputs, TAPS))?.transpose(1, 2)?;
        let weight = weight.reshape((outputs, TAPS * inputs))?;
        let step = (limit / (TAPS * channels * height * width)).clamp(1, frames);
        let mut parts = Vec::new();
        for clip in 0..images / frames {
            let clip = x.narrow(0, clip * frames, frames)?;
            for first in (0..frames).step_by(step) {
                let run = step.min(frames - first);
                let taps = (0..TAPS)
                    .map(|tap| {
                        // Frames first + tap - 1 and on, of which the clip may lack one at either end.
                        let before = usize::from(first + tap == 0);
                        let after = usize::from(first + tap + run > frames + 1);
                        let there = run - before - after;
                        let start = if there == 0 { 0 } else { first + tap + before - 1 };
                        clip.narrow(0, start, there)?.pad_with_zeros(0, before, after)
                    })
                    .collect::<Result<Vec<_>>>()?;
                // (F, 3 C, H W)
                let joined =
                    Tensor::cat(&taps, 1)?.reshape((run, TAPS * channels, height * width))?;
                parts.push(weight.broadcast_matmul(&joined)?);
            }
        }
        Tensor::cat(&parts, 0)?.reshape((images, outputs, height, width))
    }
}

struct Neighbours {
    frames: usize,
}

impl F32Op<3> for Neighbours {
    fn name(&self) -> &'static str {
        "temporal-conv"
    }

    fn compute(
        &self,
        [x, w, bias]: [&[f32]; 3],
        [l1, l2, l3]: [&Shape; 3],
    ) -> Result<(Vec<f32>, Shape)> {
        let (images, channels, height, width) = l1.dims4()?;
        let (outputs, inputs, ..) = l2.dims5()?;
        let bias_rows = l3.dims2()?.0;
        if inputs != channels || images % self.frames != 0 || images % bias_rows != 0 {
            candle_core::bail!(
                "temporal convolution of {inputs} channels on {:?} in clips of {}",
                l1.dims(),
                self.frames
            );
        }
        let pixels = height * width;
        let mut y = vec![0f32; images * outputs * pixels];
        let frame = |i: usize, y: &mut [f32], threads: Threads| {
            let bias = &bias[i / (images / bias_rows) * outputs..][..outputs];
            y.chunks_exact_mut(pixels).zip(bias).for_each(|(y, &b)| y.fill(b));
            let at = i % self.frames;
            for tap in 0..TAPS {
                let inside = (1..=self.frames).contains(&(at + tap));
                if inside {
                    let source = &x[(i + tap - 1) * channels * pixels..][..channels * pixels];
                    let weight =
                        Mat { data: &w[tap..], row_stride: channels * TAPS, col_stride: TAPS };
                    let source = Mat::rows(source, pixels);
                    product(
                        Sizes { m: outputs, n: pixels, k: channels },
                        y,
                        pixels,
                        weight,
                        source,
                        Old::Add,
                        threads,
                    );
                }
            }
        };
        let size = outputs * pixels;
        if images >= rayon::current_num_threads() {
            y.par_chunks_mut(size).enumerate().for_each(|(i, y)| frame(i, y, Threads::One));
        } else {
            y.chunks_mut(size).enumerate().for_each(|(i, y)| frame(i, y, Threads::All));
        }
        Ok((y, Shape::from((images, outputs, height, width))))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn clips_are_separate_and_frames_see_their_neighbours() {
        let dev = Device::Cpu;
        for (clips, frames, cin, cout, h, w) in
            [(1, 1, 2, 3, 2, 5), (2, 3, 4, 2, 3, 2), (1, 7, 3, 5, 4, 3)]
        {
            let x = Tensor::randn(0f32, 1.0, (clips * frames, cin, h, w), &dev).unwrap();
            let weight = Tensor::randn(0f32, 1.0, (cout, cin, 3, 1, 1), &dev).unwrap();
            let bias = Tensor::randn(0f32, 1.0, cout, &dev).unwrap();
            // candle's conv2d over (F, H W) images.
            let images = x.reshape((clips, frames, cin, h * w)).unwrap().transpose(1, 2).unwrap();
            let kernel = weight.reshape((cout, cin, 3, 1)).unwrap();
            let want = images.contiguous().unwrap().pad_with_zeros(2, 1, 1).unwrap();
            let want = want.conv2d(&kernel, 0, 1, 1, 1).unwrap().transpose(1, 2).unwrap();
            let want = want.contiguous().unwrap().reshape((clips * frames, cout, h, w)).unwrap();
            let want = want.broadcast_add(&bias.reshape((1, cout, 1, 1)).unwrap()).unwrap();
            let conv = TemporalConv { weight, bias };
            let rows = conv.bias.unsqueeze(0).unwrap();
            let runs = |limit| {
                let y = conv.in_runs(&x, frames, limit).unwrap();
                crate::ops::add_per_channel(&y, &rows).unwrap()
            };
            let two = 2 * TAPS * cin * h * w;
            for got in [conv.forward(&x, frames).unwrap(), runs(TEMPORARY), runs(1), runs(two)] {
                let diff = (got - &want).unwrap().abs().unwrap().flatten_all().unwrap();
                let diff = diff.max(0).unwrap().to_scalar::<f32>().unwrap();
                assert!(diff < 1e-4, "{clips} {frames}: {diff}");
            }
        }
    }
}
