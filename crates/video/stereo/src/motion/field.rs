//! Motion of every sample, out of that of blocks.

use rayon::prelude::*;

use super::camera::Camera;
use super::flow::{Flow, Pyramid, STRIDE};
use super::look::Look;
use crate::Plane;

/// How much worse the camera's motion must explain a block than its own, in block texture, before
/// the difference counts.
const OWN: (f32, f32) = (0.03, 0.15);
/// Difference of colours, of luma from 0 to 1, from which a sample is another thing.
const OTHER: (f32, f32) = (0.06, 0.2);

/// A block's motion, which is the camera's where that explains it about as well: a block without texture
/// along its edge fits in many places.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Explained {
    /// Offset that the camera's motion gives it, in working samples.
    pub(crate) expected: (f32, f32),
    /// What it moves besides.
    pub(crate) departure: (f32, f32),
    /// 0 where the other picture has no such thing, 1 where it is found.
    pub(crate) trust: f32,
}

impl Explained {
    pub(crate) fn offset(&self) -> (f32, f32) {
        (self.expected.0 + self.departure.0, self.expected.1 + self.departure.1)
    }
}

/// The motion of every block of `flow`, which leads from `current` to `other`.
pub(crate) fn explained(current: &Pyramid, other: &Pyramid, flow: &Flow) -> Vec<Explained> {
    let camera = Camera::fit(flow);
    let blocks = flow.blocks.iter().enumerate();
    blocks
        .map(|(index, block)| {
            let (ex, ey) = camera.expected(flow, index);
            let excess = flow.error_at(current, other, index, (ex, ey)) - block.error;
            let own = step(OWN.0, OWN.1, excess / (block.texture + 0.01));
            Explained {
                expected: (ex, ey),
                departure: (own * (block.dx - ex), own * (block.dy - ey)),
                trust: 1.0 - step(0.5, 1.2, block.error / (0.012 + 0.7 * block.texture)),
            }
        })
        .collect()
}

/// Values of blocks as planes of the working size, bilinearly between their centres.
pub(crate) fn spread<const K: usize>(
    flow: &Flow,
    (width, height): (usize, usize),
    blocks: &[[f32; K]],
) -> [Plane; K] {
    let mut planes = [(); K].map(|()| Plane::filled(width, height, 0.0));
    let tap = |i: usize, count: usize| {
        let at = ((i as f32 - centre(0)) / (centre(1) - centre(0))).clamp(0.0, (count - 1) as f32);
        let low = at as usize;
        (low, (low + 1).min(count - 1), at - low as f32)
    };
    let columns: Vec<_> = (0..width).map(|x| tap(x, flow.columns)).collect();
    planes.par_iter_mut().enumerate().for_each(|(k, plane)| {
        let mut mixed = vec![0.0f32; flow.columns];
        for y in 0..height {
            let (top, bottom, f) = tap(y, flow.rows);
            for (x, mixed) in mixed.iter_mut().enumerate() {
                let a = blocks[top * flow.columns + x][k];
                *mixed = a + (blocks[bottom * flow.columns + x][k] - a) * f;
            }
            for (out, &(low, high, f)) in plane.row_mut(y).iter_mut().zip(&columns) {
                *out = mixed[low] + (mixed[high] - mixed[low]) * f;
            }
        }
    });
    planes
}

/// Where every sample of a picture is in another one.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Offset from here to there, in working samples.
    pub(crate) dx: Plane,
    pub(crate) dy: Plane,
    /// 0 where the other picture has no such thing, 1 where it is found.
    pub(crate) trust: Plane,
}

impl Field {
    /// From `current` to `other` by `flow`. Samples whose colours differ are not trusted, nor are those
    /// that come from beyond the border.
    pub(crate) fn of(current: &Look, other: &Look, flow: &Flow) -> Self {
        let blocks: Vec<[f32; 3]> = explained(&current.pyramid, &other.pyramid, flow)
            .iter()
            .map(|block| [block.offset().0, block.offset().1, block.trust])
            .collect();
        let [dx, dy, trust] = spread(flow, current.pyramid.size(), &blocks);
        let mut field = Self { dx, dy, trust };
        field.compare(current, other);
        field
    }

