//! Bilinear interpolation of maps whose corners coincide.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::f32_op::{F32Op, apply1, is_cpu_f32};
use super::fused_conv::channels_first;
use super::simd;

/// Maps (N, C, H, W) to (N, C, h, w), corner upon corner: PyTorch's `interpolate` with `mode="bilinear"`
/// and `align_corners=True`.
pub fn bilinear_aligned(x: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    if (h, w) == (height, width) {
        return Ok(x.clone());
    }
    if is_cpu_f32(x) {
        let last = x.permute((0, 2, 3, 1))?;
        if last.is_contiguous() {
            return channels_first(&apply1(&ChannelsLast { height, width }, &last)?);
        }
        return apply1(&Bilinear { height, width }, x);
    }
    x.upsample_bilinear2d(height, width, true)
}

struct Bilinear {
    height: usize,
    width: usize,
}

/// Where a sample of the result lies: between `low` and `high`, `t` of the way.
#[derive(Clone, Copy)]
struct Between {
    low: usize,
    high: usize,
    t: f32,
}

/// The place of each of `output` samples among `input`.
fn places(input: usize, output: usize) -> Vec<Between> {
    // In f32, as PyTorch computes it.
    let step = if output > 1 { (input - 1) as f32 / (output - 1) as f32 } else { 0.0 };
    let place = |i: usize| {
        let at = step * i as f32;
        let low = (at as usize).min(input - 1);
        Between { low, high: (low + 1).min(input - 1), t: at - low as f32 }
    };
    (0..output).map(place).collect()
}

impl F32Op<1> for Bilinear {
    fn name(&self) -> &'static str {
        "bilinear"
    }

    fn compute(&self, [x]: [&[f32]; 1], [shape]: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
        let (n, c, h, w) = shape.dims4()?;
        let Self { height, width } = *self;
        if h * w * height * width == 0 {
            candle_core::bail!("resize of {:?} to {height}x{width}", shape.dims());
        }
        let (rows, columns) = (places(h, height), places(w, width));
        let mut y = vec![0f32; n * c * height * width];
        y.par_chunks_mut(height * width).zip(x.par_chunks(h * w)).for_each(|(y, x)| {
            let mut line = vec![0f32; w];
            for (y, row) in y.chunks_exact_mut(width).zip(&rows) {
                let (low, high) = (&x[row.low * w..][..w], &x[row.high * w..][..w]);
                simd::over(
                    #[inline(always)]
                    || {
                        for ((l, a), b) in line.iter_mut().zip(low).zip(high) {
                            *l = a + row.t * (b - a);
                        }
                        for (y, at) in y.iter_mut().zip(&columns) {
                            let (a, b) = (line[at.low], line[at.high]);
                            *y = a + at.t * (b - a);
                        }
                    },
                );
            }
        });
        Ok((y, Shape::from((n, c, height, width))))
    }
}

/// Of maps (N, H, W, C).
struct ChannelsLast {
    height: usize,
    width: usize,
}

impl F32Op<1> for ChannelsLast {
    fn name(&self) -> &'static str {
        "bilinear"
    }

    fn compute(&self, [x]: [&[f32]; 1], [shape]: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
        let (n, h, w, c) = shape.dims4()?;
        let Self { height, width } = *self;
        if h * w * height * width * c == 0 {
            candle_core::bail!("resize of {:?} to {height}x{width}", shape.dims());
        }
        let (rows, columns) = (places(h, height), places(w, width));
        let mut y = vec![0f32; n * height * width * c];
        let line = || vec![0f32; w * c];
        y.par_chunks_mut(width * c).enumerate().for_each_init(line, |line, (i, y)| {
            let (x, row) = (&x[i / height * h * w * c..][..h * w * c], rows[i % height]);
            let (low, high) = (&x[row.low * w * c..][..w * c], &x[row.high * w * c..][..w * c]);
            simd::over(
                #[inline(always)]
                || {
                    for ((l, a), b) in line.iter_mut().zip(low).zip(high) {
                        *l = a + row.t * (b - a);
                    }
                    for (y, at) in y.chunks_exact_mut(c).zip(&columns) {
                        let (a, b) = (&line[at.low * c..][..c], &line[at.high * c..][..c]);
                        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
                            *y = a + at.t * (b - a);
                        }
                    }
                },
            );
        });
        Ok((y, Shape::from((n, height, width, c))))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn it_is_what_candle_computes_for_other_devices() {
        for ((h, w), (oh, ow)) in [
            ((3, 5), (6, 10)),
            ((4, 4), (7, 3)),
            ((1, 6), (3, 1)),
            ((2, 2), (2, 2)),
            ((9, 2), (1, 5)),
        ] {
            let x = Tensor::randn(0f32, 1.0, (2, 3, h, w), &Device::Cpu).unwrap();
            let want = x.upsample_bilinear2d(oh, ow, true).unwrap();
            let got = bilinear_aligned(&x, (oh, ow)).unwrap();
            assert_eq!(got.dims(), want.dims());
            let off = (got - want).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
            assert!(off.to_scalar::<f32>().unwrap() < 2e-6, "{h}x{w} to {oh}x{ow}");
            // The same to the bit where channels come last.
            let last = channels_first(&crate::ops::channels_last(&x).unwrap()).unwrap();
            let turned = bilinear_aligned(&last, (oh, ow)).unwrap().contiguous().unwrap();
            let elements = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(elements(&turned), elements(&bilinear_aligned(&x, (oh, ow)).unwrap()));
        }
    }
}
