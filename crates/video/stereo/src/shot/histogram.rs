//! How much of a picture lies at which depth.

use crate::Plane;

const BINS: usize = 1024;
/// At most so many samples of a plane are looked at.
const LOOKED_AT: usize = 1 << 16;

/// Counts of depth by bins from 0 to 1.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// Of all `planes`; values outside 0 to 1 count as the nearest of them, NaN not at all.
    pub(super) fn of<'a>(planes: impl IntoIterator<Item = &'a Plane>) -> Self {
        let (mut counts, mut total) = (vec![0; BINS], 0);
        for plane in planes {
            let mut step = plane.data().len().div_ceil(LOOKED_AT);
            // Every column is looked at.
            while divisor(step, plane.width()) > 1 {
                step += 1;
            }
            for v in plane.data().iter().step_by(step).filter(|v| !v.is_nan()) {
                counts[((v * BINS as f32) as usize).min(BINS - 1)] += 1;
                total += 1;
            }
        }
        Self { counts, total }
    }

    /// The depth of every bin that has samples, and how many.
    pub(super) fn bins(&self) -> impl Iterator<Item = (f32, u64)> + '_ {
        let depth = |i: usize| (i as f32 + 0.5) / BINS as f32;
        self.counts.iter().enumerate().filter(|(_, n)| **n > 0).map(move |(i, &n)| (depth(i), n))
    }

    /// The depth below which `share` of the samples lie; a half when there are none.
    pub(super) fn percentile(&self, share: f32) -> f32 {
        let rank = share * self.total as f32;
        let mut below = 0;
        for (i, &count) in self.counts.iter().enumerate() {
            if count > 0 && (below + count) as f32 >= rank {
                let within = ((rank - below as f32) / count as f32).clamp(0.0, 1.0);
                return (i as f32 + within) / BINS as f32;
            }
            below += count;
        }
        0.5
    }
}

/// The greatest common divisor.
fn divisor(mut a: usize, mut b: usize) -> usize {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_ramp_are_its_values() {
        let ramp = Plane::from_fn(500, 400, |x, _| x as f32 / 499.0);
        let histogram = Histogram::of([&ramp]);
        for share in [0.01, 0.25, 0.5, 0.99] {
            assert!((histogram.percentile(share) - share).abs() < 0.003, "{share}");
        }
    }

    #[test]
    fn what_is_no_depth_does_not_count() {
        let odd = Plane::new(4, 1, vec![f32::NAN, -3.0, 0.4, 7.0]);
        assert_eq!(Histogram::of([&odd]).bins().map(|(_, n)| n).sum::<u64>(), 3);
        assert_eq!(Histogram::of([&Plane::filled(1, 1, f32::NAN)]).percentile(0.5), 0.5);
    }
}
