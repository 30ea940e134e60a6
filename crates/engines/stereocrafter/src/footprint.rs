//! What networks take, in memory and while they work.

use candle_core::DType;
use parallax_svd::{unet, vae};

use crate::precision::Precision;

/// Bytes that networks take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Weights that both stages share.
    pub shared: u64,
    /// Weights of the depth denoiser.
    pub depth: u64,
    /// Weights of the inpainting denoiser.
    pub inpainting: u64,
    /// Working memory of a denoising step, per latent and frame.
    pub latent: u64,
    /// Working memory of encoding, per pixel and frame.
    pub encode_pixel: u64,
    /// Working memory of decoding, per pixel and frame.
    pub decode_pixel: u64,
}

/// Elements alive at the peak of a denoising step, per latent, in multiples of the first level's width.
const STEP_WIDTHS: u64 = 36;
/// Likewise per pixel of encoding and decoding, of the VAE's first width.
const ENCODE_WIDTHS: u64 = 6;
const DECODE_WIDTHS: u64 = 12;

impl Footprint {
    /// The footprint of networks of these widths with `[shared, depth, inpainting]` bytes of weights.
    ///
    /// The factors are the peaks that `cargo run -p parallax-stereocrafter --example memory networks`
    /// measured on the CPU (see `docs/performance.md`), rounded up.
    pub fn of(
        weights: [u64; 3],
        unet: &unet::Config,
        vae: &vae::Config,
        precision: Precision,
    ) -> Self {
        let first = |widths: &[usize]| widths.first().copied().unwrap_or(1) as u64;
        let (wide, pixel) = (first(&unet.block_out_channels), first(&vae.block_out_channels));
        let size = |dtype: DType| dtype.size_in_bytes() as u64;
        let [shared, depth, inpainting] = weights;
        Self {
            shared,
            depth,
            inpainting,
            latent: STEP_WIDTHS * wide * size(precision.denoiser),
            encode_pixel: ENCODE_WIDTHS * pixel * size(DType::F32),
            decode_pixel: DECODE_WIDTHS * pixel * size(precision.decoder),
        }
    }
}
