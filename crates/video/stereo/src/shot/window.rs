//! The floating window: black bars that bring the frame's edge in front of what it cuts.
//!
//! What stands in front of the screen and leaves the frame at its left is seen farther by the left eye
//! than by the right one, as if the frame were in front of it; the contradiction is felt as a flutter at
//! the edge. A bar over what one eye sees alone, as wide as the nearest thing's parallax, moves that edge
//! of the window forward to it: at the left side of the left eye, at the right side of the right one.

use parallax_frame::Frame;

use super::placing::Placing;
use crate::matrix::neutral_black;
use crate::{Eyes, Plane, StereoPair};

/// The share of rows that may cross farther than the bar covers.
const ROWS: f32 = 0.01;
/// Seconds for bars to open and to close, by the largest part of the way.
const OPEN_SECONDS: f32 = 0.15;
const CLOSE_SECONDS: f32 = 1.0;

/// Widths of the black bars, in pixels of an eye.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bars {
    /// At the left side of the left eye.
    pub left_px: f32,
    /// At the right side of the right eye.
    pub right_px: f32,
}

impl Bars {
    pub(super) fn widest(self, other: Self) -> Self {
        Self {
            left_px: self.left_px.max(other.left_px),
            right_px: self.right_px.max(other.right_px),
        }
    }

    /// One frame on the way to `target`.
    pub(super) fn towards(self, target: Self, seconds: f32) -> Self {
        let ease = |from: f32, to: f32| {
            let over = if to > from { OPEN_SECONDS } else { CLOSE_SECONDS };
            let next = from + (to - from) * (1.0 - (-seconds / over).exp());
            // The rest of the way is not seen.
            if (next - to).abs() < 0.05 { to } else { next }
        };
        Self {
            left_px: ease(self.left_px, target.left_px),
            right_px: ease(self.right_px, target.right_px),
        }
    }

    /// Draws them over `pair`. A column that a bar covers in part is darkened in part.
    pub fn draw(self, pair: &mut StereoPair) {
        if self.left_px > 0.0 {
            darken(&mut pair.left, |x| self.left_px - x);
        }
        if self.right_px > 0.0 {
            let width = pair.right.format().width as f32;
            darken(&mut pair.right, |x| self.right_px - (width - 1.0 - x));
        }
    }
}

/// Mixes black into every column by `cover` (clamped to 0 to 1) of its luma column.
fn darken(frame: &mut Frame, cover: impl Fn(f32) -> f32) {
    let format = frame.format().clone();
    let bytes = format.pixels.sample_bytes();
    let (black, grey) = neutral_black(&format);
    for index in 0..format.pixels.chroma().planes() {
        let width = format.plane(index).width;
        let (shift, dark) =
            if index == 0 { (0, black) } else { (format.pixels.chroma().shifts().0, grey) };
        // The middle of the luma columns that a sample spans.
        let middle = |x: usize| (x << shift) as f32 + ((1 << shift) - 1) as f32 / 2.0;
        let covers: Vec<(usize, f32)> = (0..width)
            .map(|x| (x, cover(middle(x)).clamp(0.0, 1.0)))
            .filter(|&(_, cover)| cover > 0.0)
            .collect();
        for row in frame.plane_mut(index).chunks_exact_mut(width * bytes) {
            for &(x, cover) in &covers {
                let sample = &mut row[x * bytes..(x + 1) * bytes];
                let value = match *sample {
                    [low, high] => f32::from(u16::from_le_bytes([low, high])),
                    [value, ..] => f32::from(value),
                    [] => continue,
                };
                let value = (value + (dark - value) * cover + 0.5) as u16;
                sample.copy_from_slice(&value.to_le_bytes()[..bytes]);
            }
        }
    }
}

/// What it takes to see what crosses the frame's edges.
pub(super) struct Edges {
    /// Width of an eye in pixels.
    pub(super) width: f32,
    pub(super) eyes: Eyes,
    pub(super) placing: Placing,
}

