//! Which frames of a film are looked at: by time, not by number.

/// Added to times before they are cut into intervals: times are sums of fractions.
const SLACK: f64 = 1e-6;

/// Chooses of frames, in order of their times, the first of each interval of `1 / fps` seconds. Where there are
/// fewer frames than intervals, each is chosen once.
#[derive(Debug, Clone)]
pub struct Sampler {
    fps: f64,
    last: Option<i64>,
}

impl Sampler {
    /// For so many frames a second at most.
    pub fn new(fps: f64) -> Self {
        Self { fps, last: None }
    }

    /// Whether the frame at `seconds` after the first is one.
    pub fn takes(&mut self, seconds: f64) -> bool {
        let interval = (seconds * self.fps + SLACK).floor() as i64;
        let takes = self.last.is_none_or(|last| interval > last);
        if takes {
            self.last = Some(interval);
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(times: &[f64], fps: f64) -> Vec<usize> {
        let mut sampler = Sampler::new(fps);
        (0..times.len()).filter(|&i| sampler.takes(times[i])).collect()
    }

    #[test]
    fn rates_that_do_not_divide_do_not_drift() {
        let times: Vec<f64> = (0..300).map(|i| f64::from(i) * 1001.0 / 30_000.0).collect();
        let taken = taken(&times, 2.0);
        // The last frame is shown at 9.98 seconds.
        assert_eq!(taken.len(), 20);
        for (k, &i) in taken.iter().enumerate() {
            let late = times[i] - k as f64 / 2.0;
            assert!((-SLACK..0.034).contains(&late), "{k}: {late}");
        }
        // Every fourteenth, as a whole number of frames would have it, is not it.
        assert_eq!(taken[..4], [0, 15, 30, 45]);
    }

    #[test]
    fn no_frame_is_taken_twice_and_the_first_always_is() {
        let times = [0.0, 0.04, 0.08];
        assert_eq!(taken(&times, 1000.0), [0, 1, 2]);
        assert_eq!(taken(&times, 25.0), [0, 1, 2]);
        assert_eq!(taken(&times, 0.001), [0]);
        // Of a pause nothing is made.
        assert_eq!(taken(&[0.0, 5.0, 5.1, 5.6, 9.0], 1.0), [0, 1, 4]);
    }
}
