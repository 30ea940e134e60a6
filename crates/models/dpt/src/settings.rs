//! The configuration files that transformers writes beside weights.

use candle_core::{Result, bail};
use serde::Deserialize;

use crate::config::{Config, Output, Positions, Transformer};

/// A `config.json` of a `DepthAnythingForDepthEstimation`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Settings {
    backbone_config: Backbone,
    depth_estimation_type: Option<Kind>,
    fusion_hidden_size: usize,
    head_hidden_size: usize,
    max_depth: Option<f64>,
    neck_hidden_sizes: [usize; 4],
}

#[derive(Debug, Clone, Deserialize)]
struct Backbone {
    hidden_size: usize,
    num_attention_heads: usize,
    /// Counted from 1: 0 is before the first block.
    out_indices: [usize; 4],
    #[serde(default = "twelve")]
    num_hidden_layers: usize,
    #[serde(default = "four")]
    mlp_ratio: usize,
    #[serde(default = "fourteen")]
    patch_size: usize,
    #[serde(default = "side")]
    image_size: usize,
    #[serde(default = "epsilon")]
    layer_norm_eps: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Relative,
    Metric,
}

// What transformers takes where a file is silent.
fn twelve() -> usize {
    12
}

fn four() -> usize {
    4
}

fn fourteen() -> usize {
    14
}

fn side() -> usize {
    518
}

fn epsilon() -> f64 {
    1e-6
}

impl Settings {
    /// The network, its positions resized by this rule.
    ///
    /// # Errors
    /// When a number fits nothing.
    pub(crate) fn network(&self, positions: Positions) -> Result<Config> {
        let from = &self.backbone_config;
        let taken = from.out_indices.map(|i| i.saturating_sub(1));
        let rising = from.out_indices.windows(2).all(|pair| pair[0] < pair[1]);
        if from.out_indices[0] == 0 || !rising || from.out_indices[3] > from.num_hidden_layers {
            let (found, blocks) = (from.out_indices, from.num_hidden_layers);
            bail!("out_indices {found:?}: allowed are four rising numbers from 1 to {blocks}");
        }
        if from.patch_size == 0 || from.image_size < from.patch_size {
            bail!("patches of {} in an image of {}", from.patch_size, from.image_size);
        }
        Ok(Config {
            transformer: Transformer {
                width: from.hidden_size,
                heads: from.num_attention_heads.max(1),
                blocks: from.num_hidden_layers,
                mlp_ratio: from.mlp_ratio,
                patch: from.patch_size,
                table: from.image_size / from.patch_size,
                positions,
                block_epsilon: from.layer_norm_eps,
                final_epsilon: from.layer_norm_eps,
            },
            taken,
            reassembled: self.neck_hidden_sizes,
            features: self.fusion_hidden_size,
            hidden: self.head_hidden_size,
            output: match (self.depth_estimation_type, self.max_depth) {
                (Some(Kind::Metric), farthest) => {
                    Output::Metric { farthest: farthest.unwrap_or(1.0) }
                }
                (Some(Kind::Relative) | None, _) => Output::Relative,
            },
            temporal: None,
        })
    }
}
