//! Depth at the frame's size, with its edges where the picture has them.
//!
//! A network's plane is small, and soft where one surface hides another. Made larger as it is, the pixels
//! between would lie at depths where nothing is: they stretch in the other eye, and edges that are no
//! steps cannot be matted. Beside each steep edge every pixel is therefore given to the nearer or the
//! farther surface, by the samples around it that have its colour (Kopf, Cohen, Lischinski, Uyttendaele:
//! "Joint bilateral upsampling", 2007), and takes that surface's depth.

use std::ops::Range;

use parallax_frame::Frame;
use rayon::prelude::*;

use super::options::ChainSteps;
use crate::Plane;
use crate::samples::Samples;
use crate::synthesis::resize;

/// Samples around an edge that show both surfaces.
const AROUND: usize = 3;
/// Share of the contrast by which samples deviate from a slope at an edge. A step deviates by a quarter.
const BENT: f32 = 0.12;
/// Samples around those at an edge that are looked at again.
const BAND: usize = 1;
/// Depth between the surfaces, in parts of the range, below which an edge is none.
const CONTRAST: f32 = 0.04;
/// The same in deviations of what noise there is.
const NOISE: f32 = 7.0;
/// Share of the contrast that is taken within one sample at an edge. A slope takes a sixth.
const STEEP: f32 = 0.25;
/// Samples around a pixel that are asked.
const ASKED: usize = 2;
/// Distance, in samples, and difference of colour, of luma from 0 to 1, at which they count half.
const NEARBY: f32 = 1.5;
const ALIKE: f32 = 0.05;
/// Frame width, in pixels, per pixel by which foreground spreads sideways.
const RIM: usize = 640;

/// `depth` at the size of `frame`.
pub(super) fn full_size(depth: &Plane, frame: &Frame, steps: ChainSteps) -> Plane {
    let format = frame.format();
    let (width, height) = (format.width as usize, format.height as usize);
    let mut out = resize(depth, width, height);
    if steps.sharpen {
        Sharpening::of(depth, frame).run(&mut out);
    }
    if steps.spread {
        spread(&mut out, (width / RIM).max(1));
    }
    out
}

/// Spreads nearness sideways by `reach` pixels, over those that mix foreground and background, so that no
/// rim of the foreground's colour stays behind and fills the hole.
fn spread(depth: &mut Plane, reach: usize) {
    let width = depth.width();
    depth.data_mut().par_chunks_mut(width).for_each_init(
        || vec![0.0f32; width + 2 * reach],
        |wide, row| {
            wide[reach..reach + width].copy_from_slice(row);
            for k in 0..=2 * reach {
                for (out, v) in row.iter_mut().zip(&wide[k..k + width]) {
                    *out = out.max(*v);
                }
            }
        },
    );
}

/// A plane's edges, and the picture at its size.
struct Sharpening<'a> {
    depth: &'a Plane,
    frame: &'a Frame,
    /// The farther and the nearer surface beside an edge, where there is one.
    surfaces: Vec<Option<[f32; 2]>>,
    /// Luma, Cb and Cr of each sample, 0 to 1.
    colours: Vec<[f32; 3]>,
    scale: f32,
}

impl<'a> Sharpening<'a> {
    fn of(depth: &'a Plane, frame: &'a Frame) -> Self {
        let scale = 1.0 / f32::from(frame.format().pixels.max_value());
        Self {
            depth,
            frame,
            surfaces: surfaces(depth),
            colours: colours(frame, (depth.width(), depth.height()), scale),
            scale,
        }
    }