impl Edges {
    /// The bars that a picture of this depth calls for.
    pub(super) fn bars(&self, depth: &Plane) -> Bars {
        // The share of the parallax by which the left edge is left in the right eye; the rest is
        // that by which the right edge is left in the left eye.
        let share = match self.eyes {
            Eyes::Right => 1.0,
            Eyes::Both => 0.5,
            Eyes::Left => 0.0,
        };
        let scale = self.width / depth.width() as f32;
        let farthest = self.placing.disparity(1.0, self.width).max(0.0);
        let reach = (farthest / scale) as usize + 1;
        let reach = reach.min(depth.width());
        let crossing = |values: &mut dyn Iterator<Item = &f32>, share: f32| {
            let ahead = values.take(reach).enumerate().map(|(x, &d)| {
                let px = self.placing.disparity(d, self.width);
                if px * share >= x as f32 * scale { px } else { 0.0 }
            });
            ahead.fold(0.0, f32::max)
        };
        let rows = 0..depth.height();
        let left = rows.clone().map(|y| crossing(&mut depth.row(y).iter(), share));
        let right = rows.map(|y| crossing(&mut depth.row(y).iter().rev(), 1.0 - share));
        Bars { left_px: high(left), right_px: high(right) }
    }
}

/// The largest value but for a few.
fn high(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    let skip = (values.len() as f32 * ROWS) as usize;
    values.get(values.len().saturating_sub(1 + skip)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parallax_frame::{Chroma, Colour, PixelFormat, VideoFormat};

    use super::*;
    use crate::Geometry;

    fn edges(eyes: Eyes) -> Edges {
        let geometry = Geometry { disparity_percent: 10.0, convergence: 0.5 };
        Edges { width: 100.0, eyes, placing: Placing { geometry, comfort: None } }
    }

    /// A wall at the screen and a card of depth 0.9 (four pixels in front) over some columns.
    fn card(columns: std::ops::Range<usize>) -> Plane {
        Plane::from_fn(100, 200, |x, y| if y >= 50 && columns.contains(&x) { 0.9 } else { 0.5 })
    }

    #[test]
    fn bars_are_as_wide_as_the_parallax_of_what_crosses() {
        let both = |l: f32, r: f32, bars: Bars| {
            assert!(
                (bars.left_px - l).abs() < 1e-3 && (bars.right_px - r).abs() < 1e-3,
                "{bars:?}"
            );
        };
        both(4.0, 0.0, edges(Eyes::Right).bars(&card(0..20)));
        both(0.0, 4.0, edges(Eyes::Right).bars(&card(80..100)));
        // It leaves the right eye's frame, though not the left one's.
        both(4.0, 0.0, edges(Eyes::Right).bars(&card(3..20)));
        both(0.0, 0.0, edges(Eyes::Right).bars(&card(5..95)));
        both(0.0, 4.0, edges(Eyes::Left).bars(&card(5..97)));
        both(4.0, 0.0, edges(Eyes::Both).bars(&card(2..97)));
        // Behind the screen the frame's edge is in front of everything anyway.
        both(0.0, 0.0, edges(Eyes::Right).bars(&Plane::filled(100, 200, 0.1)));
        // One row in two hundred is not worth a bar.
        let speck = Plane::from_fn(100, 200, |x, y| if x == 0 && y == 7 { 1.0 } else { 0.5 });
        both(0.0, 0.0, edges(Eyes::Right).bars(&speck));
    }

    #[test]
    fn depth_of_any_size_gives_the_same_bars() {
        let coarse = Plane::from_fn(10, 20, |x, _| if x < 2 { 0.9 } else { 0.5 });
        let bars = edges(Eyes::Right).bars(&coarse);
        assert!((bars.left_px - 4.0).abs() < 1e-3 && bars.right_px == 0.0, "{bars:?}");
    }

    #[test]
    fn bars_are_black_in_the_eye_that_sees_more() {
        for (chroma, bits) in [(Chroma::Yuv420, 8), (Chroma::Yuv444, 10)] {
            let format = Arc::new(VideoFormat {
                width: 12,
                height: 2,
                pixels: PixelFormat::new(chroma, bits).unwrap(),
                colour: Colour::default(),
            });
            let mut frame = Frame::zeroed(format, 0);
            let top = f32::from(4u16 << (bits - 4));
            for plane in 0..3 {
                let count = frame.plane_f32(plane).len();
                frame.set_plane_f32(plane, &vec![top; count]);
            }
            let mut pair = StereoPair { left: frame.clone(), right: frame.clone() };
            Bars { left_px: 2.0, right_px: 3.5 }.draw(&mut pair);
            let (black, dim) = (top / 4.0, top / 8.0 * 5.0);
            let left = pair.left.plane_f32(0);
            assert_eq!(left[..4], [black, black, top, top]);
            assert!(left[2..12].iter().all(|&v| v == top));
            let right = pair.right.plane_f32(0);
            assert_eq!(right[7..12], [top, dim, black, black, black]);
            assert_eq!(pair.left.plane_f32(1)[0], top * 2.0, "grey");
            assert_eq!(pair.right.plane_f32(1)[0], top);
        }
    }
}
