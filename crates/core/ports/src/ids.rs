//! Nonces and owner names: random in production, seeded in tests.

use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A source of unique names and of jitter.
///
/// ```
/// use parallax_ports::Ids;
///
/// // A test repeats itself; two processes never meet.
/// assert_eq!(Ids::seeded(7).next(), Ids::seeded(7).next());
/// assert_ne!(Ids::random().next(), Ids::random().next());
/// assert_eq!(Ids::random().next().len(), 32);
/// ```
#[derive(Debug)]
pub struct Ids(Mutex<StdRng>);

impl Ids {
    /// Names that no other process makes.
    pub fn random() -> Self {
        Self(Mutex::new(rand::make_rng()))
    }

    /// The same names every time.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// A name of 128 random bits, in hexadecimal.
    pub fn next(&self) -> String {
        let mut rng = self.lock();
        format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())
    }

    /// A number in `[0, 1)`, for jitter.
    pub fn unit(&self) -> f64 {
        (self.lock().next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, StdRng> {
        // A panic while holding the lock leaves the generator usable.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