    fn run(&self, out: &mut Plane) {
        let (width, height) = (out.width(), out.height());
        let (columns, rows) = (self.depth.width(), self.depth.height());
        let (across, down) = (columns as f32 / width as f32, rows as f32 / height as f32);
        let chroma = self.frame.format().pixels.chroma();
        let planes: Vec<Samples<'_>> =
            (0..chroma.planes()).map(|index| Samples::of(self.frame, index)).collect();
        let shifts = chroma.shifts();
        out.data_mut().par_chunks_mut(width).enumerate().for_each(|(y, row)| {
            let at_y = (y as f32 + 0.5) * down - 0.5;
            let near_y = (at_y + 0.5).max(0.0) as usize;
            let near_y = near_y.min(rows - 1);
            for (x, out) in row.iter_mut().enumerate() {
                let at_x = (x as f32 + 0.5) * across - 0.5;
                let near_x = ((at_x + 0.5).max(0.0) as usize).min(columns - 1);
                let Some(surfaces) = self.surfaces[near_y * columns + near_x] else { continue };
                let mut colour = [0.0; 3];
                colour[0] = planes[0].at(x, y) * self.scale;
                for (colour, plane) in colour[1..].iter_mut().zip(&planes[1..]) {
                    *colour = plane.at(x >> shifts.0, y >> shifts.1) * self.scale;
                }
                if let Some(depth) = self.chosen((at_x, at_y), (near_x, near_y), colour, surfaces) {
                    *out = depth;
                }
            }
        });
    }

    /// The depth of the surface that a pixel of this `colour` belongs to.
    #[inline(always)]
    fn chosen(
        &self,
        at: (f32, f32),
        nearest: (usize, usize),
        colour: [f32; 3],
        [far, near]: [f32; 2],
    ) -> Option<f32> {
        let (columns, rows) = (self.depth.width(), self.depth.height());
        let around = |i: usize, size: usize| i.saturating_sub(ASKED)..(i + ASKED + 1).min(size);
        let asked = around(nearest.0, columns);
        // Weight, and weighted depth, of both surfaces and of the nearer one.
        let (mut both, mut nearer) = ([0.0f32; 2], [0.0f32; 2]);
        let middle = 0.5 * (far + near);
        let certain = 2.0 / (near - far);
        for y in around(nearest.1, rows) {
            let from = y * columns;
            let depths = &self.depth.data()[from + asked.start..from + asked.end];
            let colours = &self.colours[from + asked.start..from + asked.end];
            let ay = y as f32 - at.1;
            for ((x, depth), other) in asked.clone().zip(depths).zip(colours) {
                let off = (depth - middle) * certain;
                let ax = x as f32 - at.0;
                let distance = (ax * ax + ay * ay) * (1.0 / (NEARBY * NEARBY));
                let [l, b, r] = [0, 1, 2].map(|k| colour[k] - other[k]);
                let unlike = (l * l + b * b + r * r) * (1.0 / (ALIKE * ALIKE));
                let weight = off * off / ((1.0 + distance * distance) * (1.0 + unlike * unlike));
                let in_front = if off > 0.0 { weight } else { 0.0 };
                (both[0], both[1]) = (both[0] + weight, both[1] + weight * depth);
                (nearer[0], nearer[1]) = (nearer[0] + in_front, nearer[1] + in_front * depth);
            }
        }
        let farther = [both[0] - nearer[0], both[1] - nearer[1]];
        let [weight, depth] = if nearer[0] > farther[0] { nearer } else { farther };
        (weight > 0.0).then(|| depth / weight)
    }
}

/// The farther and the nearer surface beside each sample that lies at an edge.
fn surfaces(depth: &Plane) -> Vec<Option<[f32; 2]>> {
    let (width, height) = (depth.width(), depth.height());
    let steepest = Plane::from_fn(width, height, |x, y| {
        let here = depth.at(x, y);
        let right = depth.at((x + 1).min(width - 1), y);
        let below = depth.at(x, (y + 1).min(height - 1));
        (right - here).abs().max((below - here).abs())
    });
    let near = extreme(depth, AROUND, larger);
    let far = extreme(depth, AROUND, smaller);
    let steep = extreme(&steepest, 1, larger);
    let least = CONTRAST.max(NOISE * noise(depth));
    let core = |i: usize| {
        let contrast = near.data()[i] - far.data()[i];
        let steps = contrast > least && steep.data()[i] > STEEP * contrast;
        let bent = || off_a_slope(depth, i % width, i / width) > BENT * contrast;
        f32::from(u8::from(steps && bent()))
    };
    let cores = (0..width * height).into_par_iter().with_min_len(width).map(core).collect();
    let band = extreme(&Plane::new(width, height, cores), BAND, larger);
    let surfaces = far.data().iter().zip(near.data()).zip(band.data());
    surfaces
        .map(|((&far, &near), &band)| (band > 0.0 && near > far).then_some([far, near]))
        .collect()
}

