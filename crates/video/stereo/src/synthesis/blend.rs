//! Putting filled holes into a warped view without a seam.

use parallax_frame::Frame;
use rayon::prelude::*;

use crate::{Error, Plane};

/// Takes `filled` where `mask` is 1 and `warped`, sample for sample, where the feathered mask is 0.
///
/// `mask` (0 to 1, at luma size) is first widened by `feather_px` luma pixels with a linear ramp:
/// inside a hole the result is `filled` alone, and `feather_px` away from it `warped` alone.
///
/// # Errors
/// `Unsupported` when the frames differ in format or the mask in size.
pub fn blend(
    warped: &Frame,
    filled: &Frame,
    mask: &Plane,
    feather_px: f32,
) -> Result<Frame, Error> {
    let format = warped.format();
    if format != filled.format() {
        return Err(Error::Unsupported("warped and filled view differ in format".to_owned()));
    }
    let size = (format.width as usize, format.height as usize);
    if (mask.width(), mask.height()) != size {
        return Err(Error::Unsupported(format!(
            "mask of {}x{} for a view of {}x{}",
            mask.width(),
            mask.height(),
            size.0,
            size.1
        )));
    }
    let mask = feather(mask, feather_px);
    let mut out = warped.clone();
    let chroma = format.pixels.chroma();
    for index in 0..chroma.planes() {
        let shape = format.plane(index);
        let (sx, sy) = if index == 0 { (0, 0) } else { chroma.shifts() };
        let mut values = warped.plane_f32(index);
        let other = filled.plane_f32(index);
        for y in 0..shape.height {
            let weights = mask.row(y << sy);
            for x in 0..shape.width {
                let i = y * shape.width + x;
                values[i] += (other[i] - values[i]) * weights[x << sx];
            }
        }
        out.set_plane_f32(index, &values);
    }
    Ok(out)
}

/// Spreads `mask` outwards with a slope of `1 / radius` per pixel along rows, then columns.
fn feather(mask: &Plane, radius: f32) -> Plane {
    let mut out = mask.clone();
    if radius < 1.0 {
        return out;
    }
    let fall = 1.0 / radius;
    let width = mask.width();
    out.data_mut().par_chunks_mut(width).for_each(|row| {
        for x in 1..width {
            row[x] = row[x].max(row[x - 1] - fall);
        }
        for x in (1..width).rev() {
            row[x - 1] = row[x - 1].max(row[x] - fall);
        }
    });
    let data = out.data_mut();
    for i in width..data.len() {
        data[i] = data[i].max(data[i - width] - fall);
    }
    for i in (width..data.len()).rev() {
        data[i - width] = data[i - width].max(data[i] - fall);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_frame::{Colour, PixelFormat, VideoFormat};
    use std::sync::Arc;

    #[test]
    fn holes_are_filled_alone_and_far_samples_are_warped_alone() {
        let format = Arc::new(VideoFormat {
            width: 32,
            height: 16,
            pixels: PixelFormat::YUV420P,
            colour: Colour::default(),
        });
        let (mut warped, mut filled) = (Frame::zeroed(format.clone(), 5), Frame::zeroed(format, 5));
        warped.data_mut().fill(50);
        filled.data_mut().fill(150);
        let mask = Plane::from_fn(32, 16, |x, _| if (14..18).contains(&x) { 1.0 } else { 0.0 });
        let out = blend(&warped, &filled, &mask, 4.0).unwrap();
        let row = &out.plane(0)[..32];
        assert!(row[..11].iter().chain(&row[21..]).all(|&v| v == 50), "{row:?}");
        assert!(row[14..18].iter().all(|&v| v == 150), "{row:?}");
        assert_eq!(row[12], 100);
        assert_eq!(blend(&warped, &filled, &Plane::filled(32, 16, 0.0), 4.0).unwrap(), warped);
        assert!(blend(&warped, &filled, &Plane::filled(3, 3, 0.0), 4.0).is_err());
    }
}
