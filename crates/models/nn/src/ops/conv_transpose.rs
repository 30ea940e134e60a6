//! Transposed convolution whose kernel is its stride, so that nothing overlaps.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor, bail};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::f32_op::{F32Op, apply1, is_cpu_f32};
use super::fused_conv::{channels_first, channels_last};
use super::packed::{Packed, Product, Rows};

/// Gives each pixel a square of `scale` pixels: one matrix product and a shuffle.
#[derive(Debug, Clone)]
pub struct ConvTranspose2d(Body);

#[derive(Debug, Clone)]
enum Body {
    Packed(Arc<Squares>),
    Plain {
        /// (in, out, scale, scale)
        weight: Tensor,
        bias: Tensor,
        scale: usize,
    },
}

impl ConvTranspose2d {
    /// Reads `weight` (in, out, scale, scale) and `bias` (out).
    pub fn new(inputs: usize, outputs: usize, scale: usize, vb: VarBuilder) -> Result<Self> {
        Self::of(vb.get((inputs, outputs, scale, scale), "weight")?, vb.get(outputs, "bias")?)
    }

    /// Of a weight (in, out, scale, scale) and a bias (out).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn of(weight: Tensor, bias: Tensor) -> Result<Self> {
        let (inputs, outputs, scale, _) = weight.dims4()?;
        // What only records which tensors are read holds none, but one number for all of it.
        if !is_cpu_f32(&weight) || !weight.is_contiguous() {
            return Ok(Self(Body::Plain { weight, bias, scale }));
        }
        // (in, out, s, s) -> (in, s, s, out)
        let data = weight.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1::<f32>()?;
        let stride = scale * scale * outputs;
        let packed = Packed::of_inputs(Rows { data: &data, stride }, (inputs, stride));
        Ok(Self(Body::Packed(Arc::new(Squares { packed, bias: bias.to_vec1()?, scale }))))
    }

    /// `(N, C, H, W)` to `(N, C', scale H, scale W)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.0 {
            Body::Packed(squares) => channels_first(&apply1(&**squares, &channels_last(x)?)?),
            Body::Plain { weight, bias, scale } => plain(x, weight, bias, *scale),
        }
    }
}

fn plain(x: &Tensor, weight: &Tensor, bias: &Tensor, scale: usize) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let outputs = bias.dim(0)?;
    // (out s s, in) x (N, in, H W)
    let weight = weight.reshape((c, outputs * scale * scale))?.t()?.contiguous()?;
    let y = weight.broadcast_matmul(&x.reshape((n, c, h * w))?)?;
    // (N out, s, s, H, W) -> (N out, H, s, W, s)
    let y = y.reshape((n * outputs, scale, scale, h, w))?.permute((0, 3, 1, 4, 2))?;
    let y = y.contiguous()?.reshape((n, outputs, scale * h, scale * w))?;
    y.broadcast_add(&bias.reshape((1, outputs, 1, 1))?)
}

/// The weights of a pixel's square, row by row.
#[derive(Debug)]
struct Squares {
    packed: Packed,
    bias: Vec<f32>,
    scale: usize,
}

impl F32Op<1> for Squares {
    fn name(&self) -> &'static str {
        "conv-transpose2d"
    }

    /// (N, H, W, C) to (N, s H, s W, C').
    fn compute(&self, [x]: [&[f32]; 1], [shape]: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
        let (n, h, w, c) = shape.dims4()?;
        let Self { packed, bias, scale } = self;
        if packed.inputs() != c {
            bail!("transposed convolution of {} channels applied to {c}", packed.inputs());
        }
        let (outputs, all) = (bias.len(), packed.outputs());
        let mut y = vec![0f32; n * h * w * all];
        // A row of pixels becomes `scale` of them.
        let rows = y.par_chunks_mut(w * all).zip(x.par_chunks(w * c));
        rows.for_each_init(Vec::new, |spread: &mut Vec<f32>, (y, x)| {
            spread.resize(w * all, 0.0);
            let left = Rows { data: x, stride: c };
            Product { left, rows: w, packed, out: spread, stride: all }.run(
                #[inline(always)]
                |_, column, piece| {
                    for (j, value) in piece.iter_mut().enumerate() {
                        *value += bias[(column + j) % outputs];
                    }
                },
            );
            let line = scale * outputs;
            for (ky, y) in y.chunks_exact_mut(w * line).enumerate() {
                for (y, pixel) in y.chunks_exact_mut(line).zip(spread.chunks_exact(all)) {
                    y.copy_from_slice(&pixel[ky * line..][..line]);
                }
            }
        });
        Ok((y, Shape::from((n, scale * h, scale * w, outputs))))
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
            let layer = ConvTranspose2d::of(weight.clone(), bias.clone()).unwrap();
            let got = layer.forward(&x).unwrap();
            assert_eq!(got.dims(), want.dims());
            let off = |y: &Tensor| {
                let off = (y - &want).unwrap().abs().unwrap().flatten_all().unwrap();
                off.max(0).unwrap().to_scalar::<f32>().unwrap()
            };
            assert!(off(&got) < 1e-5);
            // The body of other devices.
            let wide = |t: &Tensor| t.to_dtype(candle_core::DType::F64).unwrap();
            let layer = ConvTranspose2d::of(wide(&weight), wide(&bias)).unwrap();
            let wide = layer.forward(&wide(&x));
            let wide = wide.unwrap().to_dtype(candle_core::DType::F32).unwrap();
            assert!(off(&wide) < 1e-5);
        }
    }
}
