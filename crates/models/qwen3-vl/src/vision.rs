//! The network of pictures: patches to tokens, and features of its middle blocks for the first layers of the text.

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::rotary_emb::rope;
use parallax_nn::Tap;
use parallax_nn::ops::{Dense, LayerNorm, attention};

use crate::config::VisionConfig;
use crate::grid::Grid;
use crate::picture::Patches;
use crate::positions::{corners, patch_turns};

/// Added to variances.
const EPSILON: f64 = 1e-6;

/// The network of pictures.
#[derive(Debug)]
pub(crate) struct Tower {
    config: VisionConfig,
    patches: Dense,
    /// The learned table (places, C).
    table: Tensor,
    blocks: Vec<Block>,
    merger: Merger,
    deep: Vec<Merger>,
    device: Device,
    dtype: DType,
}

/// What a picture is to the text.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Tokens (N, C) in place of those that stand for it.
    pub(crate) tokens: Tensor,
    /// What is added to them after the text's first layers, (N, C) each.
    pub(crate) deep: Vec<Tensor>,
}

impl Tower {
    pub(crate) fn new(config: &VisionConfig, vb: VarBuilder) -> Result<Self> {
        let (width, side, frames) =
            (config.hidden_size, config.patch_size, config.temporal_patch_size);
        let patch = vb.pp("patch_embed.proj");
        let weight = patch.get((width, config.in_channels, frames, side, side), "weight")?;
        let weight = weight.reshape((width, config.patch()))?;
        let (blocks, deep) = (vb.pp("blocks"), vb.pp("deepstack_merger_list"));
        Ok(Self {
            patches: Dense::of(weight, Some(patch.get(width, "bias")?))?,
            table: vb.pp("pos_embed").get((config.num_position_embeddings, width), "weight")?,
            blocks: (0..config.depth)
                .map(|i| Block::new(config, blocks.pp(i)))
                .collect::<Result<_>>()?,
            merger: Merger::new(config, false, vb.pp("merger"))?,
            deep: (0..config.deepstack_visual_indexes.len())
                .map(|i| Merger::new(config, true, deep.pp(i)))
                .collect::<Result<_>>()?,
            device: vb.device().clone(),
            dtype: vb.dtype(),
            config: config.clone(),
        })
    }

    /// What a picture or a film is to the text. The patches of each frame pair attend to each other only.
    ///
    /// # Errors
    /// When the patches are not those of their grid.
    pub(crate) fn forward(&self, picture: &Patches, tap: &mut Tap<'_>) -> Result<Seen> {
        let (grid, merge) = (picture.grid, self.config.spatial_merge_size);
        let each = grid.rows * grid.columns;
        if picture.values.dims() != [grid.pairs * each, self.config.patch()]
            || !grid.rows.is_multiple_of(merge)
            || !grid.columns.is_multiple_of(merge)
        {
            bail!("patches {:?} of a grid {grid:?}", picture.values.dims());
        }
        let pixels = picture.values.to_device(&self.device)?.to_dtype(self.dtype)?;
        let x = self.patches.forward(&pixels)?;
        tap("patch_embed", &x)?;
        let x = x.reshape((grid.pairs, each, self.config.hidden_size))?;
        let mut x = x.broadcast_add(&self.places(grid)?)?;
        let turns = patch_turns(grid, merge, self.config.head(), &self.device)?;
        let mut deep = Vec::new();
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, &turns)?;
            tap(&format!("vblock{i}"), &x.flatten(0, 1)?)?;
            if let Some(at) = self.config.deepstack_visual_indexes.iter().position(|&d| d == i) {
                let features = self.deep[at].forward(&x)?;
                tap(&format!("deepstack{at}"), &features)?;
                deep.push(features);
            }
        }
        let tokens = self.merger.forward(&x)?;
        tap("merger", &tokens)?;
        Ok(Seen { tokens, deep })
    }

    /// The learned table between its places, for each patch of a frame: (1, h w, C).
    fn places(&self, grid: Grid) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        let corners = corners(grid, self.config.spatial_merge_size, self.config.table());
        for (places, weights) in corners {
            let count = places.len();
            let places = Tensor::from_vec(places, count, &self.device)?;
            let weights =
                Tensor::from_vec(weights, (count, 1), &self.device)?.to_dtype(self.dtype)?;
            let part = self.table.index_select(&places, 0)?.broadcast_mul(&weights)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        match sum {
            Some(sum) => sum.unsqueeze(0),
            None => bail!("a table without corners"),
        }
    }
}

