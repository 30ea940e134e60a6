//! Resizing of images, as networks were trained with it.
//!
//! diffusers `pipelines/stable_video_diffusion/pipeline_stable_video_diffusion.py`,
//! `_resize_with_antialiasing`: a Gaussian blur sized by the reduction, then bicubic interpolation with
//! aligned corners. Both are linear and act on each axis alone, so they are one matrix per axis here.

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
