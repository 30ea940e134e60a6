//! Clips of bytes from a seed, for callers that know no tensors.

use std::ops::ControlFlow;

use candle_core::{DType, Device, Result, Tensor};
use parallax_nn::noise::Generator;

use super::decode::out_of_memory;
use super::{Clip, ImageToVideo, Options, Work};

/// Why there is no clip.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The caller asked for it.
    #[error("cancelled")]
    Asked,
    /// The device has no room.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// A network failed.
    #[error("{0}")]
    Failed(String),
}

impl ImageToVideo {
    /// [`ImageToVideo::run`] on red, green and blue of a picture of (width, height), with the noise that PyTorch draws
    /// on a processor from `seed`. `watch` is told of every piece of work before it begins, and may end the run.
    ///
    /// # Errors
    /// As [`Stopped`] has them.
    pub fn run_seeded(
        &self,
        (rgb, size): (&[u8], (usize, usize)),
        options: &Options,
        seed: u64,
        watch: &mut dyn FnMut(Work) -> ControlFlow<()>,
    ) -> std::result::Result<Clip, Stopped> {
        let mut asked = false;
        let mut noise = Generator::new(seed);
        let made = tensor(rgb, size, &self.device).and_then(|picture| {
            let mut draw = |shape: &[usize]| noise.randn(shape, &self.device);
            let mut told = |work| {
                asked = watch(work).is_break();
                if asked { candle_core::bail!("cancelled") } else { Ok(()) }
            };
            self.run(&picture, options, &mut draw, &mut told)
        });
        made.map_err(|error| match error {
            _ if asked => Stopped::Asked,
            error if out_of_memory(&error) => Stopped::OutOfMemory(error.to_string()),
            error => Stopped::Failed(error.to_string()),
        })
    }
}

/// Bytes as (1, 3, H, W) in [-1, 1].
fn tensor(rgb: &[u8], (width, height): (usize, usize), device: &Device) -> Result<Tensor> {
    let levels = Tensor::from_slice(rgb, (1, height, width, 3), device)?.to_dtype(DType::F32)?;
    // (1, H, W, 3) -> (1, 3, H, W)
    ((levels / 127.5)? - 1.0)?.permute((0, 3, 1, 2))?.contiguous()
}