/// Without a thought for NaN, which is none of depth's: this vectorises.
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// Deviation of what is around a sample from the slope that fits it best.
fn off_a_slope(depth: &Plane, x: usize, y: usize) -> f32 {
    let columns = x.saturating_sub(AROUND)..(x + AROUND + 1).min(depth.width());
    let rows = y.saturating_sub(AROUND)..(y + AROUND + 1).min(depth.height());
    let middle = |range: &Range<usize>| 0.5 * (range.start + range.end - 1) as f32;
    let (mx, my) = (middle(&columns), middle(&rows));
    let count = (columns.len() * rows.len()) as f32;
    let (mut sum, mut square) = (0.0f32, 0.0f32);
    let (mut xd, mut yd, mut xx, mut yy) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
    let origin = depth.at(x, y);
    for row in rows {
        let ay = row as f32 - my;
        for (column, v) in columns.clone().zip(&depth.row(row)[columns.clone()]) {
            let (ax, v) = (column as f32 - mx, v - origin);
            (sum, square) = (sum + v, square + v * v);
            (xd, yd, xx, yy) = (xd + ax * v, yd + ay * v, xx + ax * ax, yy + ay * ay);
        }
    }
    let sloping = |d: f32, a: f32| if a > 0.0 { d * d / a } else { 0.0 };
    let left = square - sum * sum / count - sloping(xd, xx) - sloping(yd, yy);
    (left.max(0.0) / count).sqrt()
}

/// Deviation of single samples from those beside them, for most of a plane.
fn noise(depth: &Plane) -> f32 {
    let bends = depth
        .data()
        .chunks(depth.width())
        .flat_map(|row| row.windows(3).step_by(4).map(|v| (v[0] - 2.0 * v[1] + v[2]).abs()));
    let mut bends: Vec<f32> = bends.collect();
    if bends.is_empty() {
        return 0.0;
    }
    let middle = bends.len() / 2;
    let (_, median, _) = bends.select_nth_unstable_by(middle, f32::total_cmp);
    // Of normal noise, which three samples add up to sqrt(6) of its deviation.
    *median / (0.6745 * 6f32.sqrt())
}

/// The extreme value of the square of `radius` around each sample.
fn extreme(plane: &Plane, radius: usize, more: impl Fn(f32, f32) -> f32 + Sync) -> Plane {
    let (width, height) = (plane.width(), plane.height());
    let mut across = plane.clone();
    for y in 0..height {
        let (source, out) = (plane.row(y), across.row_mut(y));
        for k in 1..=radius.min(width - 1) {
            for (out, v) in out[k..].iter_mut().zip(source) {
                *out = more(*out, *v);
            }
            for (out, v) in out.iter_mut().zip(&source[k..]) {
                *out = more(*out, *v);
            }
        }
    }
    let mut out = across.clone();
    out.data_mut().par_chunks_mut(width).enumerate().for_each(|(y, row)| {
        for other in y.saturating_sub(radius)..(y + radius + 1).min(height) {
            for (out, v) in row.iter_mut().zip(across.row(other)) {
                *out = more(*out, *v);
            }
        }
    });
    out
}

/// Mean colours of `frame` at a plane's size, `scale` times code values.
fn colours(frame: &Frame, (columns, rows): (usize, usize), scale: f32) -> Vec<[f32; 3]> {
    let mut out = vec![[0.0f32; 3]; columns * rows];
    for index in 0..frame.format().pixels.chroma().planes() {
        let shape = frame.format().plane(index);
        let samples = Samples::of(frame, index);
        let part = |i: usize, of: usize, size: usize| {
            let from = i * size / of;
            from..((i + 1) * size / of).max(from + 1)
        };
        out.par_chunks_mut(columns).enumerate().for_each(|(y, row)| {
            let lines = part(y, rows, shape.height);
            for (x, out) in row.iter_mut().enumerate() {
                let across = part(x, columns, shape.width);
                let count = lines.len() * across.len();
                let mut sum = 0.0;
                for y in lines.clone() {
                    sum += across.clone().map(|x| samples.at(x, y)).sum::<f32>();
                }
                out[index] = sum / count as f32 * scale;
            }
        });
    }
    out
}
