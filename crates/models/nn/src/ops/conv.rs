//! Two-dimensional convolution.
//!
//! On the CPU the input is gathered in blocks of output pixels small enough for the second-level
//! cache, and each block is one matrix product with the weights as they lie in the checkpoint.

use candle_core::{Result, Shape, Tensor, bail};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::TEMPORARY;
use super::f32_op::{F32Op, apply3, is_cpu_f32};
use super::gemm::{Mat, Old, Sizes, Threads, product};

/// Rows and columns of zeros around the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// Above and to the left.
    pub before: usize,
    /// Below and to the right.
    pub after: usize,
}

impl Padding {
    /// The same on all four sides.
    pub const fn same(n: usize) -> Self {
        Self { before: n, after: n }
    }
}

/// A convolution with a square kernel.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use parallax_nn::ops::{Conv2d, Padding};
///
/// // The sum of a 3x3 window of ones: 9 inside, 4 in the corners.
/// let (weight, bias) =
///     (Tensor::ones((1, 1, 3, 3), candle_core::DType::F32, &Device::Cpu)?, Tensor::new(&[0f32], &Device::Cpu)?);
/// let conv = Conv2d::of(weight, bias, (1, Padding::same(1)));
/// let x = Tensor::ones((1, 1, 4, 5), candle_core::DType::F32, &Device::Cpu)?;
/// let y = conv.forward(&x)?.squeeze(0)?.squeeze(0)?.to_vec2::<f32>()?;
/// assert_eq!((y.len(), y[0].len(), y[0][0], y[1][2]), (4, 5, 4.0, 9.0));
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
    padding: Padding,
}

impl Conv2d {
    /// Of a weight (out, in, kernel, kernel) and a bias (out).
    pub fn of(weight: Tensor, bias: Tensor, (stride, padding): (usize, Padding)) -> Self {
        Self { weight, bias, stride, padding }
    }

    /// Reads `weight` (out, in, kernel, kernel) and `bias` (out).
    pub fn new(
        inputs: usize,
        outputs: usize,
        kernel: usize,
        (stride, padding): (usize, Padding),
        vb: VarBuilder,
    ) -> Result<Self> {
        let weight = vb.get((outputs, inputs, kernel, kernel), "weight")?;
        Ok(Self { weight, bias: vb.get(outputs, "bias")?, stride, padding })
    }

    /// Reads `weight` only.
    pub fn without_bias(
        inputs: usize,
        outputs: usize,
        kernel: usize,
        (stride, padding): (usize, Padding),
        vb: VarBuilder,
    ) -> Result<Self> {
        let weight = vb.get((outputs, inputs, kernel, kernel), "weight")?;
        let bias = Tensor::zeros(outputs, weight.dtype(), weight.device())?;
        Ok(Self { weight, bias, stride, padding })
    }

    /// `(N, C, H, W)` to `(N, C', H', W')`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.run(x, &self.bias.unsqueeze(0)?)
    }

    /// [`Conv2d::forward`] plus `shift` (B, C'), each row of which serves N / B consecutive images.
    pub fn forward_shifted(&self, x: &Tensor, shift: &Tensor) -> Result<Tensor> {
        self.run(x, &shift.broadcast_add(&self.bias)?)
    }

    fn run(&self, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
        if is_cpu_f32(x) {
            let op = Gather { stride: self.stride, padding: self.padding };
            return apply3(&op, x, &self.weight, bias);
        }
        super::add_per_channel(&self.in_parts(x, TEMPORARY)?, bias)
    }

    /// The convolution without its bias, on as many images, or rows of one, as gather at most `limit`
    /// inputs under the kernel; at least a row.
    fn in_parts(&self, x: &Tensor, limit: usize) -> Result<Tensor> {
        let (images, channels, height, width) = x.dims4()?;
        let kernel = self.weight.dim(2)?;
        let Padding { before, after } = self.padding;
        let (high, wide) = (height + before + after, width + before + after);
        if high < kernel || wide < kernel {
            bail!("a convolution of {kernel}x{kernel} on {:?}", x.dims());
        }
        let out = |side: usize| (side - kernel) / self.stride + 1;
        let row = channels * kernel * kernel * out(wide);
        let rows = (limit / row).clamp(1, out(high));
        let step = (limit / (row * rows)).clamp(1, images);
        let mut parts = Vec::new();
        for i in (0..images).step_by(step) {
            let x = x.narrow(0, i, step.min(images - i))?;
            let x = x.pad_with_zeros(2, before, after)?.pad_with_zeros(3, before, after)?;
            let bands = (0..out(high))
                .step_by(rows)
                .map(|y| {
                    let last = out(high).min(y + rows) - 1;
                    let high = (last - y) * self.stride + kernel;
                    let band = x.narrow(2, y * self.stride, high)?.contiguous()?;
                    band.conv2d(&self.weight, 0, self.stride, 1, 1)
                })
                .collect::<Result<Vec<_>>>()?;
            parts.push(if bands.len() == 1 { bands[0].clone() } else { Tensor::cat(&bands, 2)? });
        }
        Tensor::cat(&parts, 0)
    }
}