    fn compare(&mut self, current: &Look, other: &Look) {
        let (width, height) = (self.dx.width(), self.dx.height());
        let (here, there) = (current.small.channels(), other.small.channels());
        let (dx, dy) = (&self.dx, &self.dy);
        self.trust.data_mut().par_chunks_mut(width).enumerate().for_each(|(y, row)| {
            for (x, trust) in row.iter_mut().enumerate() {
                let (sx, sy) = (x as f32 + dx.at(x, y), y as f32 + dy.at(x, y));
                let inside = |at: f32, size: usize| (-0.5..=size as f32 - 0.5).contains(&at);
                if !(inside(sx, width) && inside(sy, height)) {
                    *trust = 0.0;
                    continue;
                }
                let (sx, sy) =
                    (sx.clamp(0.0, (width - 1) as f32), sy.clamp(0.0, (height - 1) as f32));
                let off = |k: usize| (here[k].at(x, y) - bilinear(there[k], sx, sy)).abs();
                *trust *= 1.0 - step(OTHER.0, OTHER.1, off(0).max(off(1)).max(off(2)));
            }
        });
    }

    /// `state` of the other picture, of any size, moved to where its things are here.
    pub(crate) fn carry(&self, state: &Plane) -> Plane {
        let (width, height) = (state.width(), state.height());
        let (columns, rows) = (self.dx.width(), self.dx.height());
        if (columns, rows) == (width, height) {
            return moved(state, |x, y| (self.dx.at(x, y), self.dy.at(x, y)));
        }
        let (across, down) = (columns as f32 / width as f32, rows as f32 / height as f32);
        let place = |i: usize, scale: f32, size: usize| {
            ((i as f32 + 0.5) * scale - 0.5).clamp(0.0, (size - 1) as f32)
        };
        moved(state, |x, y| {
            let (fx, fy) = (place(x, across, columns), place(y, down, rows));
            (bilinear(&self.dx, fx, fy) / across, bilinear(&self.dy, fx, fy) / down)
        })
    }

    /// From here to where `next` leads from the other picture.
    pub(crate) fn then(&self, next: &Field) -> Field {
        let add = |a: &Plane, b: &Plane| {
            let sum = a.data().iter().zip(b.data()).map(|(a, b)| a + b).collect();
            Plane::new(a.width(), a.height(), sum)
        };
        let mut trust = self.carry(&next.trust);
        trust.data_mut().iter_mut().zip(self.trust.data()).for_each(|(t, own)| *t *= own);
        Field {
            dx: add(&self.dx, &self.carry(&next.dx)),
            dy: add(&self.dy, &self.carry(&next.dy)),
            trust,
        }
    }
}

/// `state` taken from the offset that each sample has.
fn moved(state: &Plane, offset: impl Fn(usize, usize) -> (f32, f32) + Sync) -> Plane {
    let (width, height) = (state.width(), state.height());
    let mut out = Plane::filled(width, height, 0.0);
    out.data_mut().par_chunks_mut(width).enumerate().for_each(|(y, row)| {
        for (x, out) in row.iter_mut().enumerate() {
            let (dx, dy) = offset(x, y);
            let sx = (x as f32 + dx).clamp(0.0, (width - 1) as f32);
            let sy = (y as f32 + dy).clamp(0.0, (height - 1) as f32);
            *out = bilinear(state, sx, sy);
        }
    });
    out
}

fn bilinear(plane: &Plane, x: f32, y: f32) -> f32 {
    let (x0, y0) = (x as usize, y as usize);
    let (x1, y1) = ((x0 + 1).min(plane.width() - 1), (y0 + 1).min(plane.height() - 1));
    let (fx, fy) = (x - x0 as f32, y - y0 as f32);
    let top = plane.at(x0, y0) + (plane.at(x1, y0) - plane.at(x0, y0)) * fx;
    let bottom = plane.at(x0, y1) + (plane.at(x1, y1) - plane.at(x0, y1)) * fx;
    top + (bottom - top) * fy
}

/// Working-picture column or row of the centre of block `index` along its axis.
pub(crate) fn centre(index: usize) -> f32 {
    (index * STRIDE) as f32 + (STRIDE - 1) as f32 / 2.0
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(crate) fn step(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
