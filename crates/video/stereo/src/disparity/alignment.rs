//! Scale and shift of each frame, aligned to the frame before, and what of that frame is kept.
//!
//! A network that sees one frame at a time gives each its own scale and shift. Those that bring a frame
//! onto the one before it, moved along their motion, are fitted where motion is known and depth is smooth.
//! They fade, so that errors of the fit do not add up over a shot.

use super::affine::{Affine, Pair, fit};
use super::options::ChainSteps;
use super::range::Range;
use crate::Plane;
use crate::motion::{Field, step};
use crate::synthesis::resize;

/// Blocks along the longer side whose means are compared: their noise is small, which would otherwise
/// bias the scale frame after frame.
const BLOCKS: usize = 80;
/// Difference of depth within a block, in parts of the range, at which it counts half.
const SMOOTH: f32 = 0.06;
/// Seconds after which scale and shift have lost most of their departure from one and zero.
const FADE_SECONDS: f32 = 4.0;
/// Share of the frame before where it shows the same.
const KEPT: f32 = 0.6;
/// Difference of depth, in parts of the range, from which it does not.
const CHANGED: (f32, f32) = (0.04, 0.12);

/// The depth of the frame before, to which the next is aligned.
#[derive(Debug)]
pub(super) struct Alignment {
    steps: ChainSteps,
    seconds_per_frame: f32,
    last: Option<Plane>,
    affine: Affine,
    /// Sums of scales and shifts since the shot began, and of how many planes.
    opening: (Affine, f32),
}

impl Alignment {
    pub(super) fn new(steps: ChainSteps, seconds_per_frame: f32) -> Self {
        let none = Affine { scale: 0.0, shift: 0.0 };
        let (affine, opening) = (Affine::default(), (none, 0.0));
        Self { steps, seconds_per_frame, last: None, affine, opening }
    }

    /// `plane` in the scale and shift of the one before it, which was `frames` earlier and in which its
    /// things are where `back` says.
    pub(super) fn next(&mut self, plane: Plane, back: Option<&Field>, frames: usize) -> Plane {
        let depth = match (self.last.take(), back) {
            (Some(last), Some(back)) => {
                self.follow(plane, &last, back, frames as f32 * self.seconds_per_frame)
            }
            _ => plane,
        };
        let (sum, count) = self.opening;
        let (scale, shift) = (sum.scale + self.affine.scale, sum.shift + self.affine.shift);
        self.opening = (Affine { scale, shift }, count + 1.0);
        self.last = Some(depth.clone());
        depth
    }

    fn follow(&mut self, mut plane: Plane, last: &Plane, back: &Field, seconds: f32) -> Plane {
        let (width, height) = (plane.width(), plane.height());
        let before = if (last.width(), last.height()) == (width, height) {
            back.carry(last)
        } else {
            back.carry(&resize(last, width, height))
        };
        let range = Range::of(&before);
        let span = (range.high - range.low).max(f32::MIN_POSITIVE);
        if self.steps.align {
            let found = fit(&pairs(&plane, &before, &back.trust, span));
            let faded = (-seconds / FADE_SECONDS).exp();
            self.affine = found.unwrap_or(self.affine).faded(faded);
            self.affine.apply(&mut plane);
        }
        if self.steps.blend {
            keep(&mut plane, &before, &back.trust, span);
        }
        plane
    }

    /// Makes the mean scale and shift of the shot's planes up to here the shot's own, in place of the first
    /// one's, which may be far off. Returns what all depth up to here becomes it by.
    pub(super) fn recentre(&mut self) -> Affine {
        let (sum, count) = self.opening;
        if count == 0.0 {
            return Affine::default();
        }
        let mean = Affine { scale: sum.scale / count, shift: sum.shift / count };
        let centred = mean.inverse();
        self.affine = self.affine.then(centred);
        if let Some(last) = &mut self.last {
            centred.apply(last);
        }
        centred
    }

    /// The last depth that came of it.
    pub(super) fn last(&self) -> Option<&Plane> {
        self.last.as_ref()
    }
}

/// Means of blocks of `plane` and of `before`; `span` is the range of depth.
fn pairs(plane: &Plane, before: &Plane, trust: &Plane, span: f32) -> Vec<Pair> {
    let (width, height) = (plane.width(), plane.height());
    let side = width.max(height).div_ceil(BLOCKS);
    let mut out = Vec::with_capacity(width.div_ceil(side) * height.div_ceil(side));
    for top in (0..height).step_by(side) {
        for left in (0..width).step_by(side) {
            let (right, bottom) = ((left + side).min(width), (top + side).min(height));
            let count = ((right - left) * (bottom - top)) as f32;
            let [now, then] = [plane, before].map(|plane| {
                let (mut low, mut high, mut sum) = (f32::INFINITY, f32::NEG_INFINITY, 0.0);
                for y in top..bottom {
                    for &v in &plane.row(y)[left..right] {
                        (low, high, sum) = (low.min(v), high.max(v), sum + v);
                    }
                }
                (sum / count, (high - low) / (SMOOTH * span))
            });
            let trusted = trust.at(
                (left + right) * trust.width() / (2 * width),
                (top + bottom) * trust.height() / (2 * height),
            );
            let rough = now.1.max(then.1);
            out.push(Pair { x: now.0, y: then.0, weight: trusted / (1.0 + rough * rough) });
        }
    }
    out
}

/// Mixes what was there before into `plane`, where it is the same.
fn keep(plane: &mut Plane, before: &Plane, trust: &Plane, span: f32) {
    let trust = resize(trust, plane.width(), plane.height());
    let values = plane.data_mut().iter_mut().zip(before.data()).zip(trust.data());
    for ((now, then), trust) in values {
        let change = then - *now;
        let same = 1.0 - step(CHANGED.0, CHANGED.1, change.abs() / span);
        *now += KEPT * trust.clamp(0.0, 1.0) * same * change;
    }
}
