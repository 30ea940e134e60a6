//! Frames to the pixels that the image encoder expects.
//!
//! diffusers `pipelines/stable_video_diffusion/pipeline_stable_video_diffusion.py`: blurred and resized
//! in [-1, 1]; then the normalisation of the checkpoint's `feature_extractor`.

use candle_core::{Result, Tensor};
use parallax_nn::resize::resize_antialiased;
use serde::Deserialize;

/// `feature_extractor/preprocessor_config.json`, as far as the pipelines use it: they resize and rescale
/// themselves.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// Mean of each channel in [0, 1].
    pub image_mean: [f64; 3],
    /// Standard deviation of each channel in [0, 1].
    pub image_std: [f64; 3],
}

impl Default for Config {
    /// CLIP's.
    fn default() -> Self {
        Self {
            image_mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            image_std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
        }
    }
}

/// Frames (N, 3, H, W) in [-1, 1] to encoder pixels (N, 3, side, side), f32.
pub fn clip_pixels(cfg: &Config, frames: &Tensor, side: usize) -> Result<Tensor> {
    let unit = ((resize_antialiased(frames, (side, side))? + 1.0)? * 0.5)?;
    let channels = |v: [f64; 3]| {
        Tensor::new(v.map(|x| x as f32).as_slice(), frames.device())?.reshape((1, 3, 1, 1))
    };
    unit.broadcast_sub(&channels(cfg.image_mean)?)?.broadcast_div(&channels(cfg.image_std)?)
}
