//! The CLIP vision tower with its projection: an image to one vector.
//!
//! *Learning Transferable Visual Models From Natural Language Supervision* (Radford et al. 2021);
//! transformers `models/clip/modeling_clip.py`, `CLIPVisionModelWithProjection`.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;

use parallax_nn::ops::{Conv2d, LayerNorm, Linear, Padding, attention, gelu};
use parallax_nn::{Tap, ignore};

/// `image_encoder/config.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// Width of a token.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Width of the result.
    pub projection_dim: usize,
    /// Depth.
    pub num_hidden_layers: usize,
    /// Heads, each `hidden_size / num_attention_heads` wide.
    pub num_attention_heads: usize,
    /// Channels of the image. Defaults to 3.
    #[serde(default = "three")]
    pub num_channels: usize,
    /// Side of the square input, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// The non-linearity of the feed-forward layers.
    #[serde(default)]
    pub hidden_act: HiddenAct,
    /// Epsilon of every layer norm. Defaults to 1e-5.
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
}

fn three() -> usize {
    3
}

fn layer_norm_eps() -> f64 {
    1e-5
}

/// `hidden_act`; the library's default is CLIP's own `quick_gelu`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiddenAct {
    /// The exact Gaussian error linear unit.
    Gelu,
    /// `x * sigmoid(1.702 x)`.
    #[default]
    QuickGelu,
}

impl Config {
    /// ViT-H/14, as in the Stable Video Diffusion checkpoints.
    pub fn vit_h() -> Self {
        Self {
            hidden_size: 1280,
            intermediate_size: 5120,
            projection_dim: 1024,
            num_hidden_layers: 32,
            num_attention_heads: 16,
            num_channels: 3,
            image_size: 224,
            patch_size: 14,
            hidden_act: HiddenAct::Gelu,
            layer_norm_eps: 1e-5,
        }
    }
}

#[derive(Debug, Clone)]
struct Layer {
    layer_norm1: LayerNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    layer_norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    heads: usize,
    quick: bool,
}

impl Layer {
    fn new(cfg: &Config, vb: VarBuilder) -> Result<Self> {
        let (width, eps) = (cfg.hidden_size, cfg.layer_norm_eps);
        let attn = vb.pp("self_attn");
        let square = |name: &str| Linear::new(width, width, attn.pp(name));
        Ok(Self {
            layer_norm1: LayerNorm::new(width, eps, vb.pp("layer_norm1"))?,
            q: square("q_proj")?,
            k: square("k_proj")?,
            v: square("v_proj")?,
            out: square("out_proj")?,
            layer_norm2: LayerNorm::new(width, eps, vb.pp("layer_norm2"))?,
            fc1: Linear::new(width, cfg.intermediate_size, vb.pp("mlp.fc1"))?,
            fc2: Linear::new(cfg.intermediate_size, width, vb.pp("mlp.fc2"))?,
            heads: cfg.num_attention_heads,
            quick: cfg.hidden_act == HiddenAct::QuickGelu,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let h = self.layer_norm1.forward(x)?;
        let h = attention(
            &self.q.forward(&h)?,
            &self.k.forward(&h)?,
            &self.v.forward(&h)?,
            self.heads,
        )?;
        let x = self.out.forward_add(&h, x)?;
        let h = self.fc1.forward(&self.layer_norm2.forward(&x)?)?;
        self.fc2.forward_add(&gelu(&h, self.quick)?, &x)
    }
}

/// The tower and the projection.
#[derive(Debug, Clone)]
pub struct VisionModel {
    class_embedding: Tensor,
    patch_embedding: Conv2d,
    position_embedding: Tensor,
    pre_layrnorm: LayerNorm,
    layers: Vec<Layer>,
    post_layernorm: LayerNorm,
    visual_projection: Linear,
    image_size: usize,
}

impl VisionModel {
    /// Names as in `image_encoder/model.safetensors`.
    pub fn new(cfg: &Config, vb: VarBuilder) -> Result<Self> {
        if !cfg.hidden_size.is_multiple_of(cfg.num_attention_heads) {
            candle_core::bail!(
                "{} channels for {} heads",
                cfg.hidden_size,
                cfg.num_attention_heads
            );
        }
        let projection = vb.pp("visual_projection");
        let vb = vb.pp("vision_model");
        let (width, eps, side) =
            (cfg.hidden_size, cfg.layer_norm_eps, cfg.image_size / cfg.patch_size);
        let embeddings = vb.pp("embeddings");
        let patches = (cfg.patch_size, Padding::same(0));
        let layers = (0..cfg.num_hidden_layers)
            .map(|i| Layer::new(cfg, vb.pp("encoder.layers").pp(i)))
            .collect::<Result<_>>()?;
        Ok(Self {
            class_embedding: embeddings.get(width, "class_embedding")?,
            patch_embedding: Conv2d::without_bias(
                cfg.num_channels,
                width,
                cfg.patch_size,
                patches,
                embeddings.pp("patch_embedding"),
            )?,
            position_embedding: embeddings
                .get((side * side + 1, width), "position_embedding.weight")?,
            // The checkpoint's spelling.
            pre_layrnorm: LayerNorm::new(width, eps, vb.pp("pre_layrnorm"))?,
            layers,
            post_layernorm: LayerNorm::new(width, eps, vb.pp("post_layernorm"))?,
            visual_projection: Linear::without_bias(width, cfg.projection_dim, projection)?,
            image_size: cfg.image_size,
        })
    }

    /// Pixels (N, 3, S, S), normalised by the preprocessor's mean and deviation, to (N, projection_dim).
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        self.forward_tapped(pixels, &mut ignore)
    }

    /// [`VisionModel::forward`], showing every block's output to `tap`.
    pub fn forward_tapped(&self, pixels: &Tensor, tap: &mut Tap) -> Result<Tensor> {
        let (n, _, h, w) = pixels.dims4()?;
        if (h, w) != (self.image_size, self.image_size) {
            candle_core::bail!("image of {w}x{h} pixels for a tower of {0}x{0}", self.image_size);
        }
        // (N, C, S, S) -> (N, patches, C)
        let patches =
            self.patch_embedding.forward(pixels)?.flatten_from(2)?.transpose(1, 2)?.contiguous()?;
        let width = patches.dim(2)?;
        let class = self.class_embedding.reshape((1, 1, width))?.broadcast_as((n, 1, width))?;
        let x = Tensor::cat(&[&class.contiguous()?, &patches], 1)?
            .broadcast_add(&self.position_embedding)?;
        tap("vision_model.embeddings", &x)?;
        let mut x = self.pre_layrnorm.forward(&x)?;
        tap("vision_model.pre_layrnorm", &x)?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x)?;
            tap(&format!("vision_model.encoder.layers.{i}"), &x)?;
        }
        let pooled = self.post_layernorm.forward(&x.narrow(1, 0, 1)?.squeeze(1)?)?;
        tap("vision_model.post_layernorm", &pooled)?;
        self.visual_projection.forward(&pooled)
    }
}
