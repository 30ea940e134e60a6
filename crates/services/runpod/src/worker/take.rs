//! The loop that takes jobs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::platform::Taken;
use super::shared::Shared;
use super::task;

/// Takes jobs until there are to be no more.
///
/// A place is free before a job is asked for. When the platform sends more than was asked for, the
/// rest waits here, as far as there is room.
pub(super) async fn take(shared: Arc<Shared>) {
    let slots = Arc::new(Semaphore::new(0));
    let mut taker = Taker { size: 0, slots, failures: 0, shared };
    while !taker.shared.enough.is_cancelled() {
        taker.once().await;
    }
}

struct Taker {
    shared: Arc<Shared>,
    /// Jobs that may run at once.
    size: usize,
    slots: Arc<Semaphore>,
    /// Failed polls in a row.
    failures: u32,
}

impl Taker {
    async fn once(&mut self) {
        let shared = self.shared.clone();
        let ready = async {
            self.resize().await;
            shared.running.fewer_than(self.size).await;
        };
        let ready = shared.enough.run_until_cancelled(ready).await;
        // The job that freed the place may have been the last.
        if ready.is_none() || shared.enough.is_cancelled() {
            return;
        }
        let timing = &shared.options.timing;
        let busy = shared.running.len();
        let began = Instant::now();
        let poll = shared.platform.take(self.size.saturating_sub(busy).max(1), busy > 0);
        let late = async {
            shared.enough.cancelled().await;
            tokio::time::sleep(timing.last_poll).await;
        };
        let taken = tokio::select! {
            biased;
            taken = poll => taken,
            () = late => return,
        };
        let failed = matches!(taken, Taken::Failed(_));
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        let wait = match taken {
            Taken::Jobs { taken, refused } => {
                for job in taken {
                    self.begin(job);
                }
                for id in refused {
                    self.refuse(id);
                }
                return;
            }
            Taken::Throttled => timing.throttled,
            // The platform holds a poll open; one that does not is not asked in a hot loop.
            Taken::Nothing => (timing.pause / 5).saturating_sub(began.elapsed()),
            Taken::Failed(why) => {
                let wait = self.backoff();
                error!(error = why, ?wait, "cannot take jobs");
                wait
            }
        };
        shared.enough.run_until_cancelled(tokio::time::sleep(wait)).await;
    }

    /// Between half and all of a wait that doubles with each failure.
    fn backoff(&self) -> Duration {
        let timing = &self.shared.options.timing;
        let doubled = timing.backoff * 2u32.pow(self.failures.saturating_sub(1).min(10));
        doubled.min(timing.longest_backoff).mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Asks how many jobs may run at once, and waits with a change until none does.
    async fn resize(&mut self) {
        let options = &self.shared.options;
        let now = if self.size == 0 { options.concurrency } else { self.size };
        let asked = options.modifier.as_ref().map_or(now, |modifier| (modifier.0)(now));
        let size = asked.clamp(1, options.concurrency_limit);
        if size == self.size {
            return;
        }
        if size != asked {
            let most = options.concurrency_limit;
            warn!(asked, size, "concurrency: allowed are 1 to {most}");
        }
        self.shared.running.idle().await;
        info!(size, "jobs at once");
        self.size = size;
        self.slots = Arc::new(Semaphore::new(size));
    }

    fn begin(&self, job: crate::Job) {
        match self.shared.running.begin(&job.id, &self.shared.end) {
            Some(place) => {
                let task = task::run(self.shared.clone(), job, place, self.slots.clone());
                tokio::spawn(task);
            }
            // The one that runs will answer for both.
            None => warn!(request_id = job.id, "job is in progress already"),
        }
    }

    fn refuse(&self, id: String) {
        // Nothing is said about one that runs.
        if let Some(place) = self.shared.running.begin(&id, &self.shared.end) {
            tokio::spawn(task::refuse(self.shared.clone(), id, place));
        }
    }
}
