//! Attention over time, as Video Depth Anything adds it to the head.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use parallax_nn::ops::{
    Activation, Dense, Frames, GroupNorm, LayerNorm, channels_first, channels_last, geglu,
    next_frame_attention, temporal_attention,
};

use crate::config::Temporal;
use crate::past::{Attended, Recent};

/// Groups of the norm, and what is added to its variances.
const GROUPS: usize = 32;
const GROUP_EPSILON: f64 = 1e-6;
const LAYER_EPSILON: f64 = 1e-5;
/// Attentions of a module, one after the other.
const ATTENTIONS: usize = 2;
/// Frames whose tokens widen at a time.
const TOGETHER: usize = 4;

/// A block of temporal attention around an identity.
#[derive(Debug)]
pub(crate) struct MotionModule {
    norm: GroupNorm,
    proj_in: Dense,
    attentions: Vec<TemporalAttention>,
    ff_norm: LayerNorm,
    ff_in: Dense,
    ff_out: Dense,
    proj_out: Dense,
}

#[derive(Debug)]
struct TemporalAttention {
    heads: usize,
    norm: LayerNorm,
    /// (1, frames, C), added to queries, keys and values.
    positions: Tensor,
    query: Dense,
    key: Dense,
    value: Dense,
    out: Dense,
}

impl MotionModule {
    pub(crate) fn new(channels: usize, temporal: Temporal, vb: VarBuilder) -> Result<Self> {
        let vb = vb.pp("temporal_transformer");
        let block = vb.pp("transformer_blocks.0");
        Ok(Self {
            norm: GroupNorm::new(GROUPS, channels, GROUP_EPSILON, vb.pp("norm"))?,
            proj_in: Dense::new(channels, channels, vb.pp("proj_in"))?,
            attentions: (0..ATTENTIONS)
                .map(|i| TemporalAttention::new(channels, temporal, i, &block))
                .collect::<Result<_>>()?,
            ff_norm: LayerNorm::new(channels, LAYER_EPSILON, block.pp("ff_norm"))?,
            ff_in: Dense::new(channels, 8 * channels, block.pp("ff.net.0.proj"))?,
            ff_out: Dense::new(4 * channels, channels, block.pp("ff.net.2"))?,
            proj_out: Dense::new(channels, channels, vb.pp("proj_out"))?,
        })
    }

    /// What is kept of a shot that no frame was seen of.
    pub(crate) fn past(&self) -> Result<Vec<Attended>> {
        self.attentions.iter().map(TemporalAttention::past).collect()
    }

    /// Consecutive frames (F, C, H, W) to the same: a window of them, or with a past the one that comes next.
    pub(crate) fn forward(&self, frames: &Tensor, past: Option<&mut [Attended]>) -> Result<Tensor> {
        let (f, c, h, w) = frames.dims4()?;
        let x = self.norm.forward(frames, Activation::None)?;
        // (F, C, H, W) -> (F, H W, C)
        let tokens = |x: &Tensor| channels_last(x)?.reshape((f, h * w, c));
        let mut x = self.proj_in.forward(&tokens(&x)?)?;
        match past {
            None => {
                for attention in &self.attentions {
                    x = attention.forward_add(&x)?;
                }
            }
            Some(past) => {
                for (attention, past) in self.attentions.iter().zip(past) {
                    x = attention.next_add(&x, past)?;
                }
            }
        }
        let x = self.proj_out.forward_add(&self.feed_forward(&x)?, &tokens(frames)?)?;
        channels_first(&x.reshape((f, h, w, c))?)
    }
}

impl MotionModule {
    /// `x` (F, S, C) through the network of each token. A few frames at a time: what is hidden in it is
    /// eight times as wide.
    fn feed_forward(&self, x: &Tensor) -> Result<Tensor> {
        let frames = x.dim(0)?;
        let part = |first: usize| {
            let x = x.narrow(0, first, TOGETHER.min(frames - first))?;
            let hidden = geglu(&self.ff_in.forward(&self.ff_norm.forward(&x)?)?)?;
            self.ff_out.forward_add(&hidden, &x)
        };
        let parts = (0..frames).step_by(TOGETHER).map(part).collect::<Result<Vec<_>>>()?;
        Tensor::cat(&parts, 0)
    }
}

impl TemporalAttention {
    fn new(channels: usize, temporal: Temporal, i: usize, block: &VarBuilder) -> Result<Self> {
        if !channels.is_multiple_of(temporal.heads) {
            candle_core::bail!("{} heads of {channels} channels", temporal.heads);
        }
        let vb = block.pp("attention_blocks").pp(i);
        let projection = |name: &str| Dense::without_bias(channels, channels, vb.pp(name));
        Ok(Self {
            heads: temporal.heads,
            norm: LayerNorm::new(channels, LAYER_EPSILON, block.pp("norms").pp(i))?,
            positions: vb.get((1, temporal.frames, channels), "pos_encoder.pe")?,
            query: projection("to_q")?,
            key: projection("to_k")?,
            value: projection("to_v")?,
            out: Dense::new(channels, channels, vb.pp("to_out.0"))?,
        })
    }

    /// `x` (F, S, C) plus what its frames tell each other.
    fn forward_add(&self, x: &Tensor) -> Result<Tensor> {
        let (frames, _, channels) = x.dims3()?;
        let seen = self.positions.dim(1)?;
        if frames > seen {
            candle_core::bail!("{frames} frames where at most {seen} are seen together");
        }
        let positions = self.positions.narrow(1, 0, frames)?.reshape((frames, 1, channels))?;
        let y = self.norm.forward(x)?.broadcast_add(&positions)?;
        let [q, k, v] = [&self.query, &self.key, &self.value].map(|layer| layer.forward(&y));
        self.out.forward_add(&temporal_attention(&q?, &k?, &v?, frames, self.heads)?, x)
    }

    fn past(&self) -> Result<Attended> {
        let (_, frames, channels) = self.positions.dims3()?;
        let added = |layer: &Dense| layer.forward(&self.positions)?.reshape((frames, channels));
        Ok(Attended {
            frames: Recent::default(),
            positions: [added(&self.key)?, added(&self.value)?],
        })
    }

    /// `x` (1, S, C) plus what the frames before tell it, which it joins. Its place is the last of those that
    /// are seen together, but a shot's first frame's is the first.
    fn next_add(&self, x: &Tensor, past: &mut Attended) -> Result<Tensor> {
        let y = self.norm.forward(x)?;
        let own = [self.key.forward(&y)?, self.value.forward(&y)?];
        let seen: Vec<&[Tensor; 2]> = past.frames.seen().chain([&own]).collect();
        let of = |i: usize| seen.iter().map(|frame| &frame[i]).collect::<Vec<_>>();
        let (keys, values, count) = (of(0), of(1), seen.len());
        let [of_keys, of_values] = &past.positions;
        let positions = [&of_keys.narrow(0, 0, count)?, &of_values.narrow(0, 0, count)?];
        let place = self.positions.narrow(1, count - 1, 1)?;
        let q = self.query.forward(&y.broadcast_add(&place)?)?;
        let frames = Frames { keys: &keys, values: &values, positions };
        let told = next_frame_attention(&q, frames, self.heads)?;
        past.frames.keep(own);
        self.out.forward_add(&told, x)
    }
}
