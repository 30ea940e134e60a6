//! How a frame is seen in the light of what is remembered of an object.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::rotary_emb::rope_i;
use parallax_nn::Tap;
use parallax_nn::ops::{Dense, LayerNorm, attention};

use super::positions;
use crate::config::Config;

/// Added to variances here.
const EPSILON: f64 = 1e-5;
/// The base of the wavelengths that places turn queries and keys by.
const THETA: f32 = 10_000.0;
/// How much of its place is added to a cell of the frame.
const PLACE: f64 = 0.1;

/// What an object is remembered by: of M cells in all, those of frames first, pointers last.
#[derive(Debug)]
pub(crate) struct Recalled {
    /// (1, M, channels of memory)
    pub(crate) values: Tensor,
    /// When and where they were, of the same shape.
    pub(crate) places: Tensor,
    /// How many of the M are of pointers.
    pub(crate) pointers: usize,
}

/// Cosines and sines (h w, C / 2) by which pairs of neighbouring channels are turned: those of the first half of
/// the channels by columns, the others by rows (Heo et al. 2024, arXiv:2403.13298).
#[derive(Debug)]
struct Turns {
    cosines: Tensor,
    sines: Tensor,
}

impl Turns {
    fn new(side: usize, width: usize, device: &Device) -> Result<Self> {
        let quarter = width / 4;
        let frequency = |i: usize| THETA.powf(-((2 * i) as f32) / (2 * quarter) as f32);
        let angles = (0..side * side).flat_map(|cell| {
            let turn = move |at: usize| (0..quarter).map(move |i| at as f32 * frequency(i));
            turn(cell % side).chain(turn(cell / side))
        });
        let angles = Tensor::from_iter(angles, device)?.reshape((side * side, 2 * quarter))?;
        Ok(Self { cosines: angles.cos()?, sines: angles.sin()? })
    }

    /// (1, n h w, C) of n maps, each turned alike; in single precision whatever comes.
    fn turned(&self, x: &Tensor) -> Result<Tensor> {
        let (_, tokens, width) = x.dims3()?;
        let cells = self.cosines.dim(0)?;
        let maps = x.to_dtype(DType::F32)?.reshape((tokens / cells, 1, cells, width))?;
        let turned = rope_i(&maps.contiguous()?, &self.cosines, &self.sines)?;
        turned.reshape((1, tokens, width))?.to_dtype(x.dtype())
    }
}

#[derive(Debug)]
struct Projections {
    q: Dense,
    k: Dense,
    v: Dense,
    o: Dense,
}

impl Projections {
    /// Of keys and values that are `keys` wide.
    fn new(width: usize, keys: usize, vb: &VarBuilder) -> Result<Self> {
        Ok(Self {
            q: Dense::new(width, width, vb.pp("q_proj"))?,
            k: Dense::new(keys, width, vb.pp("k_proj"))?,
            v: Dense::new(keys, width, vb.pp("v_proj"))?,
            o: Dense::new(width, width, vb.pp("o_proj"))?,
        })
    }
}

#[derive(Debug)]
struct Layer {
    own: Projections,
    norm1: LayerNorm,
    remembered: Projections,
    norm2: LayerNorm,
    linear1: Dense,
    linear2: Dense,
    norm3: LayerNorm,
}

impl Layer {
    fn new(config: &Config, vb: &VarBuilder) -> Result<Self> {
        let (width, memory) = (config.width, &config.memory);
        let norm = |i: usize| LayerNorm::new(width, EPSILON, vb.pp(format!("layer_norm{i}")));
        Ok(Self {
            own: Projections::new(width, width, &vb.pp("self_attn"))?,
            norm1: norm(1)?,
            remembered: Projections::new(width, memory.channels, &vb.pp("cross_attn_image"))?,
            norm2: norm(2)?,
            linear1: Dense::new(width, memory.hidden, vb.pp("linear1"))?,
            linear2: Dense::new(memory.hidden, width, vb.pp("linear2"))?,
            norm3: norm(3)?,
        })
    }

    /// (1, h w, C) to the same.
    fn forward(&self, x: &Tensor, recalled: &Recalled, turns: &Turns) -> Result<Tensor> {
        let (own, seen) = (&self.own, self.norm1.forward(x)?);
        let q = turns.turned(&own.q.forward(&seen)?)?;
        let k = turns.turned(&own.k.forward(&seen)?)?;
        let mixed = attention(&q, &k, &own.v.forward(&seen)?, 1)?;
        let x = own.o.forward_add(&mixed, x)?;

        let remembered = &self.remembered;
        let q = turns.turned(&remembered.q.forward(&self.norm2.forward(&x)?)?)?;
        let k = remembered.k.forward(&(&recalled.values + &recalled.places)?)?;
        // Pointers have no place in the picture.
        let of_frames = k.dim(1)? - recalled.pointers;
        let frames = turns.turned(&k.narrow(1, 0, of_frames)?)?;
        let k = Tensor::cat(&[&frames, &k.narrow(1, of_frames, recalled.pointers)?], 1)?;
        let mixed = attention(&q, &k, &remembered.v.forward(&recalled.values)?, 1)?;
        let x = remembered.o.forward_add(&mixed, &x)?;

        let hidden = self.linear1.forward(&self.norm3.forward(&x)?)?.relu()?;
        self.linear2.forward_add(&hidden, &x)
    }
}

/// All layers.
#[derive(Debug)]
pub(crate) struct MemoryAttention {
    layers: Vec<Layer>,
    norm: LayerNorm,
    turns: Turns,
    /// (1, h w, C)
    places: Tensor,
}

impl MemoryAttention {
    pub(super) fn new(config: &Config, vb: &VarBuilder) -> Result<Self> {
        let (width, side) = (config.width, config.grid());
        let places = positions::of_map(side, width, vb.device())?.to_dtype(vb.dtype())?;
        let layer = |i: usize| Layer::new(config, &vb.pp("layers").pp(i));
        Ok(Self {
            layers: (0..config.memory.layers).map(layer).collect::<Result<_>>()?,
            norm: LayerNorm::new(width, EPSILON, vb.pp("layer_norm"))?,
            turns: Turns::new(side, width, vb.device())?,
            places: (places * PLACE)?,
        })
    }

    /// A frame (1, h, w, C) to the same.
    pub(crate) fn forward(
        &self,
        frame: &Tensor,
        recalled: &Recalled,
        tap: &mut Tap,
    ) -> Result<Tensor> {
        let mut x = (frame.flatten(1, 2)? + &self.places)?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, recalled, &self.turns)?;
            tap(&format!("memory_layer{i}"), &x)?;
        }
        let x = self.norm.forward(&x)?;
        tap("memory_attention", &x)?;
        x.reshape(frame.shape())
    }
}
