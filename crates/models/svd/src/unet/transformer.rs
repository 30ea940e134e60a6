//! Transformers over the pixels of a frame and over the frames of a pixel.
//!
//! diffusers `models/transformers/transformer_temporal.py` (`TransformerSpatioTemporalModel`) and
//! `models/attention.py` (`BasicTransformerBlock`, `TemporalBasicTransformerBlock`).
//!
//! Tokens stay `(B F, H W, C)` throughout: only attention over time looks across frames, and it reads
//! them where they lie. Attention to a single context token is the output projection of that token's
//! value whatever the queries, so it is computed once per clip and added (see [`CrossTerm`]).

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::context::Context;
use super::prepared::{CrossTerm, Prepared};
use crate::resnet::{Blend, GROUPS, spatial_weight};
use parallax_nn::embedding::Embedding;
use parallax_nn::ops::{
    Activation, GroupNorm, LayerNorm, Linear, attention, geglu, mix, temporal_attention,
};

const NORM_EPS: f64 = 1e-6;
const LAYER_NORM_EPS: f64 = 1e-5;
/// Inner width of the feed-forward layers over the width of a token.
const EXPANSION: usize = 4;

/// Sizes of one transformer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) channels: usize,
    pub(super) heads: usize,
    pub(super) context: usize,
    pub(super) layers: usize,
}

#[derive(Debug, Clone)]
struct SelfAttention {
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
}

impl SelfAttention {
    fn new(channels: usize, vb: VarBuilder) -> Result<Self> {
        let square = |name: &str| Linear::without_bias(channels, channels, vb.pp(name));
        Ok(Self {
            q: square("to_q")?,
            k: square("to_k")?,
            v: square("to_v")?,
            out: Linear::new(channels, channels, vb.pp("to_out.0"))?,
        })
    }

    /// `x` plus attention of `y` to itself, within frames or (`frames`) across them.
    fn forward_add(
        &self,
        y: &Tensor,
        x: &Tensor,
        frames: Option<usize>,
        heads: usize,
    ) -> Result<Tensor> {
        let (q, k, v) = (self.q.forward(y)?, self.k.forward(y)?, self.v.forward(y)?);
        let y = match frames {
            None => attention(&q, &k, &v, heads)?,
            Some(f) => temporal_attention(&q, &k, &v, f, heads)?,
        };
        self.out.forward_add(&y, x)
    }
}

#[derive(Debug, Clone)]
struct CrossAttention {
    norm: LayerNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    heads: usize,
}

impl CrossAttention {
    fn new(sizes: Sizes, vb: VarBuilder) -> Result<Self> {
        let Sizes { channels, context, .. } = sizes;
        let attn = vb.pp("attn2");
        Ok(Self {
            norm: LayerNorm::new(channels, LAYER_NORM_EPS, vb.pp("norm2"))?,
            q: Linear::without_bias(channels, channels, attn.pp("to_q"))?,
            k: Linear::without_bias(context, channels, attn.pp("to_k"))?,
            v: Linear::without_bias(context, channels, attn.pp("to_v"))?,
            out: Linear::new(channels, channels, attn.pp("to_out.0"))?,
            heads: sizes.heads,
        })
    }

    /// `tokens` (R, T, context).
    fn prepare(&self, tokens: &Tensor, fold: bool) -> Result<CrossTerm> {
        let v = self.v.forward(tokens)?;
        if fold && tokens.dim(1)? == 1 {
            return Ok(CrossTerm::Constant(self.out.forward(&v)?));
        }
        Ok(CrossTerm::Tokens(self.k.forward(tokens)?, v))
    }

    /// `x` (B F, S, C) plus attention to the context, whose R rows serve B F / R consecutive rows each.
    fn forward_add(&self, x: &Tensor, term: &CrossTerm) -> Result<Tensor> {
        let (n, s, c) = x.dims3()?;
        match term {
            CrossTerm::Constant(rows) => {
                let r = rows.dim(0)?;
                // (B F, S, C) -> (R, B F S / R, C)
                x.reshape((r, n / r * s, c))?.broadcast_add(rows)?.reshape((n, s, c))
            }
            CrossTerm::Tokens(k, v) => {
                let (r, t, _) = k.dims3()?;
                let q = self.q.forward(&self.norm.forward(x)?)?.reshape((r, n / r * s, c))?;
                let y = attention(&q, &k.reshape((r, t, c))?, v, self.heads)?.reshape((n, s, c))?;
                self.out.forward_add(&y, x)
            }
        }
    }
}

#[derive(Debug, Clone)]
struct FeedForward {
    norm: LayerNorm,
    proj: Linear,
    out: Linear,
}

impl FeedForward {
    fn new(channels: usize, norm: &str, name: &str, vb: VarBuilder) -> Result<Self> {
        let inner = EXPANSION * channels;
        let net = vb.pp(name).pp("net");
        Ok(Self {
            norm: LayerNorm::new(channels, LAYER_NORM_EPS, vb.pp(norm))?,
            proj: Linear::new(channels, 2 * inner, net.pp("0.proj"))?,
            out: Linear::new(inner, channels, net.pp("2"))?,
        })
    }

