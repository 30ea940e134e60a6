//! From the stages' outputs to maps of one width.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use parallax_nn::Tap;
use parallax_nn::ops::Dense;

use crate::config::Config;

/// A feature pyramid (Lin et al. 2017, arXiv:1612.03144) whose finest levels take nothing from the coarser.
#[derive(Debug)]
pub(crate) struct Neck {
    /// Finest first.
    laterals: Vec<Dense>,
    top_down: Vec<usize>,
}

/// A convolution that sees single pixels, as a product.
pub(crate) fn point(inputs: usize, outputs: usize, vb: &VarBuilder) -> Result<Dense> {
    let weight = vb.get((outputs, inputs, 1, 1), "weight")?.reshape((outputs, inputs))?;
    Dense::of(weight, Some(vb.get(outputs, "bias")?))
}

impl Neck {
    pub(crate) fn new(config: &Config, vb: &VarBuilder) -> Result<Self> {
        let widths = config.backbone.widths;
        let last = widths.len() - 1;
        // The first of the file belongs to the coarsest stage.
        let lateral = |i: usize| point(widths[i], config.width, &vb.pp("convs").pp(last - i));
        Ok(Self {
            laterals: (0..=last).map(lateral).collect::<Result<_>>()?,
            top_down: config.top_down.clone(),
        })
    }

    /// The stages' outputs (N, h, w, C) to three maps of one width, finest first; the coarsest gives what it has
    /// to the next and goes.
    pub(crate) fn forward(&self, stages: &[Tensor; 4], tap: &mut Tap) -> Result<[Tensor; 3]> {
        let map = |i: usize, coarser: Option<&Tensor>| -> Result<Tensor> {
            match coarser.filter(|_| self.top_down.contains(&i)) {
                Some(coarser) => self.laterals[i].forward_add(&stages[i], &twice(coarser)?),
                None => self.laterals[i].forward(&stages[i]),
            }
        };
        let coarsest = map(3, None)?;
        let coarse = map(2, Some(&coarsest))?;
        let middle = map(1, Some(&coarse))?;
        let fine = map(0, Some(&middle))?;
        let maps = [fine, middle, coarse];
        for (i, map) in maps.iter().enumerate() {
            tap(&format!("fpn{i}"), map)?;
        }
        Ok(maps)
    }
}

/// Every token four times: (N, h, w, C) to (N, 2 h, 2 w, C).
fn twice(x: &Tensor) -> Result<Tensor> {
    let (n, h, w, c) = x.dims4()?;
    let x = x.reshape(&[n, h, 1, w, 1, c][..])?.broadcast_as(&[n, h, 2, w, 2, c][..])?;
    x.contiguous()?.reshape((n, 2 * h, 2 * w, c))
}
