//! Dense layers whose weights are laid out once, for networks that see image after image.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::activation::gelu;
use super::f32_op::{F32Op, apply1, apply2, is_cpu_f32};
use super::linear::Linear;
use super::packed::{Packed, Product, Rows};
use super::simd;

/// Rows of a task: whole tiles of the product, whatever their height.
const ROWS: usize = 96;

/// A [`Linear`] that has packed its weights where it runs on the processor. It keeps them once, in that form.
#[derive(Debug, Clone)]
pub struct Dense(Body);

#[derive(Debug, Clone)]
enum Body {
    Packed(Arc<Weights>),
    Plain(Linear),
}

/// Packed weights, and what is added to their products.
#[derive(Debug)]
pub(super) struct Weights {
    packed: Packed,
    bias: Option<Vec<f32>>,
}

impl Weights {
    pub(super) fn inputs(&self) -> usize {
        self.packed.inputs()
    }

    pub(super) fn outputs(&self) -> usize {
        self.packed.outputs()
    }

    /// Rows `x` to as many rows as `y` has, on this thread, plus those of `residual`.
    pub(super) fn apply(&self, x: &[f32], y: &mut [f32], residual: Option<&[f32]>, then: Then<'_>) {
        let Self { packed, bias } = self;
        let outputs = packed.outputs();
        let left = Rows { data: x, stride: packed.inputs() };
        Product { left, rows: y.len() / outputs, packed, out: y, stride: outputs }.run(
            #[inline(always)]
            |row, column, piece| {
                if let Some(bias) = bias {
                    add(piece, &bias[column..]);
                }
                if let Some(residual) = residual {
                    add(piece, &residual[row * outputs + column..]);
                }
                match then {
                    Then::Nothing => {}
                    Then::Gelu => simd::gelu_of(piece),
                    Then::Gated(gate) => simd::gate(piece, &gate[row * outputs + column..]),
                }
            },
        );
    }
}

impl Dense {
    /// Of a weight (out, in) and a bias (out).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn of(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        // What only records which tensors are read holds none, but one number for all of it.
        if !is_cpu_f32(&weight) || !weight.is_contiguous() {
            return Ok(Self(Body::Plain(Linear::of(weight, bias))));
        }
        let (outputs, inputs) = weight.dims2()?;
        let bias = bias.map(|bias| bias.to_vec1::<f32>()).transpose()?;
        if bias.as_ref().is_some_and(|bias| bias.len() != outputs) {
            candle_core::bail!("a bias that is not of {outputs} outputs");
        }
        let data = weight.flatten_all()?.to_vec1::<f32>()?;
        let rows = Rows { data: &data, stride: inputs };
        let packed = Packed::of_outputs(rows, (outputs, inputs));
        Ok(Self(Body::Packed(Arc::new(Weights { packed, bias }))))
    }

    /// Reads `weight` (out, in) and `bias` (out).
    ///
    /// # Errors
    /// Those of `vb`.
    pub fn new(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        Self::of(vb.get((outputs, inputs), "weight")?, Some(vb.get(outputs, "bias")?))
    }

    /// Reads `weight` (out, in) only.
    ///
    /// # Errors
    /// Those of `vb`.
    pub fn without_bias(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        Self::of(vb.get((outputs, inputs), "weight")?, None)
    }

    /// Its packed weights, on the processor.
    pub(super) fn weights(&self) -> Option<&Weights> {
        match &self.0 {
            Body::Packed(weights) => Some(weights),
            Body::Plain(_) => None,
        }
    }

    /// `(.., in)` to `(.., out)`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.0 {
            Body::Packed(weights) => apply1(&Affine { weights, then: Then::Nothing }, x),
            Body::Plain(linear) => linear.forward(x),
        }
    }

    /// The exact GELU of [`Dense::forward`].
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor> {
        match &self.0 {
            Body::Packed(weights) => apply1(&Affine { weights, then: Then::Gelu }, x),
            Body::Plain(linear) => gelu(&linear.forward(x)?, false),
        }
    }

    /// `residual + forward(x)`, for a residual of the output's shape.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        match &self.0 {
            Body::Packed(weights) => apply2(&Affine { weights, then: Then::Nothing }, x, residual),
            Body::Plain(linear) => linear.forward_add(x, residual),
        }
    }
}

