//! The range of depth that a shot spans, known from its first window and only ever widened.
//!
//! The reference stretches depth over the whole clip, which needs the whole clip first. Here a shot's
//! range is that of its first window; where a later window exceeds it, the range grows to it over the
//! frames of that window, so that nothing jumps. It never shrinks: a quiet passage stays quiet.

use parallax_stereo::Plane;

/// Share of the values that lie outside at either end, so that single pixels do not decide.
const OUTSIDE: f64 = 0.002;
/// At most so many values of a window are looked at.
const LOOKED_AT: usize = 1 << 16;

/// Least and greatest depth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f32,
    pub(crate) high: f32,
}

/// A range that grows over a window's frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growing {
    from: Range,
    to: Range,
}

impl Range {
    /// The range after a window with this depth, given the one before it.
    pub(crate) fn widened(before: Option<Range>, window: &[Plane]) -> Growing {
        let own = Self::of(window);
        let from = before.unwrap_or(own);
        let to = Self { low: from.low.min(own.low), high: from.high.max(own.high) };
        Growing { from, to }
    }

    fn of(window: &[Plane]) -> Self {
        let count: usize = window.iter().map(|p| p.data().len()).sum();
        let step = count.div_ceil(LOOKED_AT).max(1);
        let values = window.iter().flat_map(|p| p.data()).copied();
        let mut values: Vec<f32> = values.step_by(step).filter(|v| v.is_finite()).collect();
        values.sort_by(f32::total_cmp);
        let Some(last) = values.len().checked_sub(1) else { return Self { low: 0.0, high: 1.0 } };
        let skip = (values.len() as f64 * OUTSIDE) as usize;
        Self { low: values[skip], high: values[last - skip] }
    }

    /// Depth from this range to 0 to 1; a half where there is none.
    pub(crate) fn apply(self, depth: &mut Plane) {
        let span = self.high - self.low;
        for v in depth.data_mut() {
            *v = if span > 1e-6 { ((*v - self.low) / span).clamp(0.0, 1.0) } else { 0.5 };
        }
    }
}

impl Growing {
    /// The range after `share` (0 to 1) of the frames.
    pub(crate) fn at(self, share: f32) -> Range {
        let between = |a: f32, b: f32| a + (b - a) * share;
        Range {
            low: between(self.from.low, self.to.low),
            high: between(self.from.high, self.to.high),
        }
    }

    /// The range after all frames.
    pub(crate) fn end(self) -> Range {
        self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(low: f32, high: f32) -> Plane {
        Plane::from_fn(50, 20, |x, _| low + (high - low) * x as f32 / 49.0)
    }

    #[test]
    fn ranges_grow_without_a_jump_and_never_shrink() {
        let first = Range::widened(None, &[plane(0.2, 0.6)]);
        assert_eq!((first.at(0.5), first.at(0.5)), (first.end(), Range { low: 0.2, high: 0.6 }));
        let second = Range::widened(Some(first.end()), &[plane(0.3, 0.8)]);
        assert!((second.at(0.5).high - 0.7).abs() < 1e-6);
        assert_eq!(second.end(), Range { low: 0.2, high: 0.8 });
        let third = Range::widened(Some(second.end()), &[plane(0.4, 0.5)]);
        assert_eq!(third.end(), second.end());
    }

    #[test]
    fn depth_fills_zero_to_one_and_flat_depth_lies_on_the_screen() {
        let mut depth = plane(0.2, 0.6);
        Range { low: 0.3, high: 0.6 }.apply(&mut depth);
        assert_eq!((depth.at(0, 0), depth.at(49, 0)), (0.0, 1.0));
        let mut flat = plane(0.4, 0.4);
        Range::widened(None, &[flat.clone()]).end().apply(&mut flat);
        assert!(flat.data().iter().all(|&v| v == 0.5));
        assert_eq!(Range::of(&[]), Range { low: 0.0, high: 1.0 });
    }

    #[test]
    fn single_pixels_do_not_decide() {
        let mut depth = plane(0.2, 0.6);
        depth.data_mut()[7] = 40.0;
        depth.data_mut()[8] = f32::NAN;
        assert_eq!(Range::of(&[depth]), Range { low: 0.2, high: 0.6 });
    }
}
