//! Small networks that read a token.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use parallax_nn::ops::Dense;

/// Linear layers with what is negative cut off between them.
#[derive(Debug)]
pub(crate) struct Head(Vec<Dense>);

/// Channels of a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Widths {
    pub(crate) inputs: usize,
    pub(crate) hidden: usize,
    pub(crate) outputs: usize,
}

impl Head {
    /// Two layers at least.
    pub(crate) fn new(widths: Widths, layers: usize, vb: &VarBuilder) -> Result<Self> {
        let Widths { inputs, hidden, outputs } = widths;
        let mut all = vec![Dense::new(inputs, hidden, vb.pp("proj_in"))?];
        for i in 0..layers.saturating_sub(2) {
            all.push(Dense::new(hidden, hidden, vb.pp("layers").pp(i))?);
        }
        all.push(Dense::new(hidden, outputs, vb.pp("proj_out"))?);
        Ok(Self(all))
    }

    /// (.., inputs) to (.., outputs).
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.0[0].forward(x)?;
        for layer in &self.0[1..] {
            x = layer.forward(&x.relu()?)?;
        }
        Ok(x)
    }
}
