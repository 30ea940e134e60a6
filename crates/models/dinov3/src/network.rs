//! The network: patches to tokens, and blocks of attention among all of them.
//!
//! A block's scales are folded into the layers before them when weights are read: the scale of a sum of products
//! is a scale of the weights.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use parallax_nn::Tap;
use parallax_nn::ops::{Dense, LayerNorm, Layers, Rotary, Space, TransformerBlock};

use crate::config::Config;
use crate::positions;

/// Grids whose positions are kept: a film has one, pictures have a few.
const GRIDS: usize = 16;

/// A DINOv3 network.
#[derive(Debug)]
pub struct Network {
    config: Config,
    device: Device,
    dtype: DType,
    /// Patches (N, h w, 3 p p) to tokens.
    patches: Dense,
    /// The class token and the registers, (1, 1 + R, C).
    prefix: Tensor,
    blocks: Vec<TransformerBlock>,
    norm: LayerNorm,
    positions: Mutex<BTreeMap<(usize, usize), Arc<Rotary>>>,
}

/// What the network makes of pictures, after its last norm.
#[derive(Debug, Clone)]
pub struct Features {
    /// A vector for each picture, (N, C): the class token.
    pub class: Tensor,
    /// Tokens without a place, (N, R, C).
    pub registers: Tensor,
    /// A vector for each patch, (N, rows, columns, C).
    pub patches: Tensor,
}

impl Network {
    /// Reads the tensors by transformers' names.
    ///
    /// # Errors
    /// Those of `vb`, and a configuration that no network has.
    pub fn new(config: &Config, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let (width, side) = (config.hidden_size, config.patch_size);
        let embeddings = vb.pp("embeddings");
        // Stands in for masked patches in training, which is not done here.
        embeddings.get((1, 1, width), "mask_token")?;
        let class = embeddings.get((1, 1, width), "cls_token")?;
        let registers =
            embeddings.get((1, config.num_register_tokens, width), "register_tokens")?;
        let patch = embeddings.pp("patch_embeddings");
        let weight = patch.get((width, 3, side, side), "weight")?;
        let weight = weight.reshape((width, 3 * side * side))?;
        let blocks = vb.pp("layer");
        Ok(Self {
            patches: Dense::of(weight, Some(patch.get(width, "bias")?))?,
            prefix: Tensor::cat(&[&class, &registers], 1)?,
            blocks: (0..config.num_hidden_layers)
                .map(|i| block(config, &blocks.pp(i)))
                .collect::<Result<_>>()?,
            norm: LayerNorm::new(width, config.layer_norm_eps, vb.pp("norm"))?,
            positions: Mutex::default(),
            config: config.clone(),
            device: vb.device().clone(),
            dtype: vb.dtype(),
        })
    }

    /// What it was built by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Normalised pictures (N, 3, H, W) of any type to their features. What is left of a picture right of and
    /// below whole patches is not looked at.
    ///
    /// # Errors
    /// When not one patch fits, or the shapes do not.
    pub fn forward(&self, pictures: &Tensor, tap: &mut Tap) -> Result<Features> {
        let (n, _, height, width) = pictures.dims4()?;
        let (rows, columns) = self.config.grid((height, width))?;
        let mut tokens = self.embed(pictures, (rows, columns))?;
        tap("embeddings", &tokens)?;
        let (rotary, space) = (self.positions((rows, columns))?, Space::default());
        for (i, block) in self.blocks.iter().enumerate() {
            tokens = block.forward_turned(&tokens, &rotary, &space)?;
            tap(&format!("layer{i}"), &tokens)?;
        }
        let tokens = self.norm.forward(&tokens)?;
        tap("last_hidden_state", &tokens)?;
        let prefix = self.config.prefix();
        let patches = tokens.narrow(1, prefix, rows * columns)?.contiguous()?;
        Ok(Features {
            class: tokens.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?,
            registers: tokens.narrow(1, 1, prefix - 1)?.contiguous()?,
            patches: patches.reshape((n, rows, columns, self.config.hidden_size))?,
        })
    }

    fn embed(&self, pictures: &Tensor, (rows, columns): (usize, usize)) -> Result<Tensor> {
        let (n, channels, ..) = pictures.dims4()?;
        let side = self.config.patch_size;
        let whole = pictures.narrow(2, 0, rows * side)?.narrow(3, 0, columns * side)?;
        let whole = whole.to_device(&self.device)?.to_dtype(self.dtype)?.contiguous()?;
        // (N, 3, h, p, w, p) -> (N, h, w, 3, p, p)
        let patches = whole.reshape((n, channels, rows, side, columns, side))?;
        let patches = patches.permute((0, 2, 4, 1, 3, 5))?.contiguous()?;
        let patches = patches.reshape((n, rows * columns, channels * side * side))?;
        let prefix =
            self.prefix.broadcast_as((n, self.config.prefix(), self.config.hidden_size))?;
        Tensor::cat(&[&prefix.contiguous()?, &self.patches.forward(&patches)?], 1)
    }

