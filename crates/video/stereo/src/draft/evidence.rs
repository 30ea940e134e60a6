//! Which parts stand before the background, remembered along their motion.
//!
//! Evidence is gathered where block motion departs from the camera's, carried along with the
//! motion, and forgotten slowly where the picture stands still and at once where it cannot be
//! found in the frame before: a walker who stops stays in front, and the wall he uncovers does not.

use crate::Plane;
use crate::motion::{Explained, Field, Flow, Pyramid, centre, explained, spread, step};

/// Departure from the camera's motion, in working samples per frame: noise below, certain above.
/// Lower for drift, the departure averaged over time, in which noise cancels.
const RESIDUAL: (f32, f32) = (0.3, 0.9);
const DRIFT: (f32, f32) = (0.12, 0.4);
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
    pub(super) motion: Field,
    /// Departure from the camera's motion, and how far that can be relied on.
    residual: [Plane; 2],
    confidence: Plane,
}

impl Reading {
    pub(super) fn of(current: &Pyramid, previous: &Pyramid, flow: &Flow) -> Self {
        let (width, height) = current.size();
        let values = |(index, found): (usize, &Explained)| {
            let block = &flow.blocks[index];
            let (ex, ey) = found.expected;
            let texture = block.texture / (block.texture + TEXTURE);
            // What the camera has just brought into the frame cannot be found, and means nothing.
            let (x, y) = (centre(index % flow.columns) + ex, centre(index / flow.columns) + ey);
            let inside = |at: f32, size: usize| (BORDER..=size as f32 - 1.0 - BORDER).contains(&at);
            let entered = ex.abs() + ey.abs() > 0.1 && !(inside(x, width) && inside(y, height));
            let confidence = if entered { 0.0 } else { texture * texture };
            let ((dx, dy), (rx, ry)) = (found.offset(), found.departure);
            [dx, dy, found.trust, rx, ry, confidence]
        };
        let explained = explained(current, previous, flow);
        let blocks: Vec<_> = explained.iter().enumerate().map(values).collect();
        let [dx, dy, trust, rx, ry, confidence] = spread(flow, (width, height), &blocks);
        Self { motion: Field { dx, dy, trust }, residual: [rx, ry], confidence }
    }

    /// The evidence after this frame, `seconds` after the one whose evidence is `before`.
    pub(super) fn update(&self, before: &Evidence, seconds: f32) -> Evidence {
        let rise = 1.0 - (-seconds / RISE_SECONDS).exp();
        let average = 1.0 - (-seconds / DRIFT_SECONDS).exp();
        let still_loss = seconds / STILL_SECONDS;
        let blind_loss = seconds / BLIND_SECONDS;
        let (mut level, (mut drift_x, mut drift_y)) = rayon::join(
            || self.motion.carry(&before.level),
            || {
                rayon::join(
                    || self.motion.carry(&before.drift[0]),
                    || self.motion.carry(&before.drift[1]),
                )
            },
        );
        for (i, level) in level.data_mut().iter_mut().enumerate() {
            let (trust, confidence) = (self.motion.trust.data()[i], self.confidence.data()[i]);
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
