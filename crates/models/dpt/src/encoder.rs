//! DINOv2: patches to tokens, and blocks of attention among all of them.
//!
//! A block's scales are folded into the layers before them when weights are read: the scale of a sum of
//! products is a scale of the weights.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use parallax_nn::Tap;
use parallax_nn::ops::{Dense, LayerNorm, Layers, Space, TransformerBlock};

use crate::config::Transformer;
use crate::layout::Layout;
use crate::positions;

/// The encoder.
#[derive(Debug)]
pub(crate) struct Encoder {
    config: Transformer,
    /// Patches (N, h w, 3 patch patch) to tokens.
    patches: Dense,
    class: Tensor,
    table: Tensor,
    /// Positions by grid: few grids are ever asked for, and each costs a while.
    positions: Mutex<BTreeMap<(usize, usize), Tensor>>,
    blocks: Vec<TransformerBlock>,
    norm: LayerNorm,
}

impl Encoder {
    pub(crate) fn new(config: &Transformer, layout: Layout, vb: &VarBuilder) -> Result<Self> {
        let root = layout.encoder(vb);
        let (width, side) = (config.width, config.patch);
        if !width.is_multiple_of(config.heads) {
            candle_core::bail!("{} heads of a width of {width}", config.heads);
        }
        let table = (1, config.table * config.table + 1, width);
        let (table, embeddings, patch, blocks, norm) = if layout.is_transformers() {
            let embeddings = root.pp("embeddings");
            let patch = embeddings.pp("patch_embeddings.projection");
            let table = embeddings.get(table, "position_embeddings")?;
            (table, embeddings, patch, root.pp("encoder.layer"), "layernorm")
        } else {
            let patch = root.pp("patch_embed.proj");
            (root.get(table, "pos_embed")?, root.clone(), patch, root.pp("blocks"), "norm")
        };
        if layout.keeps_unused() {
            embeddings.get((1, width), "mask_token")?;
        }
        let weight = patch.get((width, 3, side, side), "weight")?;
        let patches =
            Dense::of(weight.reshape((width, 3 * side * side))?, Some(patch.get(width, "bias")?))?;
        Ok(Self {
            patches,
            class: embeddings.get((1, 1, width), "cls_token")?,
            table,
            positions: Mutex::default(),
            blocks: (0..config.blocks)
                .map(|i| block(config, layout, &blocks.pp(i)))
                .collect::<Result<_>>()?,
            norm: LayerNorm::new(width, config.final_epsilon, root.pp(norm))?,
            config: config.clone(),
        })
    }

    /// Images (N, 3, 14 h, 14 w) to the outputs (N, 1 + h w, C) of the blocks that are `taken`, after the
    /// last norm. The class token comes first.
    pub(crate) fn forward(
        &self,
        images: &Tensor,
        taken: &[usize; 4],
        tap: &mut Tap,
    ) -> Result<[Tensor; 4]> {
        let mut tokens = self.embed(images)?;
        tap("tokens", &tokens)?;
        let mut outputs = Vec::with_capacity(4);
        let space = Space::default();
        for (i, block) in self.blocks.iter().enumerate() {
            tokens = block.forward(&tokens, &space)?;
            tap(&format!("block.{i}"), &tokens)?;
            if taken.contains(&i) {
                let output = self.norm.forward(&tokens)?;
                tap(&format!("normed.{}", outputs.len()), &output)?;
                outputs.push(output);
            }
        }
        <[Tensor; 4]>::try_from(outputs)
            .map_err(|_| candle_core::Error::Msg(format!("blocks {taken:?} are not all there")))
    }

    fn embed(&self, images: &Tensor) -> Result<Tensor> {
        let (n, channels, height, width) = images.dims4()?;
        let side = self.config.patch;
        let (h, w) = (height / side, width / side);
        // (N, 3, h, 14, w, 14) -> (N, h, w, 3, 14, 14)
        let patches = images.reshape((n, channels, h, side, w, side))?;
        let patches = patches.permute((0, 2, 4, 1, 3, 5))?.contiguous()?;
        let patches = patches.reshape((n, h * w, channels * side * side))?;
        let tokens = self.patches.forward(&patches)?;
        let class = self.class.broadcast_as((n, 1, self.config.width))?.contiguous()?;
        Tensor::cat(&[&class, &tokens], 1)?.broadcast_add(&self.positions((h, w))?)
    }

    fn positions(&self, grid: (usize, usize)) -> Result<Tensor> {
        let mut known = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(positions) = known.get(&grid) {
            return Ok(positions.clone());
        }
        let Transformer { table, positions, .. } = self.config;
        let resized = positions::on_grid(&self.table, table, grid, positions)?;
        known.insert(grid, resized.clone());
        Ok(resized)
    }
}

/// A block with its scales in the layers before them.
fn block(config: &Transformer, layout: Layout, vb: &VarBuilder) -> Result<TransformerBlock> {
    let (width, epsilon) = (config.width, config.block_epsilon);
    let hidden = config.mlp_ratio * width;
    let (qkv, projection, scales) = if layout.is_transformers() {
        let part = |name: &str| -> Result<(Tensor, Tensor)> {
            let vb = vb.pp("attention.attention").pp(name);
            Ok((vb.get((width, width), "weight")?, vb.get(width, "bias")?))
        };
        let (parts, biases): (Vec<_>, Vec<_>) = ["query", "key", "value"]
            .into_iter()
            .map(part)
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .unzip();
        let qkv = Dense::of(Tensor::cat(&parts, 0)?, Some(Tensor::cat(&biases, 0)?))?;
        (qkv, "attention.output.dense", ["layer_scale1.lambda1", "layer_scale2.lambda1"])
    } else {
        let qkv = Dense::new(width, 3 * width, vb.pp("attn.qkv"))?;
        (qkv, "attn.proj", ["ls1.gamma", "ls2.gamma"])
    };
    let scaled = |inputs: usize, name: &str, scale: &str| -> Result<Dense> {
        let scale = vb.get(width, scale)?;
        let vb = vb.pp(name);
        let weight = vb.get((width, inputs), "weight")?.broadcast_mul(&scale.unsqueeze(1)?)?;
        Dense::of(weight, Some((vb.get(width, "bias")? * scale)?))
    };
    let layers = Layers {
        norm1: LayerNorm::new(width, epsilon, vb.pp("norm1"))?,
        qkv,
        projection: scaled(width, projection, scales[0])?,
        norm2: LayerNorm::new(width, epsilon, vb.pp("norm2"))?,
        fc1: Dense::new(width, hidden, vb.pp("mlp.fc1"))?,
        fc2: scaled(hidden, "mlp.fc2", scales[1])?,
    };
    TransformerBlock::new(config.heads, layers)
}
