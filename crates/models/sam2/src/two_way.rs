//! Attention between a prompt's tokens and the picture, both ways in turn.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use parallax_nn::ops::{Dense, LayerNorm, attention};

use crate::config::Config;
use crate::heads::{Head, Widths};

/// Added to variances here, unlike elsewhere in the network.
const EPSILON: f64 = 1e-5;

/// What attends to what.
#[derive(Debug)]
struct Attention {
    q: Dense,
    k: Dense,
    v: Dense,
    o: Dense,
    heads: usize,
}

impl Attention {
    /// In `inner` of `width` channels.
    fn new((width, inner): (usize, usize), heads: usize, vb: &VarBuilder) -> Result<Self> {
        Ok(Self {
            q: Dense::new(width, inner, vb.pp("q_proj"))?,
            k: Dense::new(width, inner, vb.pp("k_proj"))?,
            v: Dense::new(width, inner, vb.pp("v_proj"))?,
            o: Dense::new(inner, width, vb.pp("o_proj"))?,
            heads,
        })
    }

    fn mixed(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (q, k, v) = (self.q.forward(q)?, self.k.forward(k)?, self.v.forward(v)?);
        attention(&q, &k, &v, self.heads)
    }

    fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        self.o.forward(&self.mixed(q, k, v)?)
    }

    /// `residual + forward(..)`.
    fn forward_add(&self, [q, k, v]: [&Tensor; 3], residual: &Tensor) -> Result<Tensor> {
        self.o.forward_add(&self.mixed(q, k, v)?, residual)
    }
}

#[derive(Debug)]
struct Layer {
    among_tokens: Attention,
    norm1: LayerNorm,
    to_picture: Attention,
    norm2: LayerNorm,
    mlp: Head,
    norm3: LayerNorm,
    to_tokens: Attention,
    norm4: LayerNorm,
    first: bool,
}

impl Layer {
    fn new(config: &Config, first: bool, vb: &VarBuilder) -> Result<Self> {
        let (width, decoder) = (config.width, &config.decoder);
        let (narrow, heads) = ((width, width / decoder.narrowing), decoder.heads);
        let norm = |i: usize| LayerNorm::new(width, EPSILON, vb.pp(format!("layer_norm{i}")));
        let mlp = Widths { inputs: width, hidden: decoder.hidden, outputs: width };
        let across = |name: &str| Attention::new(narrow, heads, &vb.pp(name));
        Ok(Self {
            among_tokens: Attention::new((width, width), heads, &vb.pp("self_attn"))?,
            norm1: norm(1)?,
            to_picture: across("cross_attn_token_to_image")?,
            norm2: norm(2)?,
            // The published class gives it as many layers as there are of these.
            mlp: Head::new(mlp, decoder.layers, &vb.pp("mlp"))?,
            norm3: norm(3)?,
            to_tokens: across("cross_attn_image_to_token")?,
            norm4: norm(4)?,
            first,
        })
    }

    /// Tokens (B, T, C) and picture (B, h w, C) to the same. `prompt` and `places` are where they are.
    fn forward(
        &self,
        (tokens, picture): (&Tensor, &Tensor),
        (prompt, places): (&Tensor, &Tensor),
    ) -> Result<(Tensor, Tensor)> {
        let tokens = if self.first {
            // What the tokens are and where they are is one at the start, and nothing goes past.
            self.among_tokens.forward(tokens, tokens, tokens)?
        } else {
            let q = (tokens + prompt)?;
            self.among_tokens.forward_add([&q, &q, tokens], tokens)?
        };
        let tokens = self.norm1.forward(&tokens)?;
        let placed = picture.broadcast_add(places)?;
        let q = (&tokens + prompt)?;
        let tokens = self.to_picture.forward_add([&q, &placed, picture], &tokens)?;
        let tokens = self.norm2.forward(&tokens)?;
        let tokens = self.norm3.forward(&(&tokens + self.mlp.forward(&tokens)?)?)?;
        let k = (&tokens + prompt)?;
        let picture = self.to_tokens.forward_add([&placed, &k, &tokens], picture)?;
        Ok((tokens, self.norm4.forward(&picture)?))
    }
}

/// All layers, and a last look of the tokens at the picture.
#[derive(Debug)]
pub(crate) struct TwoWay {
    layers: Vec<Layer>,
    last: Attention,
    norm: LayerNorm,
}

impl TwoWay {
    pub(crate) fn new(config: &Config, vb: &VarBuilder) -> Result<Self> {
        let (width, decoder) = (config.width, &config.decoder);
        let narrow = (width, width / decoder.narrowing);
        let layer = |i: usize| Layer::new(config, i == 0, &vb.pp("layers").pp(i));
        Ok(Self {
            layers: (0..decoder.layers).map(layer).collect::<Result<_>>()?,
            last: Attention::new(narrow, decoder.heads, &vb.pp("final_attn_token_to_image"))?,
            norm: LayerNorm::new(width, EPSILON, vb.pp("layer_norm_final_attn"))?,
        })
    }

    /// Tokens (B, T, C) and picture (B, h w, C), whose places are (1, h w, C), to the same.
    pub(crate) fn forward(
        &self,
        prompt: &Tensor,
        picture: &Tensor,
        places: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let (mut tokens, mut picture) = (prompt.clone(), picture.clone());
        for layer in &self.layers {
            (tokens, picture) = layer.forward((&tokens, &picture), (prompt, places))?;
        }
        let (q, k) = ((&tokens + prompt)?, picture.broadcast_add(places)?);
        let tokens = self.last.forward_add([&q, &k, &picture], &tokens)?;
        Ok((self.norm.forward(&tokens)?, picture))
    }
}
