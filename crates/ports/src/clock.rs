//! Wall-clock time as a dependency, so that deadlines can be tested.

use std::fmt::Debug;

use parallax_job::Timestamp;
use tokio::time::Instant;

/// Tells the time that ledgers store and deadlines compare with.
pub trait Clock: Debug + Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_system_clock()
    }
}

/// A clock that runs with tokio's, and so stands still when that one is paused.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    start: Instant,
    base: Timestamp,
}

impl TokioClock {
    /// A clock that shows `base` now. Call inside a runtime.
    pub fn starting_at(base: Timestamp) -> Self {
        Self { start: Instant::now(), base }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.base + self.start.elapsed()
    }
}
