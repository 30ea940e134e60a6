//! What tells the networks of the family apart: the `config.json` that is published beside their weights.

use candle_core::{Result, bail};
use serde::Deserialize;

/// Counts and widths beyond which a file is no network that anybody has.
const MOST: usize = 1 << 20;

/// A `config.json` of a `Qwen3VLForConditionalGeneration`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// What it is of: `qwen3_vl`.
    pub model_type: String,
    /// Stands where a picture is.
    pub image_token_id: u32,
    /// Stands where a film's frames are.
    pub video_token_id: u32,
    /// Begins a picture.
    pub vision_start_token_id: u32,
    /// Ends a picture.
    pub vision_end_token_id: u32,
    /// Whether the head's weights are those of the embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// The network of text.
    pub text_config: TextConfig,
    /// The network of pictures.
    pub vision_config: VisionConfig,
}

/// The network of text.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TextConfig {
    /// Width of a token.
    pub hidden_size: usize,
    /// Hidden width of a token's network.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of queries.
    pub num_attention_heads: usize,
    /// Heads of keys and values, each shared by as many of queries.
    pub num_key_value_heads: usize,
    /// Width of a head, even.
    pub head_dim: usize,
    /// Tokens that there are.
    pub vocab_size: usize,
    /// Added to mean squares.
    pub rms_norm_eps: f64,
    /// `silu`.
    #[serde(default = "silu")]
    pub hidden_act: String,
    /// Whether the projections of the attention have biases; those of no published network have.
    #[serde(default)]
    pub attention_bias: bool,
    /// The slowest positions turn so many times slower than the fastest, as the hub's files say it.
    #[serde(default)]
    pub rope_theta: Option<f64>,
    /// How positions are laid out, as the hub's files say it.
    #[serde(default)]
    pub rope_scaling: Option<RopeParameters>,
    /// Both, as transformers 5 says it.
    #[serde(default)]
    pub rope_parameters: Option<RopeParameters>,
}

/// How positions turn queries and keys.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RopeParameters {
    /// `default`.
    #[serde(default = "default_rope")]
    pub rope_type: String,
    /// The base of the frequencies.
    #[serde(default)]
    pub rope_theta: Option<f64>,
    /// Frequencies of time, rows and columns.
    #[serde(default = "section")]
    pub mrope_section: [usize; 3],
}

/// The network of pictures.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VisionConfig {
    /// Width of a patch.
    pub hidden_size: usize,
    /// Hidden width of a patch's network.
    pub intermediate_size: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads of attention; a head's width is a multiple of 4.
    pub num_heads: usize,
    /// Width of what it gives: a token's.
    pub out_hidden_size: usize,
    /// Places of the learned table, a square number.
    pub num_position_embeddings: usize,
    /// Blocks after which features are taken for the first layers of the text.
    pub deepstack_visual_indexes: Vec<usize>,
    /// Pixels of a patch's side.
    pub patch_size: usize,
    /// Patches of a side that become one token.
    pub spatial_merge_size: usize,
    /// Frames of a patch.
    pub temporal_patch_size: usize,
    /// Channels of a picture: 3.
    #[serde(default = "three")]
    pub in_channels: usize,
    /// `gelu_pytorch_tanh`.
    #[serde(default = "tanh")]
    pub hidden_act: String,
}

fn silu() -> String {
    "silu".to_owned()
}

fn tanh() -> String {
    "gelu_pytorch_tanh".to_owned()
}

fn default_rope() -> String {
    "default".to_owned()
}

fn section() -> [usize; 3] {
    [24, 20, 20]
}

fn three() -> usize {
    3
}

impl Config {
    /// Checks what a file may say that no network here is.
    ///
    /// # Errors
    /// Names the setting, what was found and what is allowed.
    pub(crate) fn validate(&self) -> Result<()> {
        match self.model_type.as_str() {
            "qwen3_vl" => {}
            "qwen3_vl_moe" => bail!(
                "model_type \"qwen3_vl_moe\": mixtures of experts are not read, only the dense models (qwen3_vl)"
            ),
            other => bail!("model_type {other:?}: allowed is qwen3_vl"),
        }
        self.text_config.validate()?;
        self.vision_config.validate(&self.text_config)?;
        let most = self.text_config.vocab_size;
        for (name, id) in [
            ("image_token_id", self.image_token_id),
            ("video_token_id", self.video_token_id),
            ("vision_start_token_id", self.vision_start_token_id),
            ("vision_end_token_id", self.vision_end_token_id),
        ] {
            if id as usize >= most {
                bail!("{name} {id}: vocab_size is {most}");
            }
        }
        Ok(())
    }
}

