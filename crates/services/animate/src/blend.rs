//! A clip that moves where a mask is white, and stays as the picture where it is black.

/// A mask's luma, from red, green and blue, as Pillow's `L` has it.
pub(crate) fn luma(rgb: &[u8]) -> Vec<u8> {
    let (pixels, _) = rgb.as_chunks::<3>();
    let level = |&[red, green, blue]: &[u8; 3]| {
        let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
        ((sum + 0x8000) >> 16) as u8
    };
    pixels.iter().map(level).collect()
}

/// `frame` where `mask` is 255, `picture` where it is 0, and a mix between, cut off to whole levels. All are of one
/// size, `mask` with a byte for each pixel and the others with three.
pub(crate) fn blend(picture: &[u8], mask: &[u8], frame: &mut [u8]) {
    for (i, level) in frame.iter_mut().enumerate() {
        let part = f64::from(mask[i / 3]) / 255.0;
        let mixed = f64::from(picture[i]) * (1.0 - part) + f64::from(*level) * part;
        *level = mixed as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use crate::lanczos::resize;

    #[test]
    fn a_blend_is_the_forerunners() {
        let (size, picture) = golden::rgb("small");
        let (from, mask) = golden::rgb("mask");
        let mask = luma(&resize(&mask, 3, from, size));
        assert!(mask.iter().any(|level| !(10..245).contains(level)));
        let (_, mut frame) = golden::rgb("frame");
        blend(&picture, &mask, &mut frame);
        assert_eq!(frame, golden::rgb("blended").1);
    }
}
