//! Dense layers, with the bias and an optional residual as the product's starting value.

use candle_core::{Module, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::f32_op::{F32Op, apply3, is_cpu_f32};
use super::gemm::{Mat, Old, Sizes, Threads, product};

/// `y = x W^T + b`, over the last axis.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use parallax_nn::ops::Linear;
///
/// let at = |values: &[f32], shape: (usize, usize)| Tensor::from_slice(values, shape, &Device::Cpu);
/// // Rows are outputs, as PyTorch keeps them.
/// let sum_and_difference = Linear::of(at(&[1.0, 1.0, 1.0, -1.0], (2, 2))?, None);
/// let y = sum_and_difference.forward(&at(&[5.0, 3.0], (1, 2))?)?;
/// assert_eq!(y.to_vec2::<f32>()?, [[8.0, 2.0]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Of a weight (out, in) and a bias (out).
    pub fn of(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// Reads `weight` (out, in) and `bias` (out).
    pub fn new(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: vb.get((outputs, inputs), "weight")?,
            bias: Some(vb.get(outputs, "bias")?),
        })
    }

    /// Reads `weight` (out, in) only.
    pub fn without_bias(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self { weight: vb.get((outputs, inputs), "weight")?, bias: None })
    }

    /// `(.., in)` to `(.., out)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !is_cpu_f32(x) {
            return candle_nn::Linear::new(self.weight.clone(), self.bias.clone()).forward(x);
        }
        let bias = self.bias.as_ref().unwrap_or(&self.weight);
        apply3(&Affine { bias: self.bias.is_some() }, x, &self.weight, bias)
    }

    /// `residual + forward(x)`, for a residual of the output's shape.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        if !is_cpu_f32(x) {
            return self.forward(x)? + residual;
        }
        let bias = self.bias.as_ref().map(|b| b.to_vec1()).transpose()?;
        apply3(&AddProduct { bias }, x, &self.weight, residual)
    }
}

fn rows(x: &Shape, w: &Shape) -> Result<(usize, usize, usize)> {
    let (outputs, inputs) = w.dims2()?;
    if x.dims().last() != Some(&inputs) {
        candle_core::bail!("linear layer of {inputs} inputs applied to {:?}", x.dims());
    }
    Ok((x.elem_count() / inputs, outputs, inputs))
}

struct Affine {
    bias: bool,
}

impl F32Op<3> for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn compute(
        &self,
        [x, w, b]: [&[f32]; 3],
        [l1, l2, _]: [&Shape; 3],
    ) -> Result<(Vec<f32>, Shape)> {
        let (m, n, k) = rows(l1, l2)?;
        let mut y = vec![0f32; m * n];
        let old = if self.bias {
            y.par_chunks_mut(n).with_min_len(16).for_each(|row| row.copy_from_slice(b));
            Old::Add
        } else {
            Old::Overwrite
        };
        product(Sizes { m, n, k }, &mut y, n, Mat::rows(x, k), Mat::cols(w, k), old, Threads::All);
        let mut dims = l1.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = n;
        }
        Ok((y, Shape::from(dims)))
    }
}

struct AddProduct {
    bias: Option<Vec<f32>>,
}

impl F32Op<3> for AddProduct {
    fn name(&self) -> &'static str {
        "add-product"
    }

    fn compute(
        &self,
        [x, w, residual]: [&[f32]; 3],
        [l1, l2, l3]: [&Shape; 3],
    ) -> Result<(Vec<f32>, Shape)> {
        let (m, n, k) = rows(l1, l2)?;
        if residual.len() != m * n {
            candle_core::bail!("residual {:?} for an output of {m} rows of {n}", l3.dims());
        }
        let mut y = residual.to_vec();
        if let Some(bias) = &self.bias {
            y.par_chunks_mut(n)
                .with_min_len(16)
                .for_each(|row| row.iter_mut().zip(bias).for_each(|(y, b)| *y += b));
        }
        product(
            Sizes { m, n, k },
            &mut y,
            n,
            Mat::rows(x, k),
            Mat::cols(w, k),
            Old::Add,
            Threads::All,
        );
        Ok((y, l3.clone()))
    }
}