impl TextConfig {
    /// The base of the frequencies.
    pub(crate) fn theta(&self) -> f64 {
        let newer = self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta);
        newer.or(self.rope_theta).unwrap_or(500_000.0)
    }

    /// How many frequencies are of time, rows and columns.
    pub(crate) fn section(&self) -> [usize; 3] {
        self.rope().map_or_else(section, |rope| rope.mrope_section)
    }

    fn rope(&self) -> Option<&RopeParameters> {
        self.rope_parameters.as_ref().or(self.rope_scaling.as_ref())
    }

    fn validate(&self) -> Result<()> {
        counts(&[
            ("text_config.hidden_size", self.hidden_size),
            ("text_config.intermediate_size", self.intermediate_size),
            ("text_config.num_hidden_layers", self.num_hidden_layers),
            ("text_config.num_attention_heads", self.num_attention_heads),
            ("text_config.num_key_value_heads", self.num_key_value_heads),
            ("text_config.head_dim", self.head_dim),
            ("text_config.vocab_size", self.vocab_size),
        ])?;
        let (heads, shared) = (self.num_attention_heads, self.num_key_value_heads);
        if !heads.is_multiple_of(shared) {
            bail!(
                "text_config.num_key_value_heads {shared}: {heads} heads of queries share them evenly"
            );
        }
        if !self.head_dim.is_multiple_of(2) {
            bail!("text_config.head_dim {}: allowed are even numbers", self.head_dim);
        }
        if self.hidden_act != "silu" {
            bail!("text_config.hidden_act {:?}: allowed is silu", self.hidden_act);
        }
        if self.attention_bias {
            bail!("text_config.attention_bias true: allowed is false");
        }
        if let Some(rope) = self.rope().filter(|rope| rope.rope_type != "default") {
            bail!("text_config.rope_type {:?}: allowed is default", rope.rope_type);
        }
        let section = self.section();
        if section.iter().try_fold(0, |sum: usize, &n| sum.checked_add(n))
            != Some(self.head_dim / 2)
        {
            bail!("text_config.mrope_section {section:?}: together they are {}", self.head_dim / 2);
        }
        let (theta, epsilon) = (self.theta(), self.rms_norm_eps);
        if !(theta > 1.0 && theta.is_finite() && epsilon > 0.0 && epsilon.is_finite()) {
            bail!(
                "text_config.rope_theta {theta}, rms_norm_eps {epsilon}: allowed are numbers above 1 and 0"
            );
        }
        Ok(())
    }
}

impl VisionConfig {
    /// Width of a head.
    pub(crate) fn head(&self) -> usize {
        self.hidden_size / self.num_heads.max(1)
    }

    /// Side of the learned table.
    pub(crate) fn table(&self) -> usize {
        self.num_position_embeddings.isqrt()
    }

    /// Numbers of a patch.
    pub(crate) fn patch(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Patches that become one token.
    pub(crate) fn merged(&self) -> usize {
        self.spatial_merge_size * self.spatial_merge_size
    }

    fn validate(&self, text: &TextConfig) -> Result<()> {
        counts(&[
            ("vision_config.hidden_size", self.hidden_size),
            ("vision_config.intermediate_size", self.intermediate_size),
            ("vision_config.depth", self.depth),
            ("vision_config.num_heads", self.num_heads),
            ("vision_config.num_position_embeddings", self.num_position_embeddings),
            ("vision_config.patch_size", self.patch_size),
            ("vision_config.spatial_merge_size", self.spatial_merge_size),
            ("vision_config.temporal_patch_size", self.temporal_patch_size),
        ])?;
        let (width, heads) = (self.hidden_size, self.num_heads);
        if !width.is_multiple_of(4 * heads) {
            bail!(
                "vision_config.num_heads {heads} of a hidden_size of {width}: a head's width is a multiple of 4"
            );
        }
        let places = self.num_position_embeddings;
        if self.table() * self.table() != places {
            bail!("vision_config.num_position_embeddings {places}: allowed are square numbers");
        }
        if self.out_hidden_size != text.hidden_size {
            let (out, width) = (self.out_hidden_size, text.hidden_size);
            bail!("vision_config.out_hidden_size {out}: tokens are {width} wide");
        }
        let deep = &self.deepstack_visual_indexes;
        let rising = deep.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || deep.last().is_some_and(|&last| last >= self.depth) {
            bail!(
                "vision_config.deepstack_visual_indexes {deep:?}: rising numbers below {}",
                self.depth
            );
        }
        if deep.len() > text.num_hidden_layers {
            bail!("vision_config.deepstack_visual_indexes {deep:?}: the text has fewer layers");
        }
        if self.hidden_act != "gelu_pytorch_tanh"
            || self.in_channels != 3
            || self.temporal_patch_size != 2
        {
            let Self { hidden_act, in_channels, temporal_patch_size, .. } = self;
            bail!(
                "vision_config.hidden_act {hidden_act:?}, in_channels {in_channels}, temporal_patch_size \
                 {temporal_patch_size}: allowed are gelu_pytorch_tanh, 3 and 2"
            );
        }
        Ok(())
    }
}

fn counts(sizes: &[(&str, usize)]) -> Result<()> {
    for &(name, found) in sizes {
        if !(1..=MOST).contains(&found) {
            bail!("{name} {found}: allowed are 1 to {MOST}");
        }
    }
    Ok(())
}
