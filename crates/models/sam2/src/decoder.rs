//! From a prompt's tokens and a picture to masks, and how good they are.

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::ops::sigmoid;
use parallax_nn::Tap;
use parallax_nn::ops::{ConvTranspose2d, Dense, LayerNorm, channels_first, channels_last, gelu};

use crate::config::{Config, MASKS};
use crate::features::Features;
use crate::heads::{Head, Widths};
use crate::masks::Candidates;
use crate::neck::point;
use crate::two_way::TwoWay;

/// Added to variances where the map grows.
const EPSILON: f64 = 1e-6;

/// The decoder.
#[derive(Debug)]
pub(crate) struct MaskDecoder {
    /// (1, 2 + MASKS, C): the object's, the score's and the masks' own tokens.
    tokens: Tensor,
    two_way: TwoWay,
    grow1: ConvTranspose2d,
    norm: LayerNorm,
    grow2: ConvTranspose2d,
    /// What makes each mask's weights of its token.
    weights: Vec<Head>,
    scores: Head,
    object: Head,
    /// From the finest map and from the middle one to those of the grown maps.
    fine: Dense,
    middle: Dense,
}

impl MaskDecoder {
    pub(crate) fn new(config: &Config, vb: &VarBuilder) -> Result<Self> {
        let (width, decoder) = (config.width, &config.decoder);
        let token = |name: &str, n: usize| vb.get((n, width), &format!("{name}.weight"));
        let tokens =
            [token("obj_score_token", 1)?, token("iou_token", 1)?, token("mask_tokens", MASKS)?];
        let weights = |i: usize| {
            let vb = vb.pp("output_hypernetworks_mlps").pp(i);
            Head::new(Widths { inputs: width, hidden: width, outputs: width / 8 }, 3, &vb)
        };
        let object = Widths { inputs: width, hidden: width, outputs: 1 };
        let scores = Widths { inputs: width, hidden: decoder.score_hidden, outputs: MASKS };
        Ok(Self {
            tokens: Tensor::cat(&tokens, 0)?.unsqueeze(0)?,
            two_way: TwoWay::new(config, &vb.pp("transformer"))?,
            grow1: ConvTranspose2d::new(width, width / 4, 2, vb.pp("upscale_conv1"))?,
            norm: LayerNorm::new(width / 4, EPSILON, vb.pp("upscale_layer_norm"))?,
            grow2: ConvTranspose2d::new(width / 4, width / 8, 2, vb.pp("upscale_conv2"))?,
            weights: (0..MASKS).map(weights).collect::<Result<_>>()?,
            scores: Head::new(scores, decoder.score_layers, &vb.pp("iou_prediction_head"))?,
            object: Head::new(object, 3, &vb.pp("pred_obj_score_head"))?,
            fine: point(width, width / 8, &vb.pp("conv_s0"))?,
            middle: point(width, width / 4, &vb.pp("conv_s1"))?,
        })
    }

    /// The two finer maps (N, h, w, C) as masks take them.
    pub(crate) fn finer(&self, fine: &Tensor, middle: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.fine.forward(fine)?, self.middle.forward(middle)?))
    }

    /// Prompts' tokens (B, T, C) and map (1 or B, 1 or h w, C) to their masks, where the coarse map (1, h, w, C) is
    /// seen so.
    pub(crate) fn forward(
        &self,
        (features, coarse): (&Features, &Tensor),
        (prompts, map): (&Tensor, &Tensor),
        places: &Tensor,
        tap: &mut Tap,
    ) -> Result<Candidates> {
        let (batch, _, width) = prompts.dims3()?;
        let (_, h, w, _) = coarse.dims4()?;
        let own = self.tokens.broadcast_as((batch, 2 + MASKS, width))?.contiguous()?;
        let tokens = Tensor::cat(&[&own, prompts], 1)?;
        let picture = coarse.reshape((1, h * w, width))?.broadcast_add(map)?;
        let picture = picture.broadcast_as((batch, h * w, width))?.contiguous()?;
        let (tokens, picture) = self.two_way.forward(&tokens, &picture, places)?;
        tap("two_way.out0", &tokens)?;
        tap("two_way.out1", &picture)?;
        let token = |i: usize| tokens.narrow(1, i, 1)?.contiguous();
        let scores = self.scores.forward(&token(1)?)?;
        tap("iou_head", &sigmoid(&scores)?)?;
        let object = self.object.forward(&token(0)?)?;
        tap("object_head", &object)?;

        let map = self.grown(features, &picture.reshape((batch, h, w, width))?, tap)?;
        let (_, rows, columns, channels) = map.dims4()?;
        let weights = (0..MASKS)
            .map(|i| self.weights[i].forward(&token(2 + i)?))
            .collect::<Result<Vec<_>>>()?;
        let weights = Tensor::cat(&weights, 1)?;
        // (B, MASKS, C) x (B, C, pixels)
        let pixels = map.reshape((batch, rows * columns, channels))?.transpose(1, 2)?;
        let logits = weights.matmul(&pixels)?.reshape((batch, MASKS, rows, columns))?;
        let flat = |x: Tensor| x.to_dtype(DType::F32)?.reshape((batch, ()))?.to_vec2::<f32>();
        Ok(Candidates {
            logits: logits.to_dtype(DType::F32)?,
            tokens: tokens.narrow(1, 2, MASKS)?,
            scores: flat(sigmoid(&scores)?)?,
            presence: flat(object)?.concat(),
        })
    }

    /// The picture (B, h, w, C) four times as fine: (B, 4 h, 4 w, C / 8).
    fn grown(&self, features: &Features, picture: &Tensor, tap: &mut Tap) -> Result<Tensor> {
        let x = channels_last(&self.grow1.forward(&channels_first(picture)?)?)?;
        tap("upscale1", &x)?;
        let x = self.norm.forward(&x.broadcast_add(&features.middle)?)?;
        let x = self.grow2.forward(&channels_first(&gelu(&x, false)?)?)?;
        gelu(&channels_last(&x)?.broadcast_add(&features.fine)?, false)
    }
}
