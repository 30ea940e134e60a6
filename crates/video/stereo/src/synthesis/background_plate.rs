//! What lies behind the foreground of a shot, remembered from frames in which it was seen.
//!
//! While the camera stands still, a place that foreground covers now may have been open before or may be
//! open soon. The memory keeps, for every pixel of the source, the farthest thing seen there; drawn for
//! the other eye it fills holes with what truly is behind them. It begins anew when the picture as a whole
//! no longer is what it was: a moving camera fills nothing, and other fills stand in.

use parallax_frame::Frame;
use rayon::prelude::*;

use crate::Plane;

/// Pixels around something nearer that are mixed with it, to the sides and up and down.
const FRINGE: (usize, usize) = (2, 1);
/// Change of luma, in parts of its range, beyond noise; and the share of pixels that may change more
/// before it is the camera that has moved, or the light.
const NOISE: f32 = 0.02;
const MOVING: f32 = 0.25;
/// The share of pixels that must show the same thing as in the first frame for that to be told.
const COMPARED: f32 = 0.2;
/// Every so many-th pixel is compared.
const SAMPLING: usize = 7;

/// The memory of one shot.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The farthest seen, at the last time that it was.
    pub(crate) frame: Frame,
    /// Its depth, 0 to 1.
    pub(crate) depth: Plane,
    /// The frame that it began with, and its depth.
    first: (Frame, Plane),
}

impl Memory {
    /// A memory of one frame; `depth` is at luma size, `step` the least difference of depth between two
    /// things.
    pub(crate) fn new(frame: &Frame, depth: &Plane, step: f32) -> Self {
        let first = (frame.clone(), depth.clone());
        Self { frame: frame.clone(), depth: beside_nearer(depth, step), first }
    }

    /// Whether the camera has stood still from `frame` on: frames may be seen ahead of their drawing.
    pub(crate) fn serves(&self, frame: &Frame) -> bool {
        self.first.0.pts <= frame.pts
    }

    /// Takes another frame of the shot.
    pub(crate) fn see(&mut self, frame: &Frame, depth: &Plane, step: f32) {
        if self.has_moved(frame, depth, step) {
            *self = Self::new(frame, depth, step);
            return;
        }
        let depth = beside_nearer(depth, step);
        let format = frame.format().clone();
        let width = depth.width();
        // What is covered stays; everything else is seen again, or for the first time.
        let mut seen = vec![false; depth.data().len()];
        seen.par_chunks_mut(width)
            .zip(self.depth.data_mut().par_chunks_mut(width))
            .zip(depth.data().par_chunks(width))
            .for_each(|((seen, known), depth)| {
                for ((seen, known), &depth) in seen.iter_mut().zip(known).zip(depth) {
                    *seen = depth <= *known + step;
                    if *seen {
                        *known = depth;
                    }
                }
            });
        let bytes = format.pixels.sample_bytes();
        for index in 0..format.pixels.chroma().planes() {
            let row = format.plane(index).width * bytes;
            let (sx, sy) = if index == 0 { (0, 0) } else { format.pixels.chroma().shifts() };
            let rows = self.frame.plane_mut(index).par_chunks_mut(row);
            rows.zip(frame.plane(index).par_chunks(row)).enumerate().for_each(|(y, (out, new))| {
                let seen = &seen[(y << sy) * width..];
                let samples = out.chunks_exact_mut(bytes).zip(new.chunks_exact(bytes));
                for (x, (out, new)) in samples.enumerate() {
                    if seen[x << sx] {
                        out.copy_from_slice(new);
                    }
                }
            });
        }
    }

    /// Whether what this frame and the first one both show differs.
    fn has_moved(&self, frame: &Frame, depth: &Plane, step: f32) -> bool {
        let (first, first_depth) = &self.first;
        let format = frame.format();
        let (black, white) = format.colour.luma_limits(format.pixels.bits());
        let luma = |frame: &Frame, i: usize| {
            let plane = frame.plane(0);
            if format.pixels.sample_bytes() == 2 {
                i32::from(u16::from_le_bytes([plane[2 * i], plane[2 * i + 1]]))
            } else {
                i32::from(plane[i])
            }
        };
        let noise = (NOISE * f32::from(white - black)) as u32;
        let (mut changed, mut compared, mut all) = (0u32, 0u32, 0u32);
        for i in (0..depth.data().len()).step_by(SAMPLING) {
            all += 1;
            if (depth.data()[i] - first_depth.data()[i]).abs() <= step {
                compared += 1;
                changed += u32::from(luma(frame, i).abs_diff(luma(first, i)) > noise);
            }
        }
        changed as f32 > MOVING * compared as f32 || (compared as f32) < COMPARED * all as f32
    }
}