#[derive(Debug)]
struct Block {
    heads: usize,
    norm1: LayerNorm,
    qkv: Dense,
    projection: Dense,
    norm2: LayerNorm,
    fc1: Dense,
    fc2: Dense,
}

impl Block {
    fn new(config: &VisionConfig, vb: VarBuilder) -> Result<Self> {
        let (width, hidden) = (config.hidden_size, config.intermediate_size);
        let (attention, mlp) = (vb.pp("attn"), vb.pp("mlp"));
        Ok(Self {
            heads: config.num_heads,
            norm1: LayerNorm::new(width, EPSILON, vb.pp("norm1"))?,
            qkv: Dense::new(width, 3 * width, attention.pp("qkv"))?,
            projection: Dense::new(width, width, attention.pp("proj"))?,
            norm2: LayerNorm::new(width, EPSILON, vb.pp("norm2"))?,
            fc1: Dense::new(width, hidden, mlp.pp("linear_fc1"))?,
            fc2: Dense::new(hidden, width, mlp.pp("linear_fc2"))?,
        })
    }

    /// (T, S, C) to the same.
    fn forward(&self, x: &Tensor, turns: &[Tensor; 2]) -> Result<Tensor> {
        let (frames, count, width) = x.dims3()?;
        let qkv = self.qkv.forward(&self.norm1.forward(x)?)?;
        let part = |i: usize| qkv.narrow(2, i * width, width);
        let turned = |x: Tensor| -> Result<Tensor> {
            // (T, S, C) -> (T, heads, S, D), in f32 as transformers has it
            let heads = x.reshape((frames, count, self.heads, width / self.heads))?;
            let heads = heads.transpose(1, 2)?.to_dtype(DType::F32)?.contiguous()?;
            let heads = rope(&heads, &turns[0], &turns[1])?.to_dtype(x.dtype())?;
            heads.transpose(1, 2)?.reshape((frames, count, width))
        };
        let (q, k, v) =
            (turned(part(0)?.contiguous()?)?, turned(part(1)?.contiguous()?)?, part(2)?);
        let y = attention(&q, &k, &v.contiguous()?, self.heads)?;
        let x = self.projection.forward_add(&y, x)?;
        // Candle's `gelu` is the form by the hyperbolic tangent.
        let hidden = self.fc1.forward(&self.norm2.forward(&x)?)?.gelu()?;
        self.fc2.forward_add(&hidden, &x)
    }
}

/// Some patches to one token.
#[derive(Debug)]
struct Merger {
    norm: LayerNorm,
    fc1: Dense,
    fc2: Dense,
    /// Patches beside each other, in numbers.
    joined: usize,
    /// Whether the norm is of all of them and not of each.
    late: bool,
}

impl Merger {
    fn new(config: &VisionConfig, late: bool, vb: VarBuilder) -> Result<Self> {
        let joined = config.hidden_size * config.merged();
        let normed = if late { joined } else { config.hidden_size };
        Ok(Self {
            norm: LayerNorm::new(normed, EPSILON, vb.pp("norm"))?,
            fc1: Dense::new(joined, joined, vb.pp("linear_fc1"))?,
            fc2: Dense::new(joined, config.out_hidden_size, vb.pp("linear_fc2"))?,
            joined,
            late,
        })
    }

    /// (T, S, C) to (T S / merged, out).
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let joined = |x: &Tensor| x.reshape(((), self.joined));
        let x = match self.late {
            true => self.norm.forward(&joined(x)?)?,
            false => joined(&self.norm.forward(x)?)?,
        };
        self.fc2.forward(&self.fc1.forward_gelu(&x)?)
    }
}
