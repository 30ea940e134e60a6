//! What goes wrong with a request, decided by seed and request alone.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Probabilities, each from 0 to 1. All default to 0.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Faults {
    /// Decides everything below, with the request's name.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Refused with a throttling error.
    #[arg(long, default_value_t = 0.0)]
    pub throttle: f64,
    /// Refused with an error 503.
    #[arg(long, default_value_t = 0.0)]
    pub unavailable: f64,
    /// Accepted, but answered with an error 500.
    #[arg(long, default_value_t = 0.0)]
    pub broken_reply: f64,
    /// Accepted, but the connection is held and never answered.
    #[arg(long, default_value_t = 0.0)]
    pub lost_reply: f64,
    /// Accepted, but never run: nothing is ever written.
    #[arg(long, default_value_t = 0.0)]
    pub drop: f64,
    /// A failure object is written without asking the container.
    #[arg(long, default_value_t = 0.0)]
    pub fail: f64,
    /// A response object is written without asking the container.
    #[arg(long, default_value_t = 0.0)]
    pub hollow: f64,
    /// The outcome is written twice, which raises two events.
    #[arg(long, default_value_t = 0.0)]
    pub duplicate: f64,
    /// The container writes its output, but the response object is never written.
    #[arg(long, default_value_t = 0.0)]
    pub silent: f64,
    /// Longest extra wait before a run, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pub delay_ms: u64,
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "named as the probabilities")]
pub struct Fate {
    pub throttle: bool,
    pub unavailable: bool,
    pub broken_reply: bool,
    pub lost_reply: bool,
    pub drop: bool,
    pub fail: bool,
    pub hollow: bool,
    pub duplicate: bool,
    pub silent: bool,
    pub delay_ms: u64,
}

impl Faults {
    /// The fate of the `n`th request under one name: whether others came before does not matter.
    pub fn fate(&self, name: &str, n: u64) -> Fate {
        let mut hash = 0xcbf2_9ce4_8422_2325u64 ^ self.seed;
        for byte in name.bytes().chain(n.to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let mut rng = StdRng::seed_from_u64(hash);
        let mut happens = |probability: f64| rng.random_bool(probability.clamp(0.0, 1.0));
        Fate {
            throttle: happens(self.throttle),
            unavailable: happens(self.unavailable),
            broken_reply: happens(self.broken_reply),
            lost_reply: happens(self.lost_reply),
            drop: happens(self.drop),
            fail: happens(self.fail),
            hollow: happens(self.hollow),
            duplicate: happens(self.duplicate),
            silent: happens(self.silent),
            delay_ms: if self.delay_ms > 0 { rng.random_range(0..=self.delay_ms) } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fate_depends_on_seed_name_and_turn_alone() {
        let faults =
            Faults { seed: 7, throttle: 0.5, fail: 0.5, delay_ms: 99, ..Faults::default() };
        assert_eq!(faults.fate("a", 0), faults.fate("a", 0));
        let throttled = (0..1000).filter(|n| faults.fate("a", *n).throttle).count();
        assert!((400..600).contains(&throttled), "{throttled}");
        let never = Faults { seed: 7, ..Faults::default() };
        assert!((0..1000).all(|n| never.fate("a", n) == Fate::default()));
    }
}
