//! The colours of a result against those of the frames that it continues.
//!
//! What comes back from the autoencoder is a little lighter or darker than what went in; where a result
//! meets the source, that is a seam. A gain and an offset per channel, fitted where both show the same,
//! take it away. One fit serves a whole shot, so that colours do not wander within it.

use candle_core::{Result, Tensor};

/// Gains stay between these; a fit that asks for more has not seen the same picture twice.
const GAINS: (f64, f64) = (0.8, 1.25);
const OFFSETS: (f64, f64) = (-0.1, 0.1);
/// Mask values up to here are not holes.
const SEEN: f32 = 0.02;
/// Fewer pixels than this say nothing.
const FEWEST: f64 = 64.0;

/// A gain and an offset for each channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fit {
    gains: [f32; 3],
    offsets: [f32; 3],
}

impl Fit {
    /// The least-squares fit of `results` (F, 3, h, w) to `warped` (F, 3, H, W) where `mask` (F, 1, H, W)
    /// has no hole, over the size that they share.
    pub(crate) fn of(results: &Tensor, warped: &Tensor, mask: &Tensor) -> Result<Self> {
        let (_, _, height, width) = results.dims4()?;
        let cut = |t: &Tensor| t.narrow(2, 0, height)?.narrow(3, 0, width);
        let seen = cut(mask)?.le(SEEN)?.to_dtype(results.dtype())?;
        let (wanted, mut fit) = (cut(warped)?, Self { gains: [1.0; 3], offsets: [0.0; 3] });
        let sum = |t: &Tensor| t.sum_all()?.to_scalar::<f32>().map(f64::from);
        let count = sum(&seen)?;
        if count < FEWEST {
            return Ok(fit);
        }
        for channel in 0..3 {
            let (x, y) = (results.narrow(1, channel, 1)?, wanted.narrow(1, channel, 1)?);
            let mean = |t: &Tensor| Ok::<_, candle_core::Error>(sum(&(t * &seen)?)? / count);
            let (mean_x, mean_y) = (mean(&x)?, mean(&y)?);
            let (dx, dy) = ((x - mean_x)?, (y - mean_y)?);
            let (variance, covariance) = (mean(&dx.sqr()?)?, mean(&(&dx * &dy)?)?);
            // Without contrast there is only an offset to fit.
            let gain = if variance > 1e-6 { covariance / variance } else { 1.0 };
            let gain = gain.clamp(GAINS.0, GAINS.1);
            fit.gains[channel] = gain as f32;
            fit.offsets[channel] = (mean_y - gain * mean_x).clamp(OFFSETS.0, OFFSETS.1) as f32;
        }
        Ok(fit)
    }

    /// `results` (F, 3, h, w) in the fitted colours, not clipped.
    pub(crate) fn apply(&self, results: &Tensor) -> Result<Tensor> {
        let row = |v: &[f32; 3]| Tensor::new(v, results.device())?.reshape((1, 3, 1, 1));
        results.broadcast_mul(&row(&self.gains)?)?.broadcast_add(&row(&self.offsets)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn a_change_of_colours_is_undone_and_holes_do_not_count() {
        let values: Vec<f32> = (0..2 * 3 * 8 * 10).map(|i| ((i * 37) % 61) as f32 / 80.0).collect();
        let warped = Tensor::from_vec(values, (2, 3, 8, 10), &Device::Cpu).unwrap();
        let hole = Tensor::ones((2, 1, 8, 3), DType::F32, &Device::Cpu).unwrap();
        let seen = Tensor::zeros((2, 1, 8, 7), DType::F32, &Device::Cpu).unwrap();
        let mask = Tensor::cat(&[&seen, &hole], 3).unwrap();
        let shifted = ((&warped * 0.9).unwrap() + 0.05).unwrap();
        let results = (shifted.broadcast_mul(&(1.0 - &mask).unwrap()).unwrap()
            + mask.broadcast_as((2, 3, 8, 10)).unwrap())
        .unwrap();
        let fitted = Fit::of(&results, &warped, &mask).unwrap().apply(&results).unwrap();
        let off = (fitted - &warped).unwrap().abs().unwrap().broadcast_mul(&(1.0 - &mask).unwrap());
        let worst = off.unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        assert!(worst < 1e-3, "{worst}");
        let all = Tensor::ones((2, 1, 8, 10), DType::F32, &Device::Cpu).unwrap();
        let none = Fit::of(&results, &warped, &all).unwrap();
        assert_eq!(none, Fit { gains: [1.0; 3], offsets: [0.0; 3] });
    }

    #[test]
    fn a_result_of_something_else_keeps_its_colours_nearly() {
        let bright = Tensor::ones((1, 3, 9, 9), DType::F32, &Device::Cpu).unwrap();
        let dark = bright.zeros_like().unwrap();
        let mask = Tensor::zeros((1, 1, 9, 9), DType::F32, &Device::Cpu).unwrap();
        let fit = Fit::of(&bright, &dark, &mask).unwrap();
        assert_eq!(fit.offsets, [-0.1; 3]);
    }
}
