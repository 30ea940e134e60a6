//! What a shot's parallax amounts to.

use super::histogram::Histogram;

/// Parallax is counted in hundredths of a percent of the width, up to the largest range there is.
const STEPS: f32 = 100.0;
const MOST: f32 = 10.0;
/// The shares of samples that lie beyond what is reported, at either end.
const OUTSIDE: f32 = 0.01;

/// What one shot was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShotReport {
    /// Its first frame, counted from the clip's first.
    pub first_frame: u64,
    /// Its frames.
    pub frames: u64,
    /// 1st and 99th percentile of parallax over all its samples, in percent of the picture's width:
    /// right eye minus left, so negative is in front of the screen.
    pub parallax_percent: (f32, f32),
}

/// Counts parallax while a shot goes by.
#[derive(Debug)]
pub(super) struct Meter {
    frames: u64,
    counts: Vec<u64>,
    total: u64,
}

impl Default for Meter {
    fn default() -> Self {
        let bins = (2.0 * MOST * STEPS) as usize + 1;
        Self { frames: 0, counts: vec![0; bins], total: 0 }
    }
}

impl Meter {
    /// Counts a frame whose depth is `histogram`; `parallax` of a depth is in percent.
    pub(super) fn add(&mut self, histogram: &Histogram, parallax: impl Fn(f32) -> f32) {
        self.frames += 1;
        for (depth, count) in histogram.bins() {
            let bin = ((parallax(depth).clamp(-MOST, MOST) + MOST) * STEPS).round() as usize;
            self.counts[bin] += count;
            self.total += count;
        }
    }

    /// `None` without frames.
    pub(super) fn report(&self, first_frame: u64) -> Option<ShotReport> {
        if self.frames == 0 {
            return None;
        }
        let parallax_percent = (self.percentile(OUTSIDE), self.percentile(1.0 - OUTSIDE));
        Some(ShotReport { first_frame, frames: self.frames, parallax_percent })
    }

    fn percentile(&self, share: f32) -> f32 {
        let rank = (f64::from(share) * self.total as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (i, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return (i as f32 - MOST * STEPS) / STEPS;
            }
        }
        0.0
    }
}
