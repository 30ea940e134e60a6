//! The worker: takes jobs from the platform and gives results back.
//!
//! Four things go on beside each other: one loop polls for jobs, one for jobs to stop, each job
//! has a task, and heartbeats have a thread of their own.

mod heartbeat;
mod options;
mod platform;
mod running;
mod shared;
mod stops;
mod take;
mod task;

pub use heartbeat::report_unhealthy;
pub use options::{Modifier, Options, Timing};

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::body::Reporter;
use crate::{Handler, Settings, SettingsError};
use heartbeat::Heartbeat;
use platform::Platform;
use running::Running;
use shared::Shared;

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
