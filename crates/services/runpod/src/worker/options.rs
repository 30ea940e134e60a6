//! How a worker works.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::SettingsError;

/// Says how many jobs may run at once, given how many may now. Asked before each poll.
#[derive(Clone)]
pub struct Modifier(pub Arc<dyn Fn(usize) -> usize + Send + Sync>);

impl fmt::Debug for Modifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Modifier")
    }
}

/// How a worker works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Jobs that may run at once, 1 to `concurrency_limit`. Defaults to 1.
    pub concurrency: usize,
    /// Changes it while the worker runs; a change takes effect when no job is running. Defaults to
    /// none.
    pub modifier: Option<Modifier>,
    /// The most that a modifier is believed. Defaults to 64.
    pub concurrency_limit: usize,
    /// Ends the worker after its first job and asks the platform for another. Defaults to false.
    pub refresh_worker: bool,
    /// Repeats the parts of a streamed result in the result. Defaults to false.
    pub aggregate: bool,
    /// How long running jobs may go on after the signal to end. Defaults to 100 s.
    pub drain: Duration,
    /// How long a stopped job may take to notice before it is dropped. Defaults to 10 s.
    pub stop_grace: Duration,
    /// The largest answer with jobs that is read, in bytes. Defaults to 32 MiB.
    pub longest_answer: usize,
    /// The protocol's waits.
    pub timing: Timing,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 1,
            modifier: None,
            concurrency_limit: 64,
            refresh_worker: false,
            aggregate: false,
            drain: Duration::from_secs(100),
            stop_grace: Duration::from_secs(10),
            longest_answer: 32 << 20,
            timing: Timing::default(),
        }
    }
}

impl Options {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        if (1..=self.concurrency_limit).contains(&self.concurrency) {
            return Ok(());
        }
        let (found, most) = (self.concurrency, self.concurrency_limit);
        Err(SettingsError::new(format!("concurrency {found}: allowed are 1 to {most}")))
    }
}

/// The protocol's waits. The defaults are the recorded ones where the protocol has them.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Longest poll. Defaults to 90 s.
    pub poll: Duration,
    /// Rest after 429. Defaults to 5 s.
    pub throttled: Duration,
    /// Least time between polls that bring nothing. Defaults to 1 s for jobs to stop and a fifth
    /// of it for jobs to take.
    pub pause: Duration,
    /// First rest after a failed poll; doubled each time, with jitter. Defaults to 1 s.
    pub backoff: Duration,
    /// Longest such rest. Defaults to 30 s.
    pub longest_backoff: Duration,
    /// Waits between the attempts to post. Defaults to 2 s and 3 s: three attempts.
    pub retries: Vec<Duration>,
    /// Longest attempt to post. Defaults to 120 s.
    pub post: Duration,
    /// How long a poll that is under way may still bring jobs after the signal to end: one that is
    /// dropped then is lost until the platform misses it. Defaults to 3 s.
    pub last_poll: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(90),
            throttled: Duration::from_secs(5),
            pause: Duration::from_secs(1),
            backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(30),
            retries: vec![Duration::from_secs(2), Duration::from_secs(3)],
            post: Duration::from_secs(120),
            last_poll: Duration::from_secs(3),
        }
    }
}
