//! Transposed convolution whose kernel is its stride, so that nothing overlaps.

use candle_core::{Result, Shape, Tensor, bail};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::f32_op::{F32Op, apply3, is_cpu_f32};
use super::gemm::{Mat, Old, Sizes, Threads, product};

/// Gives each pixel a square of `scale` pixels: one matrix product and a shuffle.
#[derive(Debug, Clone)]
pub struct ConvTranspose2d {
    /// (in, out, scale, scale)
    weight: Tensor,
    bias: Tensor,
    scale: usize,
}

impl ConvTranspose2d {
    /// Reads `weight` (in, out, scale, scale) and `bias` (out).
    pub fn new(inputs: usize, outputs: usize, scale: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: vb.get((inputs, outputs, scale, scale), "weight")?,
            bias: vb.get(outputs, "bias")?,
            scale,
        })
    }

    /// `(N, C, H, W)` to `(N, C', scale H, scale W)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if is_cpu_f32(x) {
            return apply3(&Shuffled, x, &self.weight, &self.bias);
        }
        let (n, c, h, w) = x.dims4()?;
        let (outputs, scale) = (self.bias.dim(0)?, self.scale);
        // (out s s, in) x (N, in, H W)
        let weight = self.weight.reshape((c, outputs * scale * scale))?.t()?.contiguous()?;
        let y = weight.broadcast_matmul(&x.reshape((n, c, h * w))?)?;
        // (N out, s, s, H, W) -> (N out, H, s, W, s)
        let y = y.reshape((n * outputs, scale, scale, h, w))?.permute((0, 3, 1, 4, 2))?;
        let y = y.contiguous()?.reshape((n, outputs, scale * h, scale * w))?;
        y.broadcast_add(&self.bias.reshape((1, outputs, 1, 1))?)
    }
}

struct Shuffled;

impl F32Op<3> for Shuffled {
    fn name(&self) -> &'static str {
        "conv-transpose2d"
    }

    fn compute(
        &self,
        [x, weight, bias]: [&[f32]; 3],
        [l1, l2, _]: [&Shape; 3],
    ) -> Result<(Vec<f32>, Shape)> {
        let (n, c, h, w) = l1.dims4()?;
        let (inputs, outputs, scale, _) = l2.dims4()?;
        if inputs != c {
            bail!("transposed convolution of {inputs} channels applied to {c}");
        }
        let (pixels, rows) = (h * w, outputs * scale * scale);
        let mut y = vec![0f32; n * rows * pixels];
        let mut spread = vec![0f32; rows * pixels];
        for (x, y) in x.chunks_exact(c * pixels).zip(y.chunks_exact_mut(rows * pixels)) {
            let (weight, x) = (Mat::cols(weight, rows), Mat::rows(x, pixels));
            let sizes = Sizes { m: rows, n: pixels, k: c };
            product(sizes, &mut spread, pixels, weight, x, Old::Overwrite, Threads::All);
            let squares = spread.par_chunks(scale * scale * pixels);
            y.par_chunks_mut(scale * scale * pixels).zip(squares).zip(bias).for_each(
                |((y, square), bias)| {
                    for (at, line) in y.chunks_exact_mut(scale * w).enumerate() {
                        let (row, ky) = (at / scale, at % scale);
                        for kx in 0..scale {
                            let from = &square[((ky * scale + kx) * h + row) * w..][..w];
                            for (j, v) in from.iter().enumerate() {
                                line[j * scale + kx] = v + bias;
                            }
                        }
                    }
                },
            );
        }
        Ok((y, Shape::from((n, outputs, scale * h, scale * w))))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn it_is_what_candle_computes() {
        for (n, inputs, outputs, scale, h, w) in
            [(1, 1, 1, 2, 1, 1), (2, 3, 5, 4, 3, 7), (1, 6, 4, 2, 5, 2)]
        {
            let random = |shape: &[usize]| Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
            let x = random(&[n, inputs, h, w]);
            let weight = random(&[inputs, outputs, scale, scale]);
            let bias = random(&[outputs]);
            let want = x.conv_transpose2d(&weight, 0, 0, scale, 1).unwrap();
            let want = want.broadcast_add(&bias.reshape((1, outputs, 1, 1)).unwrap()).unwrap();
            let layer = ConvTranspose2d { weight, bias, scale };
            let got = layer.forward(&x).unwrap();
            assert_eq!(got.dims(), want.dims());
            let off = |y: &Tensor| {
                let off = (y - &want).unwrap().abs().unwrap().flatten_all().unwrap();
                off.max(0).unwrap().to_scalar::<f32>().unwrap()
            };
            assert!(off(&got) < 1e-5);
            // The body of other devices.
            let wide = layer_as_f64(&layer).forward(&x.to_dtype(candle_core::DType::F64).unwrap());
            let wide = wide.unwrap().to_dtype(candle_core::DType::F32).unwrap();
            assert!(off(&wide) < 1e-5);
        }
    }

    fn layer_as_f64(layer: &ConvTranspose2d) -> ConvTranspose2d {
        let wide = |t: &Tensor| t.to_dtype(candle_core::DType::F64).unwrap();
        ConvTranspose2d { weight: wide(&layer.weight), bias: wide(&layer.bias), scale: layer.scale }
    }
}
