//! Which parts stand before the background, remembered along their motion.
//!
//! Evidence is gathered where block motion departs from the camera's, carried along with the
//! motion, and forgotten slowly where the picture stands still and at once where it cannot be
//! found in the frame before: a walker who stops stays in front, and the wall he uncovers does not.

use rayon::prelude::*;

use crate::Plane;
use crate::draft::camera::{Camera, centre};
use crate::draft::flow::{Flow, Pyramid};

/// Departure from the camera's motion, in working samples per frame: noise below, certain above.
/// Lower for drift, the departure averaged over time, in which noise cancels.
const RESIDUAL: (f32, f32) = (0.3, 0.9);
const DRIFT: (f32, f32) = (0.12, 0.4);
/// How much worse the camera's motion must explain a block than its own, in block texture, before
/// the difference counts.
const OWN: (f32, f32) = (0.03, 0.15);
/// Working samples from the border within which a moving camera makes matches meaningless.
const BORDER: f32 = 3.0;
/// Block texture at which motion is half believed.
const TEXTURE: f32 = 0.012;
/// Level that things too fast to follow tend to, and the share of it that survives each frame.
const LOST: f32 = 0.7;
const KEPT: f32 = 0.6;
/// Seconds over which drift is averaged.
const DRIFT_SECONDS: f32 = 0.2;
/// Seconds to believe in what moves, to forget it where it is seen to stand still, and where there
/// is too little texture to see anything.
const RISE_SECONDS: f32 = 0.1;
const STILL_SECONDS: f32 = 3.0;
const BLIND_SECONDS: f32 = 0.6;

/// What is remembered of a shot's foreground, at working size.
#[derive(Debug, Clone)]
pub(super) struct Evidence {
    /// 0 background to 1 foreground.
    pub(super) level: Plane,
    /// How much texture `level` rests on, 0 to 1.
    pub(super) confidence: Plane,
    drift: [Plane; 2],
}

impl Evidence {
    /// Nothing known yet.
    pub(super) fn none(width: usize, height: usize) -> Self {
        let zero = Plane::filled(width, height, 0.0);
        Self { level: zero.clone(), confidence: zero.clone(), drift: [zero.clone(), zero] }
    }
}

/// Per-sample reading of one frame's motion.
#[derive(Debug)]
pub(super) struct Reading {
    /// Offset to the same thing in the frame before.
    pub(super) dx: Plane,
    pub(super) dy: Plane,
    /// 0 where the frame before has no such thing, 1 where it is found.
    pub(super) trust: Plane,
    /// Departure from the camera's motion, and how far that can be relied on.
    residual: [Plane; 2],
    confidence: Plane,
}

