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
