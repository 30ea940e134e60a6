//! Depth of frames that the network did not see.

use crate::Plane;
use crate::motion::Field;
use crate::synthesis::resize;

/// Trust that remains where nothing is found, so that something is there.
const LEAST: f32 = 0.01;

/// A frame that has depth, seen from one that has none.
pub(super) struct Side<'a> {
    pub(super) depth: &'a Plane,
    /// Where the things of the frame without depth are in it.
    pub(super) field: Field,
    /// Its share where both are trusted.
    pub(super) share: f32,
}

/// The depth of a frame between two others, which both have things of it.
pub(super) fn mixed(sides: [Side<'_>; 2]) -> Plane {
    let (width, height) = (sides[1].depth.width(), sides[1].depth.height());
    let [before, after] = sides.map(|side| {
        let depth = side.field.carry(&sized(side.depth, width, height));
        let mut weight = resize(&side.field.trust, width, height);
        weight.data_mut().iter_mut().for_each(|w| *w = side.share * (w.max(0.0) + LEAST));
        (depth, weight)
    });
    let mut out = before.0;
    for (i, depth) in out.data_mut().iter_mut().enumerate() {
        let (a, b) = (before.1.data()[i], after.1.data()[i]);
        *depth += (after.0.data()[i] - *depth) * (b / (a + b));
    }
    out
}

fn sized(plane: &Plane, width: usize, height: usize) -> Plane {
    if (plane.width(), plane.height()) == (width, height) {
        plane.clone()
    } else {
        resize(plane, width, height)
    }
}