impl Reading {
    pub(super) fn of(current: &Pyramid, previous: &Pyramid, flow: &Flow) -> Self {
        let (width, height) = current.size();
        let camera = Camera::fit(flow);
        let mut blocks = vec![[0.0f32; 6]; flow.blocks.len()];
        for (index, out) in blocks.iter_mut().enumerate() {
            let block = &flow.blocks[index];
            // A block without texture along its edge fits in many places. If the camera's motion
            // explains it about as well as its own, it has none of its own.
            let (ex, ey) = camera.expected(flow, index);
            let excess = flow.error_at(current, previous, index, (ex, ey)) - block.error;
            let own = step(OWN.0, OWN.1, excess / (block.texture + 0.01));
            let (rx, ry) = (own * (block.dx - ex), own * (block.dy - ey));
            let trust = 1.0 - step(0.5, 1.2, block.error / (0.012 + 0.7 * block.texture));
            let texture = block.texture / (block.texture + TEXTURE);
            // What the camera has just brought into the frame cannot be found, and means nothing.
            let (x, y) = (centre(index % flow.columns) + ex, centre(index / flow.columns) + ey);
            let inside = |at: f32, size: usize| (BORDER..=size as f32 - 1.0 - BORDER).contains(&at);
            let entered = ex.abs() + ey.abs() > 0.1 && !(inside(x, width) && inside(y, height));
            let confidence = if entered { 0.0 } else { texture * texture };
            *out = [ex + rx, ey + ry, trust, rx, ry, confidence];
        }
        let mut planes = [0, 1, 2, 3, 4, 5].map(|_| Plane::filled(width, height, 0.0));
        let tap = |i: usize, count: usize| {
            let at =
                ((i as f32 - centre(0)) / (centre(1) - centre(0))).clamp(0.0, (count - 1) as f32);
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
        let [dx, dy, trust, rx, ry, confidence] = planes;
        Self { dx, dy, trust, residual: [rx, ry], confidence }
    }

    /// `state` of the frame before, moved to where its things are now.
    pub(super) fn carry(&self, state: &Plane) -> Plane {
        let (width, height) = (state.width(), state.height());
        let mut out = Plane::filled(width, height, 0.0);
        out.data_mut().par_chunks_mut(width).enumerate().for_each(|(y, row)| {
            for (x, out) in row.iter_mut().enumerate() {
                let i = y * width + x;
                let sx = (x as f32 + self.dx.data()[i]).clamp(0.0, (width - 1) as f32);
                let sy = (y as f32 + self.dy.data()[i]).clamp(0.0, (height - 1) as f32);
                *out = bilinear(state, sx, sy);
            }
        });
        out
    }

    /// The evidence after this frame, `seconds` after the one whose evidence is `before`.
    pub(super) fn update(&self, before: &Evidence, seconds: f32) -> Evidence {
        let rise = 1.0 - (-seconds / RISE_SECONDS).exp();
        let average = 1.0 - (-seconds / DRIFT_SECONDS).exp();
        let still_loss = seconds / STILL_SECONDS;
        let blind_loss = seconds / BLIND_SECONDS;
        let (mut level, (mut drift_x, mut drift_y)) = rayon::join(
            || self.carry(&before.level),
            || rayon::join(|| self.carry(&before.drift[0]), || self.carry(&before.drift[1])),
        );
        for (i, level) in level.data_mut().iter_mut().enumerate() {
            let (trust, confidence) = (self.trust.data()[i], self.confidence.data()[i]);
            let (rx, ry) = (self.residual[0].data()[i], self.residual[1].data()[i]);
            let (dx, dy) = (&mut drift_x.data_mut()[i], &mut drift_y.data_mut()[i]);
            *dx = trust * (*dx + (rx - *dx) * average);
            *dy = trust * (*dy + (ry - *dy) * average);
            let residual = (rx * rx + ry * ry).sqrt();
            let drift = (*dx * *dx + *dy * *dy).sqrt();
            // Grows on with the speed, so that of two layers the faster is the nearer.
            let seen = step(RESIDUAL.0, RESIDUAL.1, residual).max(step(DRIFT.0, DRIFT.1, drift))
                * (0.7 + 0.3 * drift / (drift + 3.0));
            let kept = *level * (KEPT + (1.0 - KEPT) * trust);
            // What cannot be found again at all moves too fast to follow, or was just uncovered:
            // a frame of it proves nothing, a few in a row do.
            let lost = (LOST * (1.0 - trust) - kept).max(0.0) * confidence * rise;
            let gain = (seen - kept).max(0.0) * confidence * trust * rise + lost;
            let doubt = 1.0 + 4.0 * (1.0 - step(0.1, 0.35, *level));
            let loss = blind_loss + (still_loss * doubt - blind_loss) * confidence;
            *level = kept * (1.0 - loss * (1.0 - seen)).max(0.0) + gain;
        }
        Evidence { level, confidence: self.confidence.clone(), drift: [drift_x, drift_y] }
    }
}

fn bilinear(plane: &Plane, x: f32, y: f32) -> f32 {
    let (x0, y0) = (x as usize, y as usize);
    let (x1, y1) = ((x0 + 1).min(plane.width() - 1), (y0 + 1).min(plane.height() - 1));
    let (fx, fy) = (x - x0 as f32, y - y0 as f32);
    let top = plane.at(x0, y0) + (plane.at(x1, y0) - plane.at(x0, y0)) * fx;
    let bottom = plane.at(x0, y1) + (plane.at(x1, y1) - plane.at(x0, y1)) * fx;
    top + (bottom - top) * fy
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(super) fn step(low: f32, high: f32, value: f32) -> f32 {
    let t = ((value - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
