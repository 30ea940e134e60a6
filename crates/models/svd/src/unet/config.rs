//! `unet/config.json`.

use candle_core::{Result, bail};
use serde::Deserialize;

/// One value for all levels, or one for each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum PerLevel {
    /// The same everywhere.
    One(usize),
    /// From full resolution down.
    Each(Vec<usize>),
}

impl PerLevel {
    pub(super) fn at(&self, level: usize) -> Result<usize> {
        match self {
            Self::One(v) => Ok(*v),
            Self::Each(vs) => match vs.get(level) {
                Some(v) => Ok(*v),
                None => bail!("a list of {} values for level {level}", vs.len()),
            },
        }
    }
}

/// A level on the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum DownBlock {
    /// Residual blocks, each followed by a transformer.
    #[serde(rename = "CrossAttnDownBlockSpatioTemporal")]
    CrossAttention,
    /// Residual blocks only.
    #[serde(rename = "DownBlockSpatioTemporal")]
    Plain,
}

/// A level on the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum UpBlock {
    /// Residual blocks, each followed by a transformer.
    #[serde(rename = "CrossAttnUpBlockSpatioTemporal")]
    CrossAttention,
    /// Residual blocks only.
    #[serde(rename = "UpBlockSpatioTemporal")]
    Plain,
}

/// Sizes of a `UNetSpatioTemporalConditionModel`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// 8: noise and image latents. 9: a mask as well.
    pub in_channels: usize,
    /// Channels of the prediction. Defaults to 4.
    #[serde(default = "four")]
    pub out_channels: usize,
    /// Kinds of level on the way down.
    pub down_block_types: Vec<DownBlock>,
    /// Kinds of level on the way up.
    pub up_block_types: Vec<UpBlock>,
    /// Width of each level, from full resolution down.
    pub block_out_channels: Vec<usize>,
    /// Width of the sinusoids of each added id.
    pub addition_time_embed_dim: usize,
    /// Number of added ids times `addition_time_embed_dim`.
    pub projection_class_embeddings_input_dim: usize,
    /// Residual blocks per level on the way down; one more on the way up.
    pub layers_per_block: PerLevel,
    /// Width of a context token.
    pub cross_attention_dim: PerLevel,
    /// Blocks of each kind in a transformer. Defaults to 1.
    #[serde(default = "one")]
    pub transformer_layers_per_block: PerLevel,
    /// Heads of the attention layers.
    pub num_attention_heads: PerLevel,
    /// The clip length of training; any length runs. Defaults to 25.
    #[serde(default = "twenty_five")]
    pub num_frames: usize,
}

fn one() -> PerLevel {
    PerLevel::One(1)
}

fn four() -> usize {
    4
}

fn twenty_five() -> usize {
    25
}

impl Config {
    /// Stable Video Diffusion image-to-video, and DepthCrafter: 8 channels.
    pub fn svd() -> Self {
        use DownBlock as D;
        use UpBlock as U;
        Self {
            in_channels: 8,
            out_channels: 4,
            down_block_types: vec![
                D::CrossAttention,
                D::CrossAttention,
                D::CrossAttention,
                D::Plain,
            ],
            up_block_types: vec![U::Plain, U::CrossAttention, U::CrossAttention, U::CrossAttention],
            block_out_channels: vec![320, 640, 1280, 1280],
            addition_time_embed_dim: 256,
            projection_class_embeddings_input_dim: 768,
            layers_per_block: PerLevel::One(2),
            cross_attention_dim: PerLevel::One(1024),
            transformer_layers_per_block: one(),
            num_attention_heads: PerLevel::Each(vec![5, 10, 20, 20]),
            num_frames: 25,
        }
    }

    /// StereoCrafter's inpainting network: 9 channels.
    pub fn stereocrafter() -> Self {
        Self { in_channels: 9, ..Self::svd() }
    }

    pub(super) fn levels(&self) -> Result<usize> {
        let n = self.block_out_channels.len();
        if n == 0 || self.down_block_types.len() != n || self.up_block_types.len() != n {
            bail!(
                "{n} widths, {} down blocks, {} up blocks",
                self.down_block_types.len(),
                self.up_block_types.len()
            );
        }
        Ok(n)
    }
}
