//! Wall-clock time as a dependency, so that deadlines can be tested.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

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

/// How far this machine's clock and a service's may be apart before it counts: answers tell the time
/// in whole seconds and are on their way for a while.
const TOLERATED_MS: i64 = 2000;

/// What a service's answers say about its clock. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ServiceClock(Arc<Mutex<Option<i64>>>);

impl ServiceClock {
    /// An answer that came at `ours` by this machine's clock was made at `theirs` by the service's.
    pub fn told(&self, theirs: Timestamp, ours: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ours.0 - theirs.0);
    }

    /// By how many milliseconds this machine's clock is ahead of the service's, less than 0 when it
    /// is behind; `None` until an answer came.
    pub fn ahead_ms(&self) -> Option<i64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This machine's clock, set right by that of a service, so that everybody who asks the service
/// compares times of one clock.
///
/// ```
/// use std::sync::Arc;
///
/// use parallax_job::Timestamp;
/// use parallax_ports::{Clock, ServiceClock, SetClock};
///
/// /// A machine whose clock was never set.
/// #[derive(Debug)]
/// struct Wrong;
///
/// impl Clock for Wrong {
///     fn now(&self) -> Timestamp {
///         Timestamp(0)
///     }
/// }
///
/// let service = ServiceClock::default();
/// let clock = SetClock::new(Arc::new(Wrong), service.clone());
/// assert_eq!(clock.now(), Timestamp(0));
///
/// // The service's first answer tells the time, and all that compares times has the service's.
/// service.told(Timestamp(1_700_000_000_000), Wrong.now());
/// assert_eq!(clock.now(), Timestamp(1_700_000_000_000));
/// ```
#[derive(Debug, Clone)]
pub struct SetClock {
    inner: Arc<dyn Clock>,
    service: ServiceClock,
}

impl SetClock {
    /// `inner` as `service` would show it.
    pub fn new(inner: Arc<dyn Clock>, service: ServiceClock) -> Self {
        Self { inner, service }
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        let ahead = self.service.ahead_ms().filter(|ahead| ahead.abs() > TOLERATED_MS);
        Timestamp(self.inner.now().0 - ahead.unwrap_or(0))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(i64);

    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp(self.0)
        }
    }

    #[test]
    fn a_clock_is_set_by_what_a_service_tells_and_small_differences_do_not_count() {
        let service = ServiceClock::default();
        let clock = SetClock::new(Arc::new(Fixed(10_000_000)), service.clone());
        assert_eq!((clock.now(), service.ahead_ms()), (Timestamp(10_000_000), None));
        for (theirs, shown) in [
            (6_400_000, 6_400_000),
            (13_600_000, 13_600_000),
            (9_998_500, 10_000_000),
            (10_001_500, 10_000_000),
        ] {
            service.told(Timestamp(theirs), Timestamp(10_000_000));
            assert_eq!(clock.now(), Timestamp(shown), "{theirs}");
        }
        assert_eq!(service.ahead_ms(), Some(-1500));
    }
}
