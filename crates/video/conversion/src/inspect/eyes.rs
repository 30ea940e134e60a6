//! The eyes in a picture, and what is apart between them.

use parallax_frame::Frame;
use parallax_stereo::{Layout, Matches, Plane, Rgb, match_eyes};

/// Samples around each by which two colours are brought to the same contrast.
const AROUND: usize = 8;

/// Matches the eyes of `pictures`; `None` where the layout holds but one.
pub(super) fn measure(pictures: &[Frame], layout: Layout) -> Option<Matches> {
    let mut all = Matches::default();
    for frame in pictures {
        let [left, right] = eyes(frame, layout)?;
        all.extend(match_eyes(&left, &right));
    }
    (!pictures.is_empty()).then_some(all)
}

/// Brightness of the left and the right eye, 0 to 1.
fn eyes(frame: &Frame, layout: Layout) -> Option<[Plane; 2]> {
    let (width, height) = (frame.format().width as usize, frame.format().height as usize);
    let luma = luma(frame);
    let half = |x: usize, y: usize, columns: usize, rows: usize| {
        Plane::from_fn(columns, rows, |i, j| luma.at(x + i, y + j))
    };
    let (columns, rows) = (width / 2, height / 2);
    match layout {
        Layout::FullSbs | Layout::HalfSbs | Layout::Vr180 if columns > 0 => {
            Some([half(0, 0, columns, height), half(width - columns, 0, columns, height)])
        }
        Layout::CrossEyed if columns > 0 => {
            Some([half(width - columns, 0, columns, height), half(0, 0, columns, height)])
        }
        Layout::FullTb | Layout::HalfTb if rows > 0 => {
            Some([half(0, 0, width, rows), half(0, height - rows, width, rows)])
        }
        _ if layout.is_anaglyph() => {
            let rgb = Rgb::of(frame.format()).ok()?;
            let [red, green, blue] = rgb.planes(frame);
            let cyan = Plane::from_fn(width, height, |x, y| 0.5 * (green.at(x, y) + blue.at(x, y)));
            Some([contrast(&red), contrast(&cyan)])
        }
        _ => None,
    }
}

/// `plane` with the same mean and deviation everywhere: what is bright in one colour need not be in
/// another, but it ends in the same places.
fn contrast(plane: &Plane) -> Plane {
    let (width, height) = (plane.width(), plane.height());
    // Sums of everything above and to the left, of values and of squares.
    let mut sums = vec![[0.0f64; 2]; (width + 1) * (height + 1)];
    for y in 0..height {
        let mut row = [0.0f64; 2];
        for (x, &v) in plane.row(y).iter().enumerate() {
            let v = f64::from(v);
            row = [row[0] + v, row[1] + v * v];
            let above = sums[y * (width + 1) + x + 1];
            sums[(y + 1) * (width + 1) + x + 1] = [above[0] + row[0], above[1] + row[1]];
        }
    }
    Plane::from_fn(width, height, |x, y| {
        let (left, right) = (x.saturating_sub(AROUND), (x + AROUND + 1).min(width));
        let (top, bottom) = (y.saturating_sub(AROUND), (y + AROUND + 1).min(height));
        let at = |x: usize, y: usize| sums[y * (width + 1) + x];
        let (a, b, c, d) = (at(right, bottom), at(left, bottom), at(right, top), at(left, top));
        let count = ((right - left) * (bottom - top)) as f64;
        let [mean, square] = [0, 1].map(|k| (a[k] - b[k] - c[k] + d[k]) / count);
        // What hardly varies is not blown up.
        let deviation = (square - mean * mean).max(0.0).sqrt() + 0.02;
        (0.5 + 0.25 * (f64::from(plane.at(x, y)) - mean) / deviation) as f32
    })
}

fn luma(frame: &Frame) -> Plane {
    let format = frame.format();
    let (black, white) = format.colour.luma_limits(format.pixels.bits());
    let (offset, scale) = (f32::from(black), 1.0 / f32::from(white - black));
    let values = frame.plane_f32(0).into_iter().map(|v| (v - offset) * scale).collect();
    Plane::new(format.width as usize, format.height as usize, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_the_same_whatever_the_brightness() {
        let wave = |x: usize, y: usize| ((x * 7 + y * 3) % 11) as f32 / 11.0;
        let bright = contrast(&Plane::from_fn(40, 30, |x, y| 0.5 + 0.4 * wave(x, y)));
        let dark = contrast(&Plane::from_fn(40, 30, |x, y| 0.1 + 0.3 * wave(x, y)));
        for (a, b) in bright.data().iter().zip(dark.data()) {
            assert!((a - b).abs() < 0.05, "{a} and {b}");
        }
        let flat = contrast(&Plane::filled(40, 30, 0.7));
        assert!(flat.data().iter().all(|v| (v - 0.5).abs() < 0.01));
    }
}
