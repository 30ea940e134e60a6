//! Masks as files.

use parallax_sam2::{Mask, at_size};
use parallax_serving::Failure;

/// A mask of a picture of that size as PNG: one channel of eight bits, 255 where the object is, 0 elsewhere.
///
/// # Errors
/// `Internal` when the picture cannot be written.
pub(crate) fn png(mask: &Mask, size: (usize, usize)) -> Result<Vec<u8>, Failure> {
    png_of(&at_size(mask, size), size)
}

/// As [`png`], of the samples themselves.
///
/// # Errors
/// As [`png`].
pub(crate) fn png_of(samples: &[u8], (width, height): (usize, usize)) -> Result<Vec<u8>, Failure> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(samples)?;
        writer.finish()
    });
    written.map_err(|error| Failure::internal(format!("write a mask: {error}")))?;
    Ok(file)
}
