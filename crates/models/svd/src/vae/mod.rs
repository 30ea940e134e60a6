//! The temporal VAE: images to latents one by one, latents to images with a decoder that looks along
//! the clip.
//!
//! diffusers `models/autoencoders/autoencoder_kl_temporal_decoder.py`, `AutoencoderKLTemporalDecoder`.
//! Encoding does not depend on how many images share a call; decoding does, because the temporal
//! convolutions see zeros past the first and last frame of the call.

mod attention;
mod config;
mod decoder;
mod encoder;
mod epsilon;

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;

pub use self::config::Config;
use self::decoder::Decoder;
use self::encoder::Encoder;
use crate::resnet::POINT;
use parallax_nn::ops::Conv2d;
use parallax_nn::{Tap, ignore};

/// Encoder and decoder.
#[derive(Debug, Clone)]
pub struct TemporalVae {
    encoder: Encoder,
    quant_conv: Conv2d,
    decoder: Decoder,
    decoding: DType,
    latent_channels: usize,
}

impl TemporalVae {
    /// Names as in `vae/diffusion_pytorch_model.safetensors`.
    pub fn new(cfg: &Config, vb: VarBuilder) -> Result<Self> {
        let decoding = vb.dtype();
        Self::decoding_in(decoding, cfg, vb)
    }

    /// [`TemporalVae::new`] with the decoder's weights as `decoding`: the reference encodes in f32
    /// (`force_upcast`) and decodes in half precision.
    pub fn decoding_in(decoding: DType, cfg: &Config, vb: VarBuilder) -> Result<Self> {
        let moments = 2 * cfg.latent_channels;
        Ok(Self {
            encoder: Encoder::new(cfg, vb.pp("encoder"))?,
            quant_conv: Conv2d::new(moments, moments, 1, POINT, vb.pp("quant_conv"))?,
            decoder: Decoder::new(cfg, vb.pp("decoder").to_dtype(decoding))?,
            decoding,
            latent_channels: cfg.latent_channels,
        })
    }

    /// Images (N, 3, H, W) in [-1, 1] to the mode of their latent distribution, (N, 4, H / 8, W / 8) at
    /// full size, not multiplied by `scaling_factor`.
    pub fn encode(&self, images: &Tensor) -> Result<Tensor> {
        self.encode_tapped(images, &mut ignore)
    }

    /// [`TemporalVae::encode`], showing every block's output to `tap`.
    pub fn encode_tapped(&self, images: &Tensor, tap: &mut Tap) -> Result<Tensor> {
        let moments = self.quant_conv.forward(&self.encoder.forward(images, tap)?)?;
        // Mean and log-variance; the mode is the mean.
        moments.narrow(1, 0, self.latent_channels)?.contiguous()
    }

    /// Latents (B F, 4, h, w), divided by `scaling_factor`, to images (B F, 3, 8 h, 8 w) around [-1, 1],
    /// in clips of `frames` F. Computes in the type of the decoder's weights and answers in that of
    /// `latents`.
    pub fn decode(&self, latents: &Tensor, frames: usize) -> Result<Tensor> {
        self.decode_tapped(latents, frames, &mut ignore)
    }

    /// [`TemporalVae::decode`], showing every block's output to `tap`.
    pub fn decode_tapped(&self, latents: &Tensor, frames: usize, tap: &mut Tap) -> Result<Tensor> {
        let images = latents.dim(0)?;
        if frames == 0 || images % frames != 0 {
            candle_core::bail!("{images} latents do not divide into clips of {frames} frames");
        }
        let images = self.decoder.forward(&latents.to_dtype(self.decoding)?, frames, tap)?;
        images.to_dtype(latents.dtype())
    }
}
