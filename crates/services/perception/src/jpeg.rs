//! Frames as JPEG files.

use jpeg_encoder::{ColorType, Encoder};
use parallax_serving::Failure;
use parallax_stereo::Plane;

/// As clients of the earlier service know the frames.
const QUALITY: u8 = 85;

/// A JPEG of red, green and blue, 0 to 1; where it is wider than `most_width` pixels, as large as that: each pixel
/// is the mean of those that it covers.
///
/// # Errors
/// `Internal` where a side is longer than the format allows.
pub(crate) fn jpeg(rgb: &[Plane; 3], most_width: Option<usize>) -> Result<Vec<u8>, Failure> {
    let (width, height) = (rgb[0].width(), rgb[0].height());
    let to = most_width.unwrap_or(width).clamp(1, width.max(1));
    let size = (to, (height * to / width.max(1)).max(1));
    let pixels = pixels(rgb, size);
    let told = |error: &dyn std::fmt::Display| Failure::internal(format!("JPEG: {error}"));
    let side = |side: usize| u16::try_from(side).map_err(|error| told(&error));
    let mut bytes = Vec::new();
    let encoder = Encoder::new(&mut bytes, QUALITY);
    let encoded = encoder.encode(&pixels, side(size.0)?, side(size.1)?, ColorType::Rgb);
    encoded.map_err(|error| told(&error))?;
    Ok(bytes)
}

/// Bytes, colours beside each other, of a picture of (width, height) that is no larger than `rgb`.
fn pixels(rgb: &[Plane; 3], (to_width, to_height): (usize, usize)) -> Vec<u8> {
    let (width, height) = (rgb[0].width(), rgb[0].height());
    let mut pixels = Vec::with_capacity(3 * to_width * to_height);
    for y in 0..to_height {
        let rows = covered(y, height, to_height);
        for x in 0..to_width {
            let columns = covered(x, width, to_width);
            let count = (rows.len() * columns.len()) as f32;
            for plane in rgb {
                let row = |y| plane.row(y)[columns.clone()].iter().sum::<f32>();
                let mean = rows.clone().map(row).sum::<f32>() / count;
                pixels.push((mean.clamp(0.0, 1.0) * 255.0).round() as u8);
            }
        }
    }
    pixels
}

/// The samples that pixel `at` of `to` covers of `of`, at least one.
fn covered(at: usize, of: usize, to: usize) -> std::ops::Range<usize> {
    let from = at * of / to;
    from..((at + 1) * of / to).max(from + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_the_mean_of_what_it_covers() {
        let ramp = Plane::from_fn(4, 2, |x, y| if y == 0 { x as f32 / 4.0 } else { 0.5 });
        let planes = [ramp, Plane::filled(4, 2, 2.0), Plane::filled(4, 2, -1.0)];
        // (0 + 0.25 + 0.5 + 0.5) / 4 and (0.5 + 0.75 + 0.5 + 0.5) / 4 of 255; the others are clipped.
        assert_eq!(pixels(&planes, (2, 1)), [80, 255, 0, 143, 255, 0]);
        assert_eq!(covered(2, 7, 3), 4..7);
    }

    #[test]
    fn a_picture_is_made_smaller_and_never_larger() {
        let planes = [0.2, 0.4, 0.6].map(|value| Plane::filled(64, 48, value));
        let size = |bytes: &[u8]| {
            // The frame header: marker, length, precision, height, width.
            let at = bytes.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
            let number = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            (number(at + 7), number(at + 5))
        };
        assert_eq!(size(&jpeg(&planes, None).unwrap()), (64, 48));
        assert_eq!(size(&jpeg(&planes, Some(32)).unwrap()), (32, 24));
        assert_eq!(size(&jpeg(&planes, Some(320)).unwrap()), (64, 48));
    }
}
