//! The network of text: layers of attention to what came before, and a gated network of each token.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::ops::rms_norm;
use candle_nn::rotary_emb::rope;
use parallax_nn::Tap;
use parallax_nn::ops::{Linear, silu};

use crate::attention::{Cache, attend};
use crate::config::TextConfig;

/// The network of text without its head.
#[derive(Debug)]
pub(crate) struct Decoder {
    layers: Vec<Layer>,
    norm: RmsNorm,
}

/// What goes through the layers beside the tokens.
#[derive(Debug)]
pub(crate) struct Beside<'a> {
    /// Cosines and sines (B, S, D / 2).
    pub(crate) turns: &'a [Tensor; 2],
    /// Added to scores, (B, 1, S, T).
    pub(crate) mask: Option<&'a Tensor>,
    /// Which of the B S tokens stand for pictures, and what is added to them after each of the first layers, (N, C).
    pub(crate) deep: Option<(&'a Tensor, &'a [Tensor])>,
}

impl Decoder {
    pub(crate) fn new(config: &TextConfig, vb: VarBuilder) -> Result<Self> {
        let layers = vb.pp("layers");
        Ok(Self {
            layers: (0..config.num_hidden_layers)
                .map(|i| Layer::new(config, layers.pp(i)))
                .collect::<Result<_>>()?,
            norm: RmsNorm::new(config.hidden_size, config.rms_norm_eps, vb.pp("norm"))?,
        })
    }

    /// (B, S, C) to the same, after the last norm. The tokens' keys and values are added to `cache`.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        beside: &Beside<'_>,
        cache: &mut Cache,
        tap: &mut Tap<'_>,
    ) -> Result<Tensor> {
        let mut x = x.clone();
        for (i, (layer, kept)) in self.layers.iter().zip(&mut cache.layers).enumerate() {
            x = layer.forward(&x, beside, kept)?;
            tap(&format!("layer{i}"), &x)?;
            if let Some((places, deep)) = beside.deep
                && let Some(features) = deep.get(i)
            {
                let shape = x.dims3()?;
                x = x.flatten(0, 1)?.index_add(places, features, 0)?.reshape(shape)?;
            }
        }
        let x = self.norm.forward(&x)?;
        tap("lm_norm", &x)?;
        Ok(x)
    }
}

#[derive(Debug)]
struct Layer {
    norm1: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    q_norm: RmsNorm,
    k_norm: RmsNorm,
    output: Linear,
    norm2: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
    heads: usize,
    shared: usize,
}

impl Layer {
    fn new(config: &TextConfig, vb: VarBuilder) -> Result<Self> {
        let (width, hidden, head) = (config.hidden_size, config.intermediate_size, config.head_dim);
        let (queries, keys) =
            (config.num_attention_heads * head, config.num_key_value_heads * head);
        let (attention, mlp) = (vb.pp("self_attn"), vb.pp("mlp"));
        let norm = |width, vb| RmsNorm::new(width, config.rms_norm_eps, vb);
        Ok(Self {
            norm1: norm(width, vb.pp("input_layernorm"))?,
            q: Linear::without_bias(width, queries, attention.pp("q_proj"))?,
            k: Linear::without_bias(width, keys, attention.pp("k_proj"))?,
            v: Linear::without_bias(width, keys, attention.pp("v_proj"))?,
            q_norm: norm(head, attention.pp("q_norm"))?,
            k_norm: norm(head, attention.pp("k_norm"))?,
            output: Linear::without_bias(queries, width, attention.pp("o_proj"))?,
            norm2: norm(width, vb.pp("post_attention_layernorm"))?,
            gate: Linear::without_bias(width, hidden, mlp.pp("gate_proj"))?,
            up: Linear::without_bias(width, hidden, mlp.pp("up_proj"))?,
            down: Linear::without_bias(hidden, width, mlp.pp("down_proj"))?,
            heads: config.num_attention_heads,
            shared: config.num_key_value_heads,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        beside: &Beside<'_>,
        kept: &mut candle_nn::kv_cache::KvCache,
    ) -> Result<Tensor> {
        let (batch, count, _) = x.dims3()?;
        let [cosines, sines] = beside.turns;
        let normed = self.norm1.forward(x)?;
        // (B, S, heads D) -> (B, heads, S, D)
        let split = |x: Tensor, heads: usize| x.reshape((batch, count, heads, ()));
        let turned = |x: Tensor, norm: &RmsNorm| -> Result<Tensor> {
            rope(&norm.forward(&x)?.transpose(1, 2)?.contiguous()?, cosines, sines)
        };
        let q = turned(split(self.q.forward(&normed)?, self.heads)?, &self.q_norm)?;
        let k = turned(split(self.k.forward(&normed)?, self.shared)?, &self.k_norm)?;
        let v = split(self.v.forward(&normed)?, self.shared)?.transpose(1, 2)?.contiguous()?;
        let (k, v) = kept.append(&k, &v)?;
        let y = attend(&q, &k, &v, beside.mask)?;
        let x = self.output.forward_add(&y, x)?;
        let normed = self.norm2.forward(&x)?;
        let hidden = (silu(&self.gate.forward(&normed)?)? * self.up.forward(&normed)?)?;
        self.down.forward_add(&hidden, &x)
    }
}

/// Division by the root of the mean square, with a weight for each channel.
#[derive(Debug)]
struct RmsNorm {
    weight: Tensor,
    epsilon: f32,
}

impl RmsNorm {
    fn new(width: usize, epsilon: f64, vb: VarBuilder) -> Result<Self> {
        Ok(Self { weight: vb.get(width, "weight")?, epsilon: epsilon as f32 })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        rms_norm(&x.contiguous()?, &self.weight, self.epsilon)
    }
}
