//! The worker: takes jobs from the platform and gives results back.
//!
//! Four things go on beside each other: one loop polls for jobs, one for jobs to stop, each job
//! has a task, and heartbeats have a thread of their own.

mod heartbeat;
mod platform;
mod running;
mod stops;
mod take;
mod task;

pub use heartbeat::report_unhealthy;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::body::Reporter;
use crate::{Handler, Settings, SettingsError};
use heartbeat::Heartbeat;
use platform::Platform;
use running::Running;

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
    fn validate(&self) -> Result<(), SettingsError> {
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

/// Why a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It was told to.
    Shutdown,
    /// A job, or the options, asked for a fresh worker.
    Refresh,
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub reason: Reason,
    /// Jobs that did not finish in time. The platform was told nothing about them, as when a
    /// worker dies.
    pub left: Vec<String>,
}

/// A worker of the platform.
#[derive(Debug)]
pub struct Worker {
    platform: Platform,
    handler: Arc<dyn Handler>,
    options: Options,
    settings: Settings,
}

/// What the worker's tasks have in common.
#[derive(Debug)]
struct Shared {
    platform: Platform,
    handler: Arc<dyn Handler>,
    options: Options,
    running: Running,
    reporter: Reporter,
    /// Cancelled when no further job is to be taken.
    enough: CancellationToken,
    /// Cancelled when everything is to stop.
    end: CancellationToken,
}

impl Worker {
    /// Makes the worker. Contacts nobody.
    ///
    /// # Errors
    /// Names the setting, its value and what is allowed.
    pub fn new(
        settings: Settings,
        options: Options,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, SettingsError> {
        options.validate()?;
        let platform = Platform::new(&settings, &options)?;
        Ok(Self { platform, handler, options, settings })
    }

    /// Works until `shutdown` is cancelled or a job asks for a fresh worker, then lets running
    /// jobs finish within [`Options::drain`].
    ///
    /// # Errors
    /// When heartbeats cannot be started.
    ///
    /// # Cancel safety
    /// Dropping it stops the running jobs without a result.
    pub async fn run(self, shutdown: CancellationToken) -> std::io::Result<Ended> {
        let running = Running::default();
        let heartbeat = Heartbeat::start(&self.settings, running.clone())?;
        let end = CancellationToken::new();
        let enough = shutdown.child_token();
        let _dropped = (end.clone().drop_guard(), enough.clone().drop_guard());
        let shared = Arc::new(Shared {
            platform: self.platform,
            handler: self.handler,
            options: self.options,
            running,
            reporter: Reporter::new(&self.settings.hostname, &self.settings.worker_id),
            enough,
            end,
        });
        let stops = tokio::spawn(stops::watch(shared.clone()));
        let taking = tokio::spawn(take::take(shared.clone()));
        info!(worker = self.settings.worker_id, "worker takes jobs");

        shared.enough.cancelled().await;
        let reason = if shutdown.is_cancelled() { Reason::Shutdown } else { Reason::Refresh };
        info!(?reason, running = shared.running.len(), "worker takes no more jobs");
        let drained = async {
            // The last poll may still bring jobs.
            if let Err(error) = taking.await
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
            shared.running.idle().await;
        };
        let in_time = tokio::time::timeout(shared.options.drain, drained).await.is_ok();
        let left = if in_time { Vec::new() } else { shared.running.ids() };
        if !left.is_empty() {
            warn!(jobs = left.join(","), "jobs did not finish in time and are left behind");
        }
        shared.end.cancel();
        // They notice within their grace; this is for those that do not.
        let grace = shared.options.stop_grace + Duration::from_secs(1);
        let _ = tokio::time::timeout(grace, shared.running.idle()).await;
        // It ends with `end` and has nothing to say.
        let _ = stops.await;
        drop(heartbeat);
        Ok(Ended { reason, left })
    }
}
