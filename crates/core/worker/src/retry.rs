//! Repeating a port call in place, and waiting between rounds of a loop.

use std::future::Future;
use std::time::Duration;

use parallax_ports::Result;
use tokio::time::sleep;
use tracing::warn;

use crate::context::Context;
use crate::delays::{FIRST_BACKOFF, LONGEST_BACKOFF, LONGEST_CALL_PAUSE};
use crate::metrics;

impl Context {
    /// Repeats a call that is safe to repeat until it succeeds, fails for good, or `call_tries`
    /// are used up. Waits between tries with full jitter.
    pub(crate) async fn persist<T, F>(
        &self,
        what: &'static str,
        mut call: impl FnMut() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut wait = self.config.call_backoff;
        for left in (0..self.config.call_tries).rev() {
            match call().await {
                Err(error) if error.is_retryable() && left > 0 => {
                    warn!(what, kind = error.kind().as_str(), error = %error.chain(), "trying again");
                    self.count(metrics::CALL_RETRIES, &[("kind", error.kind().as_str())]);
                    let asked = error.retry_after().unwrap_or_default().min(LONGEST_CALL_PAUSE);
                    sleep(asked.max(wait.mul_f64(self.ports.ids.unit()))).await;
                    wait *= 2;
                }
                done => return done,
            }
        }
        unreachable!("the last try returns")
    }
}

/// Growing waits of a loop whose port fails, reset by success.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(FIRST_BACKOFF)
    }

    pub(crate) fn reset(&mut self) {
        self.0 = FIRST_BACKOFF;
    }

    /// The next wait, jittered.
    pub(crate) fn next(&mut self, context: &Context) -> Duration {
        let wait = context.jittered(self.0);
        self.0 = (self.0 * 2).min(LONGEST_BACKOFF);
        wait
    }
}
