//! The sizes that the networks work at.
//!
//! StereoCrafter `depth_splatting_inference.py`, DepthCrafter `depthcrafter/utils.py`,
//! StereoCrafter `inpainting_inference.py`.

use candle_core::{Result, bail};

/// Sides of working pictures are multiples of this: three halvings after the VAE's eightfold one.
const STEP: f64 = 64.0;

/// Depth is estimated at no more than this on the longer side, as in the reference.
pub(crate) const LONGEST_PX: usize = 1024;

/// Columns and rows, in pixels or latents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Size {
    /// A size of `width` columns and `height` rows.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height }
    }
}

/// The size at which depth is estimated: each side to the nearest multiple of 64, halves to the even
/// one; where a side then exceeds `longest_px`, the source is scaled to it first. Each side rounds by
/// itself, so the aspect changes a little.
///
/// # Errors
/// When a side rounds to nothing (32 pixels and less).
pub fn working_size(source: Size, longest_px: usize) -> Result<Size> {
    let fit =
        |side: usize, scale: f64| ((side as f64 * scale / STEP).round_ties_even() * STEP) as usize;
    let scaled = |scale| Size::new(fit(source.width, scale), fit(source.height, scale));
    let mut size = scaled(1.0);
    if size.width.max(size.height) > longest_px {
        size = scaled(longest_px as f64 / source.width.max(source.height) as f64);
    }
    if size.width == 0 || size.height == 0 {
        bail!("a picture of {}x{} is too small or too narrow", source.width, source.height);
    }
    Ok(size)
}

/// As [`working_size`], where no side is too short: the least is 64.
pub fn nearest_size(source: Size, longest_px: usize) -> Size {
    let scale = (longest_px as f64 / source.width.max(source.height) as f64).min(1.0);
    let fit = |side: usize| {
        let steps = (side as f64 * scale / STEP).round_ties_even().max(1.0);
        (steps * STEP) as usize
    };
    working_size(source, longest_px)
        .unwrap_or_else(|_| Size::new(fit(source.width), fit(source.height)))
}

/// The largest size within `source` whose sides are multiples of `step`; what exceeds it is cut off on
/// the right and below.
///
/// # Errors
/// When a side is shorter than `step`.
pub fn cropped_size(source: Size, step: usize) -> Result<Size> {
    let size = Size::new(source.width / step * step, source.height / step * step);
    if size.width == 0 || size.height == 0 {
        bail!("a picture of {}x{} has a side under {step}", source.width, source.height);
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_sizes_of_the_reference() {
        for (source, want) in [
            ((1920, 1080), (1024, 576)),
            ((1280, 720), (1024, 576)),
            ((1080, 1920), (576, 1024)),
            ((640, 480), (640, 512)),
            ((1056, 480), (1024, 512)),
            ((1000, 1000), (1024, 1024)),
            ((1920, 800), (1024, 448)),
            ((288, 160), (256, 128)),
        ] {
            let got = working_size(Size::new(source.0, source.1), 1024).unwrap();
            assert_eq!((got.width, got.height), want, "{source:?}");
        }
        assert!(working_size(Size::new(640, 32), 1024).is_err());
        assert!(working_size(Size::new(4000, 60), 1024).is_err());
        assert_eq!(nearest_size(Size::new(4000, 60), 1024), Size::new(1024, 64));
        assert_eq!(nearest_size(Size::new(64, 18), 1024), Size::new(64, 64));
        assert_eq!(nearest_size(Size::new(1920, 800), 1024), Size::new(1024, 448));
    }

    #[test]
    fn crops_never_grow() {
        assert_eq!(cropped_size(Size::new(1920, 1080), 128).unwrap(), Size::new(1920, 1024));
        assert_eq!(cropped_size(Size::new(128, 255), 128).unwrap(), Size::new(128, 128));
        assert!(cropped_size(Size::new(127, 512), 128).is_err());
    }
}