    fn positions(&self, grid: (usize, usize)) -> Result<Arc<Rotary>> {
        let mut known = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rotary) = known.get(&grid) {
            return Ok(Arc::clone(rotary));
        }
        let head = self.config.head();
        let angles = positions::angles(grid, head, self.config.rope_theta);
        let on = (&self.device, self.dtype);
        let rotary = Arc::new(Rotary::new(self.config.prefix(), head / 2, &angles, on)?);
        if known.len() == GRIDS {
            known.clear();
        }
        known.insert(grid, Arc::clone(&rotary));
        Ok(rotary)
    }
}

/// A block with its scales in the layers before them.
fn block(config: &Config, vb: &VarBuilder) -> Result<TransformerBlock> {
    let (width, hidden) = (config.hidden_size, config.intermediate_size);
    let (attention, mlp) = (vb.pp("attention"), vb.pp("mlp"));
    let layer = |vb: VarBuilder, (inputs, outputs): (usize, usize), bias: bool| -> Result<Dense> {
        let bias = bias.then(|| vb.get(outputs, "bias")).transpose()?;
        Dense::of(vb.get((outputs, inputs), "weight")?, bias)
    };
    let scaled = |vb: VarBuilder, inputs: usize, bias: bool, scale: Tensor| -> Result<Dense> {
        let bias = bias.then(|| vb.get(width, "bias")? * &scale).transpose()?;
        Dense::of(rows_times(vb.get((width, inputs), "weight")?, &scale)?, bias)
    };
    let scale = |name: &str| vb.pp(name).get(width, "lambda1");
    let layers = Layers {
        norm1: LayerNorm::new(width, config.layer_norm_eps, vb.pp("norm1"))?,
        qkv: qkv(config, &attention)?,
        projection: scaled(
            attention.pp("o_proj"),
            width,
            config.proj_bias,
            scale("layer_scale1")?,
        )?,
        norm2: LayerNorm::new(width, config.layer_norm_eps, vb.pp("norm2"))?,
        fc1: layer(mlp.pp("up_proj"), (width, hidden), config.mlp_bias)?,
        fc2: scaled(mlp.pp("down_proj"), hidden, config.mlp_bias, scale("layer_scale2")?)?,
    };
    if !config.use_gated_mlp {
        return TransformerBlock::new(config.num_attention_heads, layers);
    }
    let gate = layer(mlp.pp("gate_proj"), (width, hidden), config.mlp_bias)?;
    TransformerBlock::gated(config.num_attention_heads, layers, gate)
}

/// Queries, keys and values as one layer; where some have a bias, that of the others is zero.
fn qkv(config: &Config, vb: &VarBuilder) -> Result<Dense> {
    let width = config.hidden_size;
    let (mut weights, mut biases) = (Vec::new(), Vec::new());
    let parts =
        [("q_proj", config.query_bias), ("k_proj", config.key_bias), ("v_proj", config.value_bias)];
    for (name, bias) in parts {
        let vb = vb.pp(name);
        weights.push(vb.get((width, width), "weight")?);
        biases.push(match bias {
            true => vb.get(width, "bias")?,
            false => Tensor::zeros(width, vb.dtype(), vb.device())?,
        });
    }
    let bias = parts.iter().any(|(_, bias)| *bias).then(|| Tensor::cat(&biases, 0)).transpose()?;
    Dense::of(below_each_other(&weights)?, bias)
}

/// Whether a tensor only records that it is read: such hold one number for all of their elements, and nothing that
/// is as large as a network is to be made of them.
fn is_recorded(t: &Tensor) -> bool {
    !t.is_contiguous()
}

/// Each row of a weight times its scale.
fn rows_times(weight: Tensor, scale: &Tensor) -> Result<Tensor> {
    if is_recorded(&weight) { Ok(weight) } else { weight.broadcast_mul(&scale.unsqueeze(1)?) }
}

/// Weights (n, C) of one width as one.
fn below_each_other(weights: &[Tensor]) -> Result<Tensor> {
    match weights {
        [first, ..] if is_recorded(first) => {
            let rows = weights.iter().map(|w| w.dim(0)).sum::<Result<usize>>()?;
            first.narrow(0, 0, 1)?.broadcast_as((rows, first.dim(1)?))
        }
        _ => Tensor::cat(weights, 0),
    }
}
