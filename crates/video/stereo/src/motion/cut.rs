//! Shot cuts: where nothing of the past applies.

use crate::Plane;

const BINS: usize = 32;
/// Mean absolute luma difference and share of the histogram that must both change.
const DIFFERENCE: f32 = 0.06;
const HISTOGRAM: f32 = 0.25;
/// A picture that motion explains this badly (mean absolute luma) is a cut whatever its histogram.
const UNMATCHED: f32 = 0.1;

/// Whether `current` begins a new shot after `previous`; `matched` is the mean error of their
/// block motion. Everything must change by `margin` times as much as usual.
pub(crate) fn is_cut(current: &Plane, previous: &Plane, matched: f32, margin: f32) -> bool {
    let count = current.data().len() as f32;
    let pairs = current.data().iter().zip(previous.data());
    let difference = pairs.map(|(a, b)| (a - b).abs()).sum::<f32>() / count;
    if matched > margin * UNMATCHED {
        return true;
    }
    let (a, b) = (histogram(current), histogram(previous));
    let moved: f32 =
        a.iter().zip(&b).map(|(a, b)| a.abs_diff(*b) as f32).sum::<f32>() / count / 2.0;
    difference > margin * DIFFERENCE
        && moved > margin * HISTOGRAM
        && matched > margin * 0.3 * difference
}

fn histogram(plane: &Plane) -> [u32; BINS] {
    let mut bins = [0; BINS];
    for v in plane.data() {
        bins[((v * BINS as f32).max(0.0) as usize).min(BINS - 1)] += 1;
    }
    bins
}