    /// `x` plus the layer's result.
    fn forward_add(&self, x: &Tensor) -> Result<Tensor> {
        self.out.forward_add(&geglu(&self.proj.forward(&self.norm.forward(x)?)?)?, x)
    }
}

#[derive(Debug, Clone)]
struct Block {
    /// The temporal block begins with a feed-forward layer of its own.
    ff_in: Option<FeedForward>,
    norm1: LayerNorm,
    attn1: SelfAttention,
    cross: CrossAttention,
    ff: FeedForward,
    heads: usize,
}

impl Block {
    fn new(sizes: Sizes, temporal: bool, vb: VarBuilder) -> Result<Self> {
        let channels = sizes.channels;
        let ff_in = temporal
            .then(|| FeedForward::new(channels, "norm_in", "ff_in", vb.clone()))
            .transpose()?;
        Ok(Self {
            ff_in,
            norm1: LayerNorm::new(channels, LAYER_NORM_EPS, vb.pp("norm1"))?,
            attn1: SelfAttention::new(channels, vb.pp("attn1"))?,
            cross: CrossAttention::new(sizes, vb.clone())?,
            ff: FeedForward::new(channels, "norm3", "ff", vb)?,
            heads: sizes.heads,
        })
    }

    fn forward(&self, x: &Tensor, frames: usize, term: &CrossTerm) -> Result<Tensor> {
        let x = match &self.ff_in {
            Some(ff) => ff.forward_add(x)?,
            None => x.clone(),
        };
        let across = self.ff_in.is_some().then_some(frames);
        let x = self.attn1.forward_add(&self.norm1.forward(&x)?, &x, across, self.heads)?;
        self.ff.forward_add(&self.cross.forward_add(&x, term)?)
    }
}

/// A spatial and a temporal block per layer, blended, between two projections.
#[derive(Debug, Clone)]
pub(super) struct Transformer {
    norm: GroupNorm,
    proj_in: Linear,
    spatial: Vec<Block>,
    temporal: Vec<Block>,
    time_pos_embed: Embedding,
    spatial_weight: f64,
    proj_out: Linear,
    channels: usize,
}

impl Transformer {
    pub(super) fn new(sizes: Sizes, vb: VarBuilder) -> Result<Self> {
        let Sizes { channels, heads, layers, .. } = sizes;
        if heads == 0 || channels % heads != 0 {
            candle_core::bail!("{channels} channels for {heads} heads at {}", vb.prefix());
        }
        let blocks = |name: &str, temporal: bool| -> Result<Vec<Block>> {
            (0..layers).map(|i| Block::new(sizes, temporal, vb.pp(name).pp(i))).collect()
        };
        Ok(Self {
            norm: GroupNorm::new(GROUPS, channels, NORM_EPS, vb.pp("norm"))?,
            proj_in: Linear::new(channels, channels, vb.pp("proj_in"))?,
            spatial: blocks("transformer_blocks", false)?,
            temporal: blocks("temporal_transformer_blocks", true)?,
            time_pos_embed: Embedding::new(
                channels,
                4 * channels,
                channels,
                vb.pp("time_pos_embed"),
            )?,
            spatial_weight: spatial_weight(Blend::Spatial, vb.pp("time_mixer"))?,
            proj_out: Linear::new(channels, channels, vb.pp("proj_out"))?,
            channels,
        })
    }

    pub(super) fn prepare(&self, context: &Context, fold: bool) -> Result<Prepared> {
        let cross = self
            .spatial
            .iter()
            .zip(&self.temporal)
            .map(|(s, t)| {
                Ok((
                    s.cross.prepare(&context.spatial, fold)?,
                    t.cross.prepare(&context.temporal, fold)?,
                ))
            })
            .collect::<Result<_>>()?;
        let frames: Vec<f32> = (0..context.frames).map(|f| f as f32).collect();
        let positions = self.time_pos_embed.of(&frames, self.channels)?;
        Ok(Prepared { cross, positions: positions.reshape((1, context.frames, 1, self.channels))? })
    }

    /// (B F, C, H, W) to the same, residual included.
    pub(super) fn forward(&self, x: &Tensor, frames: usize, prepared: &Prepared) -> Result<Tensor> {
        let (n, c, h, w) = x.dims4()?;
        // (B F, C, H, W) -> (B F, H W, C)
        let y = self
            .norm
            .forward(x, Activation::None)?
            .reshape((n, c, h * w))?
            .transpose(1, 2)?
            .contiguous()?;
        let mut y = self.proj_in.forward(&y)?;
        for ((spatial, temporal), (cross_s, cross_t)) in
            self.spatial.iter().zip(&self.temporal).zip(&prepared.cross)
        {
            y = spatial.forward(&y, frames, cross_s)?;
            // (B F, H W, C) -> (B, F, H W, C), to add each frame's position
            let placed =
                y.reshape((n / frames, frames, h * w, c))?.broadcast_add(&prepared.positions)?;
            let mixed = temporal.forward(&placed.reshape((n, h * w, c))?, frames, cross_t)?;
            y = mix(&y, &mixed, self.spatial_weight)?;
        }
        let y = self.proj_out.forward(&y)?;
        // (B F, H W, C) -> (B F, C, H, W)
        y.transpose(1, 2)?.contiguous()?.reshape((n, c, h, w))? + x
    }
}
