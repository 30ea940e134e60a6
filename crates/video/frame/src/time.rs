//! Exact media time: rational ticks, never floating-point seconds.

/// Seconds per tick as a fraction, for example 1/12800.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeBase {
    /// Numerator, at least 1.
    pub num: u32,
    /// Denominator, at least 1.
    pub den: u32,
}

impl TimeBase {
    /// Ticks as seconds; for display and for thresholds, not for arithmetic on timestamps.
    pub fn seconds(self, ticks: i64) -> f64 {
        ticks as f64 * f64::from(self.num) / f64::from(self.den)
    }

    /// Ticks in units of `1 / per_second` seconds, rounded to nearest.
    pub fn rescale(self, ticks: i64, per_second: u64) -> i64 {
        let numerator = i128::from(ticks) * i128::from(self.num) * i128::from(per_second);
        let den = i128::from(self.den);
        let half = if numerator < 0 { -den / 2 } else { den / 2 };
        ((numerator + half) / den) as i64
    }
}

/// Frames per second as a fraction, for example 30000/1001.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameRate {
    /// Numerator, at least 1.
    pub num: u32,
    /// Denominator, at least 1.
    pub den: u32,
}

impl FrameRate {
    /// Frames per second for display and thresholds.
    pub fn fps(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescaling_rounds_to_the_nearest_unit() {
        let tb = TimeBase { num: 1, den: 24000 };
        assert_eq!(tb.rescale(1001, 1_000_000), 41_708);
        assert_eq!(tb.rescale(-1001, 1_000_000), -41_708);
        assert_eq!(tb.rescale(24000, 1), 1);
    }
}
