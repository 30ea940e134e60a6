//! What runs take beside the weights.

use candle_core::DType;

use super::precision::Precision;
use crate::{unet, vae};

/// Elements alive at the peak of a denoising step, per latent, in multiples of the first level's width, and
/// likewise per pixel of decoding, of the VAE's: the peaks that `docs/performance.md` has of the diffusion stages,
/// whose networks these are.
const STEP_WIDTHS: u64 = 36;
const DECODE_WIDTHS: u64 = 12;
/// Share of the free memory that may be taken; the rest is fragmentation and other programs.
const SHARE: f64 = 0.9;

/// Bytes that runs take beside the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Working {
    /// Of a denoising step, per latent and frame.
    latent: u64,
    /// Of decoding, per pixel and frame.
    pixel: u64,
    /// Pixels along a side of a latent.
    downsampling: u64,
}

impl Working {
    pub(super) fn of(unet: &unet::Config, vae: &vae::Config, precision: Precision) -> Self {
        let first = |widths: &[usize]| widths.first().copied().unwrap_or(1) as u64;
        let size = |dtype: DType| dtype.size_in_bytes() as u64;
        Self {
            latent: STEP_WIDTHS * first(&unet.block_out_channels) * size(precision.denoiser),
            pixel: DECODE_WIDTHS * first(&vae.block_out_channels) * size(precision.decoder),
            downsampling: vae.downsampling() as u64,
        }
    }

    /// What a step of `frames` frames of `width` by `height` pixels takes.
    pub fn step(&self, (width, height): (usize, usize), frames: usize) -> u64 {
        let side = |pixels: usize| pixels as u64 / self.downsampling;
        self.latent * side(width) * side(height) * frames as u64
    }

    /// How many frames of that size are decoded together in `free` bytes: as many as are `asked` for, or else the
    /// most of 8, 4, 2 and 1, and never more than there is room for. `None` where there is none for one.
    pub fn decode_chunk(
        &self,
        (width, height): (usize, usize),
        asked: Option<usize>,
        free: u64,
    ) -> Option<usize> {
        let frame = self.pixel * width as u64 * height as u64;
        let fit = ((free as f64 * SHARE) as u64 / frame.max(1)) as usize;
        let own = || [8, 4, 2, 1].into_iter().find(|&chunk| chunk <= fit);
        asked.map_or_else(own, |asked| Some(asked.min(fit))).filter(|&chunk| chunk > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_that_people_have_take_what_they_can() {
        let of = |dtype| {
            let precision = Precision { denoiser: dtype, decoder: dtype };
            Working::of(&unet::Config::svd(), &vae::Config::svd(), precision)
        };
        let (half, single) = (of(DType::F16), of(DType::F32));
        let size = (1024, 576);
        assert_eq!(single.step(size, 25), 2 * half.step(size, 25));
        assert_eq!(half.step(size, 25), 36 * 320 * 2 * 128 * 72 * 25);
        let chunk = |free: u64| half.decode_chunk(size, None, free << 30);
        // Beside weights of 5 GiB, of which a card of 24 GB leaves 18.
        assert_eq!([18, 10, 5, 2, 1].map(chunk), [Some(8), Some(4), Some(2), Some(1), None]);
        assert_eq!(half.decode_chunk((576, 1024), None, 18 << 30), Some(8));
        assert_eq!(single.decode_chunk(size, None, 18 << 30), Some(4));
    }

    #[test]
    fn no_more_is_decoded_together_than_there_is_room_for() {
        let precision = Precision { denoiser: DType::F32, decoder: DType::F32 };
        let working = Working::of(&unet::Config::svd(), &vae::Config::svd(), precision);
        let chunk = |asked, gib: u64| working.decode_chunk((1024, 576), Some(asked), gib << 30);
        assert_eq!([chunk(25, 18), chunk(3, 18)], [Some(4), Some(3)]);
        assert_eq!([chunk(25, 200), chunk(25, 1)], [Some(25), None]);
    }
}
