//! `vae/config.json`.

use serde::Deserialize;

/// Sizes of an `AutoencoderKLTemporalDecoder`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// Channels of an image. Defaults to 3.
    #[serde(default = "three")]
    pub in_channels: usize,
    /// Channels of a decoded image. Defaults to 3.
    #[serde(default = "three")]
    pub out_channels: usize,
    /// Widths from full resolution to that of the latents; each but the last halves the sides.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks per level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Channels of a latent. Defaults to 4.
    #[serde(default = "four")]
    pub latent_channels: usize,
    /// Latents are divided by this before decoding. Defaults to 0.18215.
    #[serde(default = "scaling_factor")]
    pub scaling_factor: f64,
    /// Whether the reference computes in f32 whatever the pipeline's type. Defaults to true.
    #[serde(default = "yes")]
    pub force_upcast: bool,
}

fn three() -> usize {
    3
}

fn four() -> usize {
    4
}

fn scaling_factor() -> f64 {
    0.18215
}

fn yes() -> bool {
    true
}

impl Config {
    /// The VAE of the Stable Video Diffusion checkpoints.
    pub fn svd() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            block_out_channels: vec![128, 256, 512, 512],
            layers_per_block: 2,
            latent_channels: 4,
            scaling_factor: 0.18215,
            force_upcast: true,
        }
    }

    /// How many pixels one latent covers along a side.
    pub fn downsampling(&self) -> usize {
        1 << self.block_out_channels.len().saturating_sub(1)
    }

    pub(super) fn deepest(&self) -> candle_core::Result<usize> {
        match self.block_out_channels.last() {
            Some(&c) if self.layers_per_block > 0 => Ok(c),
            _ => candle_core::bail!("a VAE needs at least one level and one block per level"),
        }
    }
}