/// What becomes of a product with its bias.
#[derive(Clone, Copy)]
pub(super) enum Then<'a> {
    Nothing,
    Gelu,
    /// Times the SiLU of these rows.
    Gated(&'a [f32]),
}

struct Affine<'a> {
    weights: &'a Weights,
    then: Then<'a>,
}

impl Affine<'_> {
    fn run(&self, x: &[f32], residual: Option<&[f32]>, shape: &Shape) -> Result<(Vec<f32>, Shape)> {
        let packed = &self.weights.packed;
        let (inputs, outputs) = (packed.inputs(), packed.outputs());
        let mut dims = shape.dims().to_vec();
        match dims.last_mut() {
            Some(last) if *last == inputs => *last = outputs,
            _ => candle_core::bail!("a layer of {inputs} inputs applied to {:?}", shape.dims()),
        }
        let mut y = vec![0f32; x.len() / inputs * outputs];
        if residual.is_some_and(|residual| residual.len() != y.len()) {
            candle_core::bail!("a residual that is not of shape {dims:?}");
        }
        y.par_chunks_mut(ROWS * outputs).enumerate().for_each(|(task, y)| {
            let residual = residual.map(|residual| &residual[task * ROWS * outputs..]);
            self.weights.apply(&x[task * ROWS * inputs..], y, residual, self.then);
        });
        Ok((y, Shape::from(dims)))
    }
}

#[inline(always)]
fn add(piece: &mut [f32], other: &[f32]) {
    for (value, other) in piece.iter_mut().zip(other) {
        *value += other;
    }
}

impl F32Op<1> for Affine<'_> {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn compute(&self, [x]: [&[f32]; 1], [shape]: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
        self.run(x, None, shape)
    }
}

impl F32Op<2> for Affine<'_> {
    fn name(&self) -> &'static str {
        "dense with a residual"
    }

    fn compute(
        &self,
        [x, residual]: [&[f32]; 2],
        [shape, _]: [&Shape; 2],
    ) -> Result<(Vec<f32>, Shape)> {
        self.run(x, Some(residual), shape)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;
    use parallax_test_networks::{assert_close, random};

    use super::*;

    #[test]
    fn it_is_the_layer_that_it_packed() {
        for (rows, inputs, outputs) in [(1, 3, 5), (7, 384, 48), (200, 17, 65), (13, 40, 130)] {
            let weight = (random((outputs, inputs)).unwrap() * (inputs as f64).powf(-0.5)).unwrap();
            let bias = random(outputs).unwrap();
            let (x, residual) =
                (random((2, rows, inputs)).unwrap(), random((2, rows, outputs)).unwrap());
            let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
            for bias in [Some(&bias), None] {
                let layer = Dense::of(weight.clone(), bias.cloned()).unwrap();
                let plain = Dense::of(wide(&weight), bias.map(wide)).unwrap();
                assert!(layer.weights().is_some() && plain.weights().is_none());
                let same = |name: &str, got: Tensor, want: Tensor| {
                    assert_close(name, &got, &want.to_dtype(DType::F32).unwrap(), 1e-5, 1e-5);
                };
                same("plain", layer.forward(&x).unwrap(), plain.forward(&wide(&x)).unwrap());
                let want = plain.forward_gelu(&wide(&x)).unwrap();
                same("gelu", layer.forward_gelu(&x).unwrap(), want);
                let want = plain.forward_add(&wide(&x), &wide(&residual)).unwrap();
                same("residual", layer.forward_add(&x, &residual).unwrap(), want);
            }
            let layer = Dense::of(weight, None).unwrap();
            assert!(layer.forward(&residual).is_err() || inputs == outputs);
            assert!(layer.forward_add(&x, &x).is_err() || inputs == outputs);
        }
    }
}