/// `depth` with the pixels around nearer things counted among those.
fn beside_nearer(depth: &Plane, step: f32) -> Plane {
    let (width, height) = (depth.width(), depth.height());
    let reach = |i: usize, by: usize, size: usize| i.saturating_sub(by)..(i + by + 1).min(size);
    let nearest = |values: &[f32]| values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut across = Plane::filled(width, height, 0.0);
    across.data_mut().par_chunks_mut(width).enumerate().for_each(|(y, out)| {
        for (x, out) in out.iter_mut().enumerate() {
            *out = nearest(&depth.row(y)[reach(x, FRINGE.0, width)]);
        }
    });
    let mut out = depth.clone();
    out.data_mut().par_chunks_mut(width).enumerate().for_each(|(y, out)| {
        for (x, out) in out.iter_mut().enumerate() {
            let rows = reach(y, FRINGE.1, height);
            let near = rows.map(|y| across.at(x, y)).fold(f32::NEG_INFINITY, f32::max);
            // A slope is no edge.
            if near - *out > 2.0 * step {
                *out = near;
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parallax_frame::{Chroma, Colour, PixelFormat, VideoFormat};

    use super::*;

    /// A wall of columns, moved by `pan`, and a card of value 200 before it at `card`.
    fn scene(pan: usize, card: usize) -> (Frame, Plane) {
        let format = Arc::new(VideoFormat {
            width: 64,
            height: 8,
            pixels: PixelFormat::new(Chroma::Yuv420, 8).unwrap(),
            colour: Colour::default(),
        });
        let mut frame = Frame::zeroed(format, 0);
        let inside = |x: usize| (card..card + 12).contains(&x);
        let wall = |x: usize| (40 + (x + pan) * 29 % 100) as f32;
        let luma: Vec<f32> =
            (0..512).map(|i| if inside(i % 64) { 200.0 } else { wall(i % 64) }).collect();
        frame.set_plane_f32(0, &luma);
        (frame, Plane::from_fn(64, 8, |x, _| if inside(x) { 0.8 } else { 0.2 }))
    }

    #[test]
    fn what_was_open_once_is_remembered_behind_what_covers_it() {
        let (first, depth) = scene(0, 10);
        let mut memory = Memory::new(&first, &depth, 0.1);
        for card in [14, 20, 26, 30] {
            let (frame, depth) = scene(0, card);
            memory.see(&frame, &depth, 0.1);
        }
        let (wall, _) = scene(0, 64);
        // All of the wall was seen: before the card came, or after it left.
        let remembered = memory.frame.plane(0);
        for x in 0..64 {
            assert_eq!(remembered[64 + x], wall.plane(0)[64 + x], "column {x}");
            assert_eq!(memory.depth.at(x, 1), 0.2, "column {x}");
        }
    }

    #[test]
    fn what_was_never_open_is_the_foreground() {
        let (first, depth) = scene(0, 10);
        let mut memory = Memory::new(&first, &depth, 0.1);
        let (next, depth) = scene(0, 12);
        memory.see(&next, &depth, 0.1);
        // Columns 12 to 21 were covered in both; two more at either end may be mixed.
        assert!((10..22).all(|x| memory.depth.at(x, 3) == 0.8));
        assert_eq!(memory.depth.at(9, 3), 0.2);
    }

    #[test]
    fn a_moving_camera_begins_anew() {
        let (first, depth) = scene(0, 10);
        let mut memory = Memory::new(&first, &depth, 0.1);
        let (panned, depth) = scene(3, 30);
        memory.see(&panned, &depth, 0.1);
        assert_eq!(memory.frame, panned);
        assert!((28..44).all(|x| memory.depth.at(x, 3) == 0.8));
    }

    #[test]
    fn sensor_noise_is_no_movement() {
        let (first, depth) = scene(0, 10);
        let mut memory = Memory::new(&first, &depth, 0.1);
        let (mut noisy, depth) = scene(0, 30);
        for (i, v) in noisy.plane_mut(0).iter_mut().enumerate() {
            *v = v.wrapping_add((i * 7 % 5) as u8).wrapping_sub(2);
        }
        memory.see(&noisy, &depth, 0.1);
        assert_eq!(memory.depth.at(36, 3), 0.2, "the wall behind the card is remembered");
    }
}
