//! What tells the networks of the family apart: the `config.json` that is published beside their weights.

use candle_core::{Result, bail};
use serde::Deserialize;

/// Registers, heads, blocks and widths beyond which a file is no network that anybody has.
const MOST: usize = 1 << 16;

/// A `config.json` of a `DINOv3ViTModel`. What a file is silent about is as transformers has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What it is of: `dinov3_vit`.
    pub model_type: String,
    /// Width of a token.
    pub hidden_size: usize,
    /// Hidden width of a token's network.
    pub intermediate_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads of attention; a head's width is a multiple of 4.
    pub num_attention_heads: usize,
    /// `gelu` of plain networks, `silu` of gated ones.
    pub hidden_act: String,
    /// Whether a token's network is gated.
    pub use_gated_mlp: bool,
    /// Tokens that belong to no place, after the class token.
    pub num_register_tokens: usize,
    /// Pixels of a patch's side.
    pub patch_size: usize,
    /// Channels of a picture: 3.
    pub num_channels: usize,
    /// Added to variances.
    pub layer_norm_eps: f64,
    /// The slowest positions turn so many times slower than the fastest.
    pub rope_theta: f64,
    /// Whether queries have a bias.
    pub query_bias: bool,
    /// Whether keys have one; no published network's have.
    pub key_bias: bool,
    /// Whether values have one.
    pub value_bias: bool,
    /// Whether the attention's last layer has one.
    pub proj_bias: bool,
    /// Whether the layers of a token's network have some.
    pub mlp_bias: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model_type: "dinov3_vit".to_owned(),
            hidden_size: 384,
            intermediate_size: 1536,
            num_hidden_layers: 12,
            num_attention_heads: 6,
            hidden_act: "gelu".to_owned(),
            use_gated_mlp: false,
            num_register_tokens: 0,
            patch_size: 16,
            num_channels: 3,
            layer_norm_eps: 1e-5,
            rope_theta: 100.0,
            query_bias: true,
            key_bias: false,
            value_bias: true,
            proj_bias: true,
            mlp_bias: true,
        }
    }
}

impl Config {
    /// A published plain network with heads of 64.
    fn plain(width: usize, blocks: usize) -> Self {
        Self {
            hidden_size: width,
            intermediate_size: 4 * width,
            num_hidden_layers: blocks,
            num_attention_heads: width / 64,
            num_register_tokens: 4,
            ..Self::default()
        }
    }

    fn gated(self, intermediate_size: usize) -> Self {
        Self { hidden_act: "silu".to_owned(), use_gated_mlp: true, intermediate_size, ..self }
    }

    /// ViT-S.
    pub fn small() -> Self {
        Self::plain(384, 12)
    }

    /// ViT-S+.
    pub fn small_plus() -> Self {
        Self::plain(384, 12).gated(1536)
    }

    /// ViT-B.
    pub fn base() -> Self {
        Self::plain(768, 12)
    }

    /// ViT-L.
    pub fn large() -> Self {
        Self::plain(1024, 24)
    }

    /// ViT-H+.
    pub fn huge_plus() -> Self {
        Self::plain(1280, 32).gated(5120)
    }

    /// ViT-7B: heads of 128, and no biases in front of the attention.
    pub fn seven_billion() -> Self {
        let heads = Self { num_attention_heads: 32, ..Self::plain(4096, 40) };
        Self { query_bias: false, value_bias: false, ..heads }.gated(8192)
    }

    /// Width of a head.
    pub fn head(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }

    /// Tokens before those of patches: the class token and the registers.
    pub fn prefix(&self) -> usize {
        1 + self.num_register_tokens
    }

    /// Patches (rows, columns) of pictures of (height, width) in pixels; what is left at the right and below is
    /// not looked at.
    ///
    /// # Errors
    /// When not one patch fits.
    pub fn grid(&self, (height, width): (usize, usize)) -> Result<(usize, usize)> {
        let side = self.patch_size;
        if height < side || width < side {
            bail!("a picture of {width}x{height}: its sides are at least {side}");
        }
        Ok((height / side, width / side))
    }

    /// Checks what a file may say that no network here is.
    ///
    /// # Errors
    /// Names the setting, what was found and what is allowed.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.model_type != "dinov3_vit" {
            bail!("model_type {:?}: allowed is dinov3_vit", self.model_type);
        }
        let sizes = [
            ("hidden_size", self.hidden_size, 1),
            ("intermediate_size", self.intermediate_size, 1),
            ("num_hidden_layers", self.num_hidden_layers, 1),
            ("num_attention_heads", self.num_attention_heads, 1),
            ("num_register_tokens", self.num_register_tokens, 0),
            ("patch_size", self.patch_size, 1),
        ];
        for (name, found, least) in sizes {
            if !(least..=MOST).contains(&found) {
                bail!("{name} {found}: allowed are {least} to {MOST}");
            }
        }
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        if !width.is_multiple_of(4 * heads) {
            bail!(
                "num_attention_heads {heads} of a hidden_size of {width}: a head's width is a multiple of 4"
            );
        }
        if self.num_channels != 3 {
            bail!("num_channels {}: allowed is 3", self.num_channels);
        }
        let wanted = if self.use_gated_mlp { "silu" } else { "gelu" };
        if self.hidden_act != wanted {
            let (found, gated) = (&self.hidden_act, self.use_gated_mlp);
            bail!("hidden_act {found:?} where use_gated_mlp is {gated}: allowed is {wanted}");
        }
        let positive = |x: f64| x > 0.0 && x.is_finite();
        if !positive(self.rope_theta) || !positive(self.layer_norm_eps) {
            let (theta, epsilon) = (self.rope_theta, self.layer_norm_eps);
            bail!("rope_theta {theta}, layer_norm_eps {epsilon}: allowed are numbers above 0");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_no_network_has_is_refused_by_its_name() {
        assert!(Config::seven_billion().validate().is_ok() && Config::small().validate().is_ok());
        let small = Config::small;
        for (wrong, named) in [
            (Config { model_type: "dinov2".to_owned(), ..small() }, "model_type"),
            (Config { hidden_size: 0, ..small() }, "hidden_size"),
            (Config { num_hidden_layers: 1 << 40, ..small() }, "num_hidden_layers"),
            (Config { num_attention_heads: 7, ..small() }, "num_attention_heads"),
            (Config { num_attention_heads: 64, ..small() }, "num_attention_heads"),
            (Config { num_channels: 4, ..small() }, "num_channels"),
            (Config { hidden_act: "gelu_new".to_owned(), ..small() }, "hidden_act"),
            (Config { use_gated_mlp: true, ..small() }, "hidden_act"),
            (Config { rope_theta: 0.0, ..small() }, "rope_theta"),
            (Config { layer_norm_eps: f64::NAN, ..small() }, "layer_norm_eps"),
        ] {
            let error = wrong.validate().unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        assert!(small().grid((15, 300)).is_err());
        assert_eq!(small().grid((47, 300)).unwrap(), (2, 18));
    }
}
