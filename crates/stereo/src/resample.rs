//! Gathering the planes of a frame through a finished map.
//!
//! Luma is interpolated with a Catmull-Rom cubic, because a linear half-pixel shift would leave one
//! eye visibly softer than the other. Chroma follows the luma map at its own resolution: its
//! samples sit on even luma columns (the siting of every common codec), so they take the map there
//! and average the luma rows they span, which is what subsampling a 4:4:4 warp would give.

use parallax_frame::Frame;
use rayon::prelude::*;

use crate::{Plane, Warp};

impl Warp {
    /// The right eye of `frame`, which keeps its time and format. Samples whose map entry is the
    /// identity come out bit-exact.
    ///
    /// # Panics
    /// When the frame's luma has another size than the warp.
    pub fn frame(&self, frame: &Frame) -> Frame {
        let format = frame.format();
        let (width, height) = (format.width as usize, format.height as usize);
        assert_eq!((self.source.width(), self.source.height()), (width, height), "frame size");
        let wide = format.pixels.sample_bytes() == 2;
        let max = f32::from(format.pixels.max_value());
        let mut out = Frame::zeroed(format.clone(), frame.pts);
        for index in 0..format.pixels.chroma().planes() {
            let shape = format.plane(index);
            let shifts = if index == 0 { (0, 0) } else { format.pixels.chroma().shifts() };
            let row_bytes = shape.width * format.pixels.sample_bytes();
            out.plane_mut(index)
                .par_chunks_mut(row_bytes)
                .zip(frame.plane(index).par_chunks(row_bytes))
                .enumerate()
                .for_each_init(Default::default, |scratch, (y, (out, source))| {
                    let (samples, values): &mut (Vec<f32>, Vec<f32>) = scratch;
                    load(source, wide, samples);
                    values.clear();
                    let top = self.source.row(y << shifts.1);
                    if shifts == (0, 0) {
                        values.extend(top.iter().map(|&s| cubic(samples, s)));
                        store(out, wide, max, values);
                        return;
                    }
                    let scale = 1.0 / (1 << shifts.0) as f32;
                    let below = ((y << shifts.1) + (1 << shifts.1) - 1).min(height - 1);
                    let bottom = self.source.row(below);
                    let step = 1 << shifts.0;
                    let pairs = top.iter().step_by(step).zip(bottom.iter().step_by(step));
                    values.extend(pairs.map(|(&a, &b)| {
                        0.5 * (linear(samples, a * scale) + linear(samples, b * scale))
                    }));
                    store(out, wide, max, values);
                });
        }
        out
    }
}

/// A row as f32 with one sample repeated before and two after, so that taps need no limits.
fn load(row: &[u8], wide: bool, samples: &mut Vec<f32>) {
    samples.clear();
    samples.push(0.0);
    if wide {
        samples.extend(row.chunks_exact(2).map(|b| f32::from(u16::from_le_bytes([b[0], b[1]]))));
    } else {
        samples.extend(row.iter().map(|&v| f32::from(v)));
    }
    samples[0] = samples[1];
    let last = samples[samples.len() - 1];
    samples.extend([last, last]);
}

fn store(row: &mut [u8], wide: bool, max: f32, values: &[f32]) {
    // Through i32, which vectorises; the clamp has made it fit.
    if wide {
        for (out, v) in row.chunks_exact_mut(2).zip(values) {
            out.copy_from_slice(&((v.clamp(0.0, max) + 0.5) as i32 as u16).to_le_bytes());
        }
    } else {
        for (out, v) in row.iter_mut().zip(values) {
            *out = (v.clamp(0.0, max) + 0.5) as i32 as u8;
        }
    }
}

/// Catmull-Rom through the samples around column `at`; exact at integers.
#[inline]
fn cubic(samples: &[f32], at: f32) -> f32 {
    // Columns fit i32, which converts faster than usize.
    let i = at as i32;
    let f = at - i as f32;
    let p = &samples[i as usize..i as usize + 4];
    let slope = p[2] - p[0];
    let square = 2.0 * p[0] - 5.0 * p[1] + 4.0 * p[2] - p[3];
    let cube = 3.0 * (p[1] - p[2]) + p[3] - p[0];
    p[1] + 0.5 * f * (slope + f * (square + f * cube))
}

#[inline]
fn linear(samples: &[f32], at: f32) -> f32 {
    let i = at as i32;
    let p = &samples[i as usize + 1..i as usize + 3];
    p[0] + (p[1] - p[0]) * (at - i as f32)
}

/// `plane` at another size, bilinearly between sample centres, borders repeated.
pub(crate) fn resize(plane: &Plane, width: usize, height: usize) -> Plane {
    let taps = |size: usize, out: usize, i: usize| {
        let at = ((i as f32 + 0.5) * size as f32 / out as f32 - 0.5).clamp(0.0, (size - 1) as f32);
        let low = at as usize;
        (low, (low + 1).min(size - 1), at - low as f32)
    };
    let columns: Vec<_> = (0..width).map(|x| taps(plane.width(), width, x)).collect();
    let mut out = Plane::filled(width, height, 0.0);
    out.data_mut().par_chunks_mut(width).enumerate().for_each_init(
        || vec![0.0f32; plane.width()],
        |mixed, (y, row)| {
            let (top, bottom, f) = taps(plane.height(), height, y);
            for ((m, &a), &b) in mixed.iter_mut().zip(plane.row(top)).zip(plane.row(bottom)) {
                *m = a + (b - a) * f;
            }
            for (out, &(low, high, f)) in row.iter_mut().zip(&columns) {
                *out = mixed[low] + (mixed[high] - mixed[low]) * f;
            }
        },
    );
    out
}
