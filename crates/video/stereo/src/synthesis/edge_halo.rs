//! Holes take in the samples beside them in which two surfaces mix.
//!
//! A pixel at the edge of something near has the depth of one surface and a colour between those of both.
//! Counted among the background, it stays behind when the foreground moves away: a dotted rim on the far
//! side of the hole. Such a sample is told by its colour, which lies on the way from the foreground's to
//! the background's, and is made part of the hole; whatever fills that fills it too.

use parallax_frame::Frame;
use rayon::prelude::*;

use crate::Warp;
use crate::synthesis::occlusion_fill::{Side, extent, holes};

/// Samples beyond the one beside a hole whose mean is the background's colour.
const BEYOND: usize = 2;
/// The foreground's sample that is compared, counted from the hole: the first one may be mixed as well.
const WITHIN: usize = 1;
/// The least share of foreground in a sample that is mixed. Beyond the most, it is something else.
const LEAST: f32 = 0.1;
const MOST: f32 = 1.25;
/// Difference of colours, in parts of the range, under which nobody sees a rim.
const VISIBLE: f32 = 0.03;

/// Makes samples of the map that mix the foreground of `frame` with its background part of the holes
/// beside them.
pub(crate) fn trim(warp: &mut Warp, frame: &Frame) {
    let width = warp.near.width();
    let colours = Colours::of(frame);
    warp.near
        .data_mut()
        .par_chunks_mut(width)
        .zip(warp.source.data().par_chunks(width))
        .enumerate()
        .for_each(|(y, (near, source))| {
            for x in mixed(near, |x| colours.at(source[x], y)) {
                near[x] = f32::NEG_INFINITY;
            }
        });
}

/// The columns beside holes that mix what stands on either side.
fn mixed(near: &[f32], colour: impl Fn(usize) -> [f32; 3]) -> Vec<usize> {
    let width = near.len();
    let mut out = Vec::new();
    for (hole, side) in holes(near) {
        // What lies at a border of the picture has nothing before it.
        if hole.start == 0 || hole.end == width {
            continue;
        }
        let (left, right) = (hole.start - 1, hole.end);
        let (left_room, right_room) = (hole.start, width - right);
        // Samples of either surface, counted from the hole.
        let on_left = |k: usize| left - k;
        let on_right = |k: usize| right + k;
        let (back, back_room, front, front_room): (
            &dyn Fn(usize) -> usize,
            _,
            &dyn Fn(usize) -> usize,
            _,
        ) = match side {
            Some(Side::Left) => (&on_left, left_room, &on_right, right_room),
            _ => (&on_right, right_room, &on_left, left_room),
        };
        let room = extent(back_room, 1 + BEYOND, |k| near[back(k)], near[back(0)]);
        let within = extent(front_room, 1 + WITHIN, |k| near[front(k)], near[front(0)]) - 1;
        if room < 2 {
            continue;
        }
        let background = mean((1..room).map(|k| colour(back(k))));
        let share = share(colour(back(0)), colour(front(within)), background);
        if share.is_some_and(|share| (LEAST..MOST).contains(&share)) {
            out.push(back(0));
        }
    }
    out
}

/// How much of `foreground` there is in `colour`; `None` where it hardly differs from `background`.
fn share(colour: [f32; 3], foreground: [f32; 3], background: [f32; 3]) -> Option<f32> {
    let (mut along, mut whole) = (0.0, 0.0);
    for ((c, f), b) in colour.iter().zip(foreground).zip(background) {
        along += (c - b) * (f - b);
        whole += (f - b) * (f - b);
    }
    (whole > VISIBLE * VISIBLE).then(|| along / whole)
}

fn mean(colours: impl Iterator<Item = [f32; 3]>) -> [f32; 3] {
    let (mut sum, mut count) = ([0.0f32; 3], 0.0f32);
    for colour in colours {
        sum.iter_mut().zip(colour).for_each(|(sum, c)| *sum += c);
        count += 1.0;
    }
    sum.map(|sum| sum / count.max(1.0))
}

/// The colours of a frame's samples, as parts of the range of code values.
struct Colours<'a> {
    frame: &'a Frame,
    scale: f32,
}

impl<'a> Colours<'a> {
    fn of(frame: &'a Frame) -> Self {
        let scale = f32::from(frame.format().pixels.max_value()).recip();
        Self { frame, scale }
    }

    /// The colour nearest to column `at` of row `y`; grey has luma alone.
    fn at(&self, at: f32, y: usize) -> [f32; 3] {
        let format = self.frame.format();
        let chroma = format.pixels.chroma();
        let wide = format.pixels.sample_bytes() == 2;
        let x = (at + 0.5) as usize;
        let mut out = [0.0; 3];
        for (index, out) in out.iter_mut().enumerate().take(chroma.planes()) {
            let (sx, sy) = if index == 0 { (0, 0) } else { chroma.shifts() };
            let shape = format.plane(index);
            let plane = self.frame.plane(index);
            let i = (y >> sy) * shape.width + (x >> sx).min(shape.width - 1);
            let value = if wide {
                u16::from_le_bytes([plane[2 * i], plane[2 * i + 1]])
            } else {
                plane[i].into()
            };
            *out = f32::from(value) * self.scale;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parallax_frame::{Chroma, Colour, PixelFormat, VideoFormat};

    use super::*;
    use crate::Plane;

    /// The open columns of the right eye of a row whose columns 8 to 15 are a card of value 200, 4 pixels
    /// before a wall of 100, but for the wall's first sample.
    fn open(first: u16, bits: u8) -> Vec<usize> {
        let format = Arc::new(VideoFormat {
            width: 32,
            height: 1,
            pixels: PixelFormat::new(Chroma::Yuv444, bits).unwrap(),
            colour: Colour::default(),
        });
        let mut frame = Frame::zeroed(format, 0);
        let value = |x: usize| match x {
            8..16 => 200.0,
            16 => f32::from(first),
            _ => 100.0,
        };
        let scale = f32::from(1u16 << (bits - 8));
        let luma: Vec<f32> = (0..32).map(|x| value(x) * scale).collect();
        frame.set_plane_f32(0, &luma);
        let card = |x: usize| (8..16).contains(&x);
        let mut warp = Warp::new(32, 1);
        warp.splat(&Plane::from_fn(32, 1, |x, _| if card(x) { 4.0 } else { 0.0 }));
        trim(&mut warp, &frame);
        (0..32).filter(|&x| warp.near.at(x, 0) == f32::NEG_INFINITY).collect()
    }

    #[test]
    fn a_sample_between_the_colours_of_both_sides_belongs_to_the_hole() {
        for bits in [8, 10] {
            assert_eq!(open(150, bits), [12, 13, 14, 15, 16], "{bits} bits");
            assert_eq!(open(115, bits), [12, 13, 14, 15, 16], "{bits} bits");
        }
    }

    #[test]
    fn a_sample_of_the_background_stays() {
        for first in [100, 95, 104] {
            assert_eq!(open(first, 8), [12, 13, 14, 15], "{first}");
        }
    }

    #[test]
    fn what_is_beyond_either_colour_is_no_mixture() {
        assert_eq!(open(250, 8), [12, 13, 14, 15]);
        assert_eq!(open(20, 8), [12, 13, 14, 15]);
    }

    #[test]
    fn nothing_is_before_what_enters_at_a_border() {
        let near = [[f32::NEG_INFINITY; 4].as_slice(), &[0.0; 12]].concat();
        assert_eq!(mixed(&near, |x| [x as f32; 3]), []);
    }
}
