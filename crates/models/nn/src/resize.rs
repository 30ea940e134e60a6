//! Resizing of images, as networks were trained with it.
//!
//! [`resize_antialiased`] is that of diffusers, `pipelines/stable_video_diffusion/pipeline_stable_video_diffusion.py`,
//! `_resize_with_antialiasing`: a Gaussian blur sized by the reduction, then bicubic interpolation with
//! aligned corners. The others are PyTorch's own. All are linear and act on each axis alone, so they are one
//! matrix per axis here.

use candle_core::{DType, Device, Result, Tensor, bail};

/// Keys' cubic coefficient, as PyTorch has it.
const CUBIC: f64 = -0.75;

/// Images (N, C, H, W) to (N, C, h, w), f32, blurred along each axis that shrinks.
///
/// # Errors
/// When an axis is too short for the blur that its reduction asks for.
///
/// # Example
/// ```
/// use candle_core::{Device, Tensor};
/// use parallax_nn::resize::resize_antialiased;
///
/// // Stripes of one pixel become grey, where sampling without averaging would keep one of the two.
/// let stripes: Vec<f32> = (0..64 * 64).map(|i| (i % 2) as f32).collect();
/// let small = resize_antialiased(&Tensor::from_vec(stripes, (1, 1, 64, 64), &Device::Cpu)?, (16, 16))?;
/// assert_eq!(small.dims(), [1, 1, 16, 16]);
/// let middle = small.get(0)?.get(0)?.to_vec2::<f32>()?[8][8];
/// assert!((middle - 0.5).abs() < 0.02, "{middle}");
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn resize_antialiased(images: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
    let (_, _, h, w) = images.dims4()?;
    let rows = axis_matrix(h, height, images.device())?;
    let columns = axis_matrix(w, width, images.device())?;
    // (N, C, H, W) x (W, w), then (h, H) x (N, C, H, w)
    let across = images.to_dtype(DType::F32)?.contiguous()?.broadcast_matmul(&columns.t()?)?;
    rows.broadcast_matmul(&across)
}

/// The (output, input) matrix of blur, then interpolation.
fn axis_matrix(input: usize, output: usize, device: &Device) -> Result<Tensor> {
    if input == 0 || output == 0 {
        bail!("resize from {input} to {output}");
    }
    let kernel = blur_kernel(input as f64 / output as f64);
    let radius = kernel.len() / 2;
    if radius >= input {
        bail!("resize from {input} to {output}: the blur reaches {radius} past the edge");
    }
    // Positions in f32, as PyTorch has them: at an edge of the image the difference shows.
    let step = if output > 1 { (input - 1) as f32 / (output - 1) as f32 } else { 0.0 };
    let last = input as isize - 1;
    let mut matrix = vec![0f64; output * input];
    for (i, row) in matrix.chunks_exact_mut(input).enumerate() {
        let position = step * i as f32;
        let base = position.floor();
        for (tap, weight) in cubic_weights(f64::from(position - base)).into_iter().enumerate() {
            let centre = (base as isize + tap as isize - 1).clamp(0, last);
            for (j, k) in kernel.iter().enumerate() {
                let at = centre + j as isize - radius as isize;
                let reflected = if at < 0 {
                    -at
                } else if at > last {
                    2 * last - at
                } else {
                    at
                };
                row[reflected as usize] += weight * k;
            }
        }
    }
    let matrix = matrix.into_iter().map(|x| x as f32).collect();
    Tensor::from_vec(matrix, (output, input), device)
}

/// A normalised Gaussian of deviation `(factor - 1) / 2`, four deviations long, of odd length.
fn blur_kernel(factor: f64) -> Vec<f64> {
    let sigma = ((factor - 1.0) / 2.0).max(0.001);
    let size = (4.0 * sigma).max(3.0) as usize | 1;
    let half = (size / 2) as f64;
    // In f32, as upstream has it: matters only where a tiny sigma underflows.
    let weights: Vec<f64> = (0..size)
        .map(|i| f64::from((-(i as f64 - half).powi(2) / (2.0 * sigma * sigma)).exp() as f32))
        .collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / total).collect()
}

