//! Which frames of a film are looked at, and the times that the text says they have.

use crate::picture::VideoPreprocessing;

/// Numbers of the frames that are looked at of `total` frames at `rate` a second: evenly spread from the first to the
/// last, rounded, halves to even.
pub fn frame_indices(total: usize, rate: f64, settings: &VideoPreprocessing) -> Vec<usize> {
    if total == 0 {
        return Vec::new();
    }
    let wanted = (total as f64 / rate * settings.fps) as usize;
    let count = wanted.max(settings.min_frames).min(settings.max_frames).min(total);
    let step = (total - 1) as f64 / (count.max(2) - 1) as f64;
    (0..count).map(|i| (i as f64 * step).round_ties_even() as usize).collect()
}

/// The time of each pair of frames in seconds: the mean of both, the last standing for one that is missing.
pub fn timestamps(seconds: &[f64]) -> Vec<f64> {
    let mean = |pair: &[f64]| match pair {
        [first, second] => (first + second) / 2.0,
        [only] => *only,
        _ => 0.0,
    };
    seconds.chunks(2).map(mean).collect()
}
