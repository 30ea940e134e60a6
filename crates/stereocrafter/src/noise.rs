//! Where the pipelines take their noise from.

use std::collections::VecDeque;

use candle_core::{Device, Result, Tensor, bail};
use parallax_svd::noise::Generator;

/// A source of standard normal noise, asked in the reference's order.
///
/// Depth draws its noise augmentation (N, 3, H, W), then the noise of its windows (window, 4, h, w).
/// Inpainting draws, for each tile of each chunk, a noise augmentation (F, 3, H, W) that it scales by
/// zero, then the noise of the latents (F, 4, h, w).
pub trait Noise {
    /// The next tensor, f32.
    fn draw(&mut self, shape: &[usize], device: &Device) -> Result<Tensor>;

    /// Passes over the next tensor.
    fn skip(&mut self, shape: &[usize]) -> Result<()> {
        self.draw(shape, &Device::Cpu).map(drop)
    }
}

impl Noise for Generator {
    fn draw(&mut self, shape: &[usize], device: &Device) -> Result<Tensor> {
        self.randn(shape, device)
    }
}

/// Noise that was drawn elsewhere, given out in order; what is passed over was not recorded.
#[derive(Debug, Clone, Default)]
pub struct Recorded(pub VecDeque<Tensor>);

impl Noise for Recorded {
    fn draw(&mut self, shape: &[usize], device: &Device) -> Result<Tensor> {
        match self.0.pop_front() {
            Some(noise) if noise.dims() == shape => noise.to_device(device),
            Some(noise) => bail!("recorded noise {:?} where {shape:?} is drawn", noise.dims()),
            None => bail!("no recorded noise left where {shape:?} is drawn"),
        }
    }

    fn skip(&mut self, _shape: &[usize]) -> Result<()> {
        Ok(())
    }
}
