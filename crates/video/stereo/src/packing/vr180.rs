//! A flat picture on the front half of a sphere, as an equirectangular eye for headsets.
//!
//! The picture hangs straight ahead and spans 90 degrees along its longer side. A direction with
//! azimuth a and elevation e meets it at x = tan(a), y = tan(e) / cos(a), in halves of that side.
//! What is beside the picture is black.

use std::f32::consts::FRAC_PI_2;

use parallax_frame::Frame;
use rayon::prelude::*;

use crate::matrix::neutral_black;

/// Writes `eye`, whose samples have the shape `aspect`, as the left (`place` 0) or right (1) half of
/// `out`.
pub(crate) fn project(eye: &Frame, aspect: (u32, u32), place: usize, out: &mut Frame) {
    let (format, target) = (eye.format().clone(), out.format().clone());
    let bytes = format.pixels.sample_bytes();
    let max = f32::from(format.pixels.max_value());
    let wide = aspect.0.max(1) as f32 / aspect.1.max(1) as f32;
    // In rows; a column is `wide` of them.
    let half_side = (format.width as f32 * wide).max(format.height as f32) / 2.0;
    let centre = ((format.width as f32 - 1.0) / 2.0, (format.height as f32 - 1.0) / 2.0);
    let (black, grey) = neutral_black(&format);
    for index in 0..format.pixels.chroma().planes() {
        let (sx, sy) = if index == 0 { (0, 0) } else { format.pixels.chroma().shifts() };
        let source = Source {
            samples: eye.plane_f32(index),
            size: (format.plane(index).width, format.plane(index).height),
        };
        let shape = target.plane(index);
        let side = shape.width / 2;
        // Luma samples of one eye; directions are those of luma positions.
        let across = (target.width / 2) as f32;
        let nothing = if index == 0 { black } else { grey };
        // Chroma is sited on even columns and between two rows.
        let down = if sy == 1 { 0.5 } else { 0.0 };
        let columns: Vec<(f32, f32)> = (0..side)
            .map(|x| {
                let luma = (x << sx) as f32;
                let azimuth = ((luma + 0.5) / across * 2.0 - 1.0) * FRAC_PI_2;
                (centre.0 + half_side / wide * azimuth.tan(), azimuth.cos())
            })
            .collect();
        out.plane_mut(index).par_chunks_mut(shape.width * bytes).enumerate().for_each(
            |(y, row)| {
                let luma = (y << sy) as f32 + down;
                let elevation = ((luma + 0.5) / target.height as f32 * 2.0 - 1.0) * FRAC_PI_2;
                let row = &mut row[place * side * bytes..(place + 1) * side * bytes];
                for (sample, &(x, cos)) in row.chunks_exact_mut(bytes).zip(&columns) {
                    let y = centre.1 + half_side * elevation.tan() / cos;
                    let inside = (-0.5..format.width as f32 - 0.5).contains(&x)
                        && (-0.5..format.height as f32 - 0.5).contains(&y);
                    let value = if inside {
                        let at = (x / (1 << sx) as f32, (y - down) / (1 << sy) as f32);
                        source.cubic(at).clamp(0.0, max)
                    } else {
                        nothing
                    };
                    sample.copy_from_slice(&((value + 0.5) as u16).to_le_bytes()[..bytes]);
                }
            },
        );
    }
}

struct Source {
    samples: Vec<f32>,
    size: (usize, usize),
}

impl Source {
    /// Catmull-Rom in both directions, borders repeated.
    fn cubic(&self, (x, y): (f32, f32)) -> f32 {
        let (column, row) = (x.floor(), y.floor());
        let (wx, wy) = (weights(x - column), weights(y - row));
        let clamp = |at: f32, k: usize, size: usize| {
            (at as i64 + k as i64 - 1).clamp(0, size as i64 - 1) as usize
        };
        let mut sum = 0.0;
        for (j, wy) in wy.iter().enumerate() {
            let start = clamp(row, j, self.size.1) * self.size.0;
            for (i, wx) in wx.iter().enumerate() {
                sum += wy * wx * self.samples[start + clamp(column, i, self.size.0)];
            }
        }
        sum
    }
}

fn weights(f: f32) -> [f32; 4] {
    let (f2, f3) = (f * f, f * f * f);
    [
        0.5 * (2.0 * f2 - f - f3),
        0.5 * (3.0 * f3 - 5.0 * f2 + 2.0),
        0.5 * (4.0 * f2 - 3.0 * f3 + f),
        0.5 * (f3 - f2),
    ]
}
