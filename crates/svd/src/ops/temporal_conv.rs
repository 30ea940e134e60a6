//! Convolution over three consecutive frames, a (3, 1, 1) kernel with one frame of zeros either side.
//!
//! On the CPU it is three matrix products per frame over the neighbours, read where they lie.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::gemm::{Mat, Old, Threads, product};
use super::{cpu_f32, elements};

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
        if cpu_f32(x) {
            return x.contiguous()?.apply_op3_no_bwd(
                &self.weight,
                &bias.contiguous()?,
                &Neighbours { frames },
            );
        }
        let (images, channels, height, width) = x.dims4()?;
        let (outputs, inputs, ..) = self.weight.dims5()?;
        // (B F, C, H, W) -> (B, C, F, H W), convolved as images of F rows
        let x = x
            .reshape((images / frames, frames, channels, height * width))?
            .transpose(1, 2)?
            .contiguous()?;
        let weight = self.weight.reshape((outputs, inputs, TAPS, 1))?;
        let y = x.pad_with_zeros(2, 1, 1)?.conv2d(&weight, 0, 1, 1, 1)?;
        // (B, C', F, H W) -> (B F, C', H, W)
        let y = y.transpose(1, 2)?.contiguous()?.reshape((images, outputs, height, width))?;
        super::add_per_channel(&y, bias)
    }
}

struct Neighbours {
    frames: usize,
}

impl CustomOp3 for Neighbours {
    fn name(&self) -> &'static str {
        "temporal-conv"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w, bias) = (elements(s1, l1)?, elements(s2, l2)?, elements(s3, l3)?);
        let (images, channels, height, width) = l1.shape().dims4()?;
        let (outputs, inputs, ..) = l2.shape().dims5()?;
        let bias_rows = l3.shape().dims2()?.0;
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
                        (outputs, pixels, channels),
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
        Ok((CpuStorage::F32(y), Shape::from((images, outputs, height, width))))
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
            let got = TemporalConv { weight, bias }.forward(&x, frames).unwrap();
            let diff = (got - want).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
            assert!(diff.to_scalar::<f32>().unwrap() < 1e-4, "{diff}");
        }
    }
}
