//! Bounded repetition of a decision.

use std::time::Duration;

use parallax_ports::{Error, Ids, Kind, Result};

/// How often a decision is made anew because somebody was quicker.
const TRIES: u32 = 12;

/// Bounded repetition with growing, jittered pauses.
#[derive(Debug, Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Waits before the next try.
    ///
    /// # Errors
    /// Of `kind` when there were too many.
    pub(super) async fn pause(&mut self, ids: &Ids, kind: Kind, what: &str) -> Result<()> {
        self.0 += 1;
        if self.0 >= TRIES {
            return Err(Error::new(kind, format!("{what}: still in vain after {TRIES} tries")));
        }
        let most = Duration::from_millis(10 << self.0.min(6));
        tokio::time::sleep(most.mul_f64(ids.unit())).await;
        Ok(())
    }
}
