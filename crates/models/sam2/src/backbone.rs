//! Hiera: patches to tokens, and blocks of attention in windows, through four stages.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use parallax_nn::Tap;
use parallax_nn::ops::{
    Dense, FusedConv2d, LayerNorm, Window, attention, channels_last, self_attention,
};
use parallax_nn::resize::resize_bicubic;

use crate::config::{Config, Hiera, PATCH};
use crate::windows::{Windows, pool};

/// Pixels that a patch sees: more than it stands for.
const SEEN: Window = Window::new(7, PATCH, 3);

/// The encoder of pictures.
#[derive(Debug)]
pub(crate) struct Backbone {
    patches: FusedConv2d,
    /// (1, h, w, C)
    positions: Tensor,
    blocks: Vec<Block>,
    /// The last block of each stage.
    ends: [usize; 4],
}

impl Backbone {
    pub(crate) fn new(config: &Config, vb: &VarBuilder) -> Result<Self> {
        let hiera = &config.backbone;
        let mut blocks = Vec::new();
        let mut ends = [0; 4];
        for (stage, end) in ends.iter_mut().enumerate() {
            for i in 0..hiera.blocks[stage] {
                let at = blocks.len();
                let place = Place { stage, first: i == 0, number: at };
                blocks.push(Block::new(hiera, place, &vb.pp("blocks").pp(at))?);
            }
            *end = blocks.len() - 1;
        }
        Ok(Self {
            patches: FusedConv2d::new(3, hiera.widths[0], SEEN, vb.pp("patch_embed.projection"))?,
            positions: positions(hiera, config.image_size / PATCH, vb)?,
            blocks,
            ends,
        })
    }

    /// Pictures (N, 3, S, S) to the outputs (N, h, w, C) of the four stages, finest first.
    pub(crate) fn forward(&self, pictures: &Tensor, tap: &mut Tap) -> Result<[Tensor; 4]> {
        let x = channels_last(&self.patches.forward(pictures)?)?;
        tap("patch_embed", &x)?;
        tap("pos_embed", &self.positions)?;
        let mut x = x.broadcast_add(&self.positions)?;
        let mut outputs = Vec::with_capacity(4);
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x)?;
            tap(&format!("block{i}"), &x)?;
            if self.ends.contains(&i) {
                outputs.push(x.clone());
            }
        }
        <[Tensor; 4]>::try_from(outputs)
            .map_err(|_| candle_core::Error::Msg("stages without blocks".to_owned()))
    }
}

/// Positions (1, side, side, C): a small table stretched over the picture, and a window's laid out over it.
fn positions(hiera: &Hiera, side: usize, vb: &VarBuilder) -> Result<Tensor> {
    let (width, window) = (hiera.widths[0], hiera.windows[0]);
    let (rows, columns) = hiera.background;
    let background = vb.get((1, width, rows, columns), "pos_embed")?;
    let window = vb.get((1, width, window, window), "pos_embed_window")?;
    let times = side / hiera.windows[0];
    let stretched = resize_bicubic(&background, (side, side))?.to_dtype(background.dtype())?;
    let tiled = window.repeat((1, 1, times, times))?;
    channels_last(&(stretched + tiled)?)
}

/// Where a block is.
#[derive(Debug, Clone, Copy)]
struct Place {
    stage: usize,
    /// Whether the stage begins with it.
    first: bool,
    /// Among all blocks.
    number: usize,
}

/// Attention in windows, then a small network.
#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    qkv: Dense,
    projection: Dense,
    norm2: LayerNorm,
    fc1: Dense,
    fc2: Dense,
    /// For what goes past the attention where a stage begins: the width changes, and every four tokens become
    /// one.
    skip: Option<Dense>,
    heads: usize,
    /// Tokens of a window's side; 0 for one that is the whole picture.
    window: usize,
}

impl Block {
    fn new(hiera: &Hiera, place: Place, vb: &VarBuilder) -> Result<Self> {
        let Place { stage, first, number } = place;
        let outputs = hiera.widths[stage];
        // A stage begins on the tokens, and in the windows, of the one before.
        let before = if first { stage.saturating_sub(1) } else { stage };
        let inputs = hiera.widths[before];
        let hidden = hiera.mlp_ratio * outputs;
        let shrinks = first && stage > 0;
        Ok(Self {
            norm1: LayerNorm::new(inputs, hiera.epsilon, vb.pp("layer_norm1"))?,
            qkv: Dense::new(inputs, 3 * outputs, vb.pp("attn.qkv"))?,
            projection: Dense::new(outputs, outputs, vb.pp("attn.proj"))?,
            norm2: LayerNorm::new(outputs, hiera.epsilon, vb.pp("layer_norm2"))?,
            fc1: Dense::new(outputs, hidden, vb.pp("mlp.proj_in"))?,
            fc2: Dense::new(hidden, outputs, vb.pp("mlp.proj_out"))?,
            skip: shrinks.then(|| Dense::new(inputs, outputs, vb.pp("proj"))).transpose()?,
            heads: hiera.heads[stage],
            window: if hiera.global.contains(&number) { 0 } else { hiera.windows[before] },
        })
    }

    /// (N, h, w, C) to the same, or to half the sides and another width.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, h, w, _) = x.dims4()?;
        let normed = self.norm1.forward(x)?;
        let skip = match &self.skip {
            Some(skip) => pool(&skip.forward(&normed)?)?,
            None => x.clone(),
        };
        let windows = Windows::new((h, w), self.window);
        // Zeros are filled in behind the norm, so they take part with the biases of the projections.
        let qkv = self.qkv.forward(&windows.split(&normed)?)?;
        let (n, rows, columns, three) = qkv.dims4()?;
        let (tokens, width) = (rows * columns, three / 3);
        let (mixed, windows) = if self.skip.is_some() {
            let part = |i: usize| qkv.narrow(3, i * width, width)?.contiguous();
            let q = pool(&part(0)?)?.reshape((n, tokens / 4, width))?;
            let [k, v] = [part(1)?, part(2)?].map(|part| part.reshape((n, tokens, width)));
            (attention(&q, &k?, &v?, self.heads)?, windows.halved())
        } else {
            (self_attention(&qkv.reshape((n, tokens, three))?, self.heads)?, windows)
        };
        let x = self.projection.forward_add(&windows.join(&mixed)?, &skip)?;
        let hidden = self.fc1.forward_gelu(&self.norm2.forward(&x)?)?;
        self.fc2.forward_add(&hidden, &x)
    }
}