/// Weights of the samples at -1, 0, 1 and 2 for a point `t` in [0, 1).
fn cubic_weights(t: f64) -> [f64; 4] {
    let near = |x: f64| ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((CUBIC * x - 5.0 * CUBIC) * x + 8.0 * CUBIC) * x - 4.0 * CUBIC;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

/// Images (N, C, H, W) to (N, C, h, w), f32: cubic convolution of the four nearest samples, without aligned
/// corners and without antialiasing, the border's sample standing in for those beyond it; PyTorch's
/// `interpolate(mode="bicubic")`.
///
/// # Errors
/// When there is nothing to resize, or nothing to resize it to.
///
/// # Example
/// ```
/// use candle_core::{Device, Tensor};
/// use parallax_nn::resize::{resize_bicubic, resize_bilinear_antialiased};
///
/// let table = Tensor::arange(0f32, 49.0, &Device::Cpu)?.reshape((1, 1, 7, 7))?;
/// assert_eq!(resize_bicubic(&table, (16, 24))?.dims(), [1, 1, 16, 24]);
/// let mean = resize_bilinear_antialiased(&table, (1, 1))?.flatten_all()?.to_vec1::<f32>()?;
/// assert!((mean[0] - 24.0).abs() < 1e-4);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn resize_bicubic(images: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
    by_axes(images, (height, width), |input, output| {
        samples(input, output, |at| {
            let base = at.floor();
            let first = base as isize - 1;
            cubic_weights(at - base).into_iter().zip(first..).map(|(w, i)| (i, w)).collect()
        })
    })
}

/// Images (N, C, H, W) to (N, C, h, w), f32: a triangle over all samples that one of the result covers, without
/// aligned corners; PyTorch's `interpolate(mode="bilinear", antialias=True)`.
///
/// # Errors
/// As [`resize_bicubic`].
pub fn resize_bilinear_antialiased(
    images: &Tensor,
    (height, width): (usize, usize),
) -> Result<Tensor> {
    by_axes(images, (height, width), |input, output| {
        let stretch = (input as f64 / output as f64).max(1.0);
        samples(input, output, |at| {
            let (from, to) = ((at - stretch).ceil() as isize, (at + stretch).floor() as isize);
            let inside = from.max(0)..=to.min(input as isize - 1);
            let weight = |i: isize| (i, (1.0 - (i as f64 - at).abs() / stretch).max(0.0));
            let weights: Vec<(isize, f64)> = inside.map(weight).collect();
            let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
            weights.into_iter().map(|(i, weight)| (i, weight / total)).collect()
        })
    })
}

/// A resize that acts on each axis alone, as `matrix` (output, input) says for each.
fn by_axes(
    images: &Tensor,
    (height, width): (usize, usize),
    matrix: impl Fn(usize, usize) -> Vec<f32>,
) -> Result<Tensor> {
    let (_, _, h, w) = images.dims4()?;
    if h * w * height * width == 0 {
        bail!("resize of {w}x{h} to {width}x{height}");
    }
    let device = images.device();
    let rows = Tensor::from_vec(matrix(h, height), (height, h), device)?;
    let columns = Tensor::from_vec(matrix(w, width), (width, w), device)?;
    let across = images.to_dtype(DType::F32)?.contiguous()?.broadcast_matmul(&columns.t()?)?;
    rows.broadcast_matmul(&across)
}

/// The matrix (output, input) whose rows are what `weights` says for where their samples' centres lie.
fn samples(input: usize, output: usize, weights: impl Fn(f64) -> Vec<(isize, f64)>) -> Vec<f32> {
    let step = input as f64 / output as f64;
    let mut matrix = vec![0f32; input * output];
    for (i, row) in matrix.chunks_exact_mut(input).enumerate() {
        for (at, weight) in weights((i as f64 + 0.5) * step - 0.5) {
            row[at.clamp(0, input as isize - 1) as usize] += weight as f32;
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn its_own_size_changes_nothing_and_a_plain_image_stays_plain() {
        let x = Tensor::arange(0f32, 30.0, &Device::Cpu).unwrap().reshape((1, 1, 5, 6)).unwrap();
        let plain = Tensor::full(3f32, (1, 2, 5, 6), &Device::Cpu).unwrap();
        for resize in [resize_bicubic, resize_bilinear_antialiased] {
            assert_eq!(values(&resize(&x, (5, 6)).unwrap()), values(&x));
            for size in [(7, 3), (2, 13), (1, 1)] {
                let resized = resize(&plain, size).unwrap();
                assert_eq!(resized.dims(), [1, 2, size.0, size.1]);
                assert!(values(&resized).iter().all(|v| (v - 3.0).abs() < 1e-5), "{size:?}");
            }
            assert!(resize(&x, (0, 6)).is_err());
        }
    }

    #[test]
    fn a_triangle_covers_all_that_a_sample_stands_for() {
        let x = Tensor::new(&[[[[0f32, 4.0, 8.0, 4.0]]]], &Device::Cpu).unwrap();
        // Weights 3, 3, 1 of 7 around the first, and 1, 3, 3 of 7 around the second.
        let got = values(&resize_bilinear_antialiased(&x, (1, 2)).unwrap());
        let want = [20.0 / 7.0, 40.0 / 7.0];
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-5), "{got:?}");
    }
}
