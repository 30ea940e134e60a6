//! The range that a shot's depth spans, which becomes 0 to 1.
//!
//! It is settled by the shot's opening frames and widens towards what the frames ahead need, over as many
//! frames as there are until then, so that nothing jumps. A quiet passage stays quiet: what was needed is
//! forgotten so slowly that nobody sees it, and yet within a segment's lead-in, so that a long shot has no
//! seams.

use super::affine::Affine;
use crate::Plane;

/// Frames that wait, so that what they need is known before they come out.
pub(super) const LOOKAHEAD: usize = 8;
/// Share of the values that lie outside at either end, so that single samples do not decide.
const OUTSIDE: f32 = 0.005;
/// Seconds after which most of what is not needed any more is forgotten.
const FORGET_SECONDS: f32 = 8.0;
/// At most so many values of a plane are looked at.
const LOOKED_AT: usize = 1 << 14;

/// Least and greatest depth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Range {
    /// Of a plane, but for what lies outside.
    pub(super) fn of(plane: &Plane) -> Self {
        let step = plane.data().len().div_ceil(LOOKED_AT);
        // Every column is looked at.
        let step = (step..).find(|step| gcd(*step, plane.width()) == 1).unwrap_or(1);
        let mut values: Vec<f32> = plane.data().iter().step_by(step).copied().collect();
        let skip = (values.len() as f32 * OUTSIDE) as usize;
        let last = values.len() - 1 - skip;
        let (_, &mut low, above) = values.select_nth_unstable_by(skip, f32::total_cmp);
        if last == skip {
            return Self { low, high: low };
        }
        let (_, &mut high, _) = above.select_nth_unstable_by(last - skip - 1, f32::total_cmp);
        Self { low, high }
    }

    /// What it becomes by `affine`, whose scale is above 0.
    pub(super) fn by(self, affine: Affine) -> Self {
        let value = |v: f32| affine.scale * v + affine.shift;
        Self { low: value(self.low), high: value(self.high) }
    }

    /// The range of a frame after one of this range, when it and those after it span `ahead`.
    fn widened(self, ahead: impl Iterator<Item = Range>) -> Self {
        ahead.enumerate().fold(self, |range, (k, wanted)| {
            let share = 1.0 / (k + 1) as f32;
            Self {
                low: range.low.min(self.low + (wanted.low - self.low) * share),
                high: range.high.max(self.high + (wanted.high - self.high) * share),
            }
        })
    }

    /// This range with so much left of what is not `needed`.
    fn relaxed(self, needed: Self, left: f32) -> Self {
        Self {
            low: self.low + (needed.low - self.low).max(0.0) * (1.0 - left),
            high: self.high + (needed.high - self.high).min(0.0) * (1.0 - left),
        }
    }

    /// Depth from this range to 0 to 1; a half where there is none.
    pub(super) fn apply(self, depth: &mut Plane) {
        let span = self.high - self.low;
        let flat = span <= 1e-6 * self.high.abs().max(self.low.abs());
        for v in depth.data_mut() {
            *v = if flat { 0.5 } else { ((*v - self.low) / span).clamp(0.0, 1.0) };
        }
    }
}

/// The range that covers all of `ranges`.
fn covering(mut ranges: impl Iterator<Item = Range>) -> Option<Range> {
    let first = ranges.next()?;
    Some(ranges.fold(first, |all, other| Range {
        low: all.low.min(other.low),
        high: all.high.max(other.high),
    }))
}

/// A shot's range, frame by frame.
#[derive(Debug, Default)]
pub(super) struct ShotRange(Option<Range>);

impl ShotRange {
    /// Whether no frame of the shot has its range yet.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// The range of the next frame, `seconds` after the last, when it and those after it span `ahead`.
    pub(super) fn next(
        &mut self,
        ahead: impl Iterator<Item = Range> + Clone,
        seconds: f32,
    ) -> Option<Range> {
        let needed = covering(ahead.clone())?;
        let range = match self.0 {
            None => needed,
            Some(last) => last.relaxed(needed, (-seconds / FORGET_SECONDS).exp()).widened(ahead),
        };
        self.0 = Some(range);
        Some(range)
    }
}

/// The greatest common divisor.
fn gcd(mut a: usize, mut b: usize) -> usize {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(low: f32, high: f32) -> Range {
        Range { low, high }
    }

    #[test]
    fn a_range_is_there_in_time_and_never_jumps() {
        let mut shot = ShotRange::default();
        let quiet = [range(0.2, 0.6); 4];
        assert_eq!(shot.next(quiet.into_iter(), 0.04), Some(range(0.2, 0.6)));
        // Something nearer comes in with the fourth frame from here.
        let mut wanted = vec![range(0.3, 0.5); 3];
        wanted.extend([range(0.3, 1.0); 4]);
        let highs: Vec<f32> = (0..4)
            .filter_map(|t| shot.next(wanted[t..t + 4].iter().copied(), 0.0))
            .map(|range| range.high)
            .collect();
        for (got, want) in highs.iter().zip([0.7, 0.8, 0.9, 1.0]) {
            assert!((got - want).abs() < 1e-6, "{highs:?}");
        }
        // What is over is forgotten, and nobody sees how.
        let quiet = [range(0.4, 0.5)];
        let mut highs = vec![1.0];
        for _ in 0..250 {
            highs.extend(shot.next(quiet.into_iter(), 0.04).map(|range| range.high));
        }
        let faster = highs.windows(2).map(|pair| pair[0] - pair[1]).fold(0.0, f32::max);
        assert!(faster < 0.003 && highs[250] < 0.65, "{faster} {}", highs[250]);
    }

    #[test]
    fn single_samples_do_not_decide() {
        let mut plane = Plane::from_fn(50, 20, |x, _| 2.0 + x as f32 / 49.0);
        plane.data_mut()[7] = 40.0;
        plane.data_mut()[8] = -40.0;
        assert_eq!(Range::of(&plane), range(2.0, 3.0));
        assert_eq!(Range::of(&Plane::filled(1, 1, 4.0)), range(4.0, 4.0));
    }

    #[test]
    fn flat_depth_lies_on_the_screen() {
        let mut flat = Plane::filled(4, 4, 30.0);
        Range::of(&flat).apply(&mut flat);
        assert!(flat.data().iter().all(|&v| v == 0.5));
    }
}