struct Gather {
    stride: usize,
    padding: Padding,
}

/// The sizes of one convolution.
struct Plan {
    channels: usize,
    height: usize,
    width: usize,
    kernel: usize,
    out_height: usize,
    out_width: usize,
    stride: usize,
    before: usize,
}

impl Plan {
    fn depth(&self) -> usize {
        self.channels * self.kernel * self.kernel
    }

    fn pixels(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Output pixels per block: the gathered block of floats fits in about 512 KiB.
    fn block(&self) -> usize {
        ((1usize << 17) / self.depth() / 16 * 16).clamp(64, 1024)
    }

    /// Fill `out` (depth, count) with the inputs under the kernel of output pixels `start..`.
    fn gather(&self, image: &[f32], start: usize, count: usize, out: &mut [f32]) {
        let mut rows = out.chunks_exact_mut(count);
        for plane in image.chunks_exact(self.height * self.width) {
            for ky in 0..self.kernel {
                for kx in 0..self.kernel {
                    if let Some(row) = rows.next() {
                        self.gather_row(plane, (ky, kx), start, row);
                    }
                }
            }
        }
    }

    /// (outputs, count) of the weights `w` (outputs, depth) and what was gathered (depth, count).
    fn convolved(&self, w: &[f32], gathered: &[f32], outputs: usize) -> Vec<f32> {
        let depth = self.depth();
        let count = gathered.len() / depth;
        let mut part = vec![0f32; outputs * count];
        let (w, g) = (Mat::rows(w, depth), Mat::rows(gathered, count));
        let sizes = Sizes { m: outputs, n: count, k: depth };
        product(sizes, &mut part, count, w, g, Old::Overwrite, Threads::One);
        part
    }

    fn gather_row(&self, plane: &[f32], (ky, kx): (usize, usize), start: usize, row: &mut [f32]) {
        let mut done = 0;
        while done < row.len() {
            let (oy, ox) = ((start + done) / self.out_width, (start + done) % self.out_width);
            let run = (self.out_width - ox).min(row.len() - done);
            let segment = &mut row[done..done + run];
            done += run;
            let Some(iy) =
                (oy * self.stride + ky).checked_sub(self.before).filter(|&y| y < self.height)
            else {
                segment.fill(0.0);
                continue;
            };
            let line = &plane[iy * self.width..(iy + 1) * self.width];
            // Input column of output column ox + j is (ox + j) * stride + kx - before.
            let first = ox * self.stride + kx;
            if self.stride == 1 {
                let zeros = self.before.saturating_sub(first).min(run);
                let from = (first + zeros).saturating_sub(self.before).min(self.width);
                let copied = (self.width - from).min(run - zeros);
                segment[..zeros].fill(0.0);
                segment[zeros..zeros + copied].copy_from_slice(&line[from..from + copied]);
                segment[zeros + copied..].fill(0.0);
            } else {
                for (j, value) in segment.iter_mut().enumerate() {
                    let ix = (first + j * self.stride).checked_sub(self.before);
                    *value = ix.and_then(|ix| line.get(ix)).copied().unwrap_or(0.0);
                }
            }
        }
    }
}

impl F32Op<3> for Gather {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn compute(
        &self,
        [x, w, bias]: [&[f32]; 3],
        [l1, l2, l3]: [&Shape; 3],
    ) -> Result<(Vec<f32>, Shape)> {
        let (images, channels, height, width) = l1.dims4()?;
        let (outputs, inputs, kernel, _) = l2.dims4()?;
        let bias_rows = l3.dims2()?.0;
        let Padding { before, after } = self.padding;
        if inputs != channels {
            candle_core::bail!("convolution of {inputs} channels applied to {channels}");
        }
        if height + before + after < kernel
            || width + before + after < kernel
            || images % bias_rows != 0
        {
            candle_core::bail!(
                "convolution of {:?} with kernel {kernel}, {bias_rows} bias rows",
                l1.dims()
            );
        }
        let plan = Plan {
            channels,
            height,
            width,
            kernel,
            out_height: (height + before + after - kernel) / self.stride + 1,
            out_width: (width + before + after - kernel) / self.stride + 1,
            stride: self.stride,
            before,
        };
        let pixels = plan.pixels();
        let depth = plan.depth();
        let mut y = vec![0f32; images * outputs * pixels];
        let bias_of =
            |row: usize| bias[row / outputs / (images / bias_rows) * outputs + row % outputs];

        if kernel == 1 && self.stride == 1 && before + after == 0 {
            y.par_chunks_mut(pixels).enumerate().for_each(|(row, y)| y.fill(bias_of(row)));
            for (y, x) in
                y.chunks_exact_mut(outputs * pixels).zip(x.chunks_exact(channels * pixels))
            {
                let (w, x) = (Mat::rows(w, depth), Mat::rows(x, pixels));
                product(
                    Sizes { m: outputs, n: pixels, k: depth },
                    y,
                    pixels,
                    w,
                    x,
                    Old::Add,
                    Threads::All,
                );
            }
        } else {
            let block = plan.block();
            let per_image = pixels.div_ceil(block);
            let parts: Vec<Vec<f32>> = (0..images * per_image)
                .into_par_iter()
                .map_init(Vec::new, |gathered, i| {
                    let start = i % per_image * block;
                    let count = block.min(pixels - start);
                    gathered.resize(depth * count, 0.0);
                    let image = &x[i / per_image * channels * height * width..]
                        [..channels * height * width];
                    plan.gather(image, start, count, gathered);
                    plan.convolved(w, gathered, outputs)
                })
                .collect();
            // One row is one channel of one image; its pieces lie in that image's parts.
            y.par_chunks_mut(pixels).enumerate().with_min_len(8).for_each(|(row, y)| {
                let (image, channel, bias) = (row / outputs, row % outputs, bias_of(row));
                for (y, part) in y.chunks_mut(block).zip(&parts[image * per_image..]) {
                    let piece = &part[channel * y.len()..][..y.len()];
                    y.iter_mut().zip(piece).for_each(|(y, p)| *y = p + bias);
                }
            });
        }
        let shape = Shape::from((images, outputs, plan.out_height, plan.out_width));
        Ok((y, shape))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn gathered_convolution_equals_candle() {
        let dev = Device::Cpu;
        let cases = [
            // images, in, out, h, w, kernel, stride, before, after
            (1, 1, 1, 1, 1, 3, 1, 1, 1),
            (2, 3, 5, 7, 11, 3, 1, 1, 1),
            (3, 4, 2, 9, 6, 3, 2, 1, 1),
            (1, 3, 4, 8, 10, 3, 2, 0, 1),
            (2, 3, 6, 14, 21, 7, 7, 0, 0),
            (4, 5, 3, 4, 9, 1, 1, 0, 0),
            (1, 40, 7, 37, 41, 3, 1, 1, 1),
        ];
        for (n, cin, cout, h, w, kernel, stride, before, after) in cases {
            let x = Tensor::randn(0f32, 1.0, (n, cin, h, w), &dev).unwrap();
            let weight = Tensor::randn(0f32, 1.0, (cout, cin, kernel, kernel), &dev).unwrap();
            let bias = Tensor::randn(0f32, 1.0, cout, &dev).unwrap();
            let padded = x
                .pad_with_zeros(2, before, after)
                .unwrap()
                .pad_with_zeros(3, before, after)
                .unwrap();
            let want = padded.conv2d(&weight, 0, stride, 1, 1).unwrap();
            let want = want.broadcast_add(&bias.reshape((1, cout, 1, 1)).unwrap()).unwrap();
            let conv = Conv2d { weight, bias, stride, padding: Padding { before, after } };
            let got = conv.forward(&x).unwrap();
            assert_eq!(got.dims(), want.dims());
            let diff = (got - &want).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
            assert!(
                diff.to_scalar::<f32>().unwrap() < 2e-4,
                "{n} {cin} {cout} {h} {w} {kernel}: {diff}"
            );
            assert_eq!(diff.dtype(), DType::F32);
            // What gathers little at a time gathers the same.
            for limit in [1, 500, 5000] {
                let parts = conv.in_parts(&x, limit).unwrap();
                let parts = crate::ops::add_per_channel(&parts, &conv.bias.unsqueeze(0).unwrap());
                let diff = (parts.unwrap() - &want).unwrap().abs().unwrap();
                let diff = diff.flatten_all().unwrap().max(0).unwrap();
                assert!(diff.to_scalar::<f32>().unwrap() < 2e-4, "{limit}: {diff}");
            }
        }
    }
}
