//! Which jobs are in progress.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The jobs in progress, each with what stops it. Read from any thread.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    jobs: Mutex<BTreeMap<String, CancellationToken>>,
    count: watch::Sender<usize>,
}

impl Running {
    /// Enters a job, unless it is there already; it is stopped with `parent`.
    pub(super) fn begin(&self, id: &str, parent: &CancellationToken) -> Option<Place> {
        let mut jobs = self.lock();
        if jobs.contains_key(id) {
            return None;
        }
        let stopped = parent.child_token();
        jobs.insert(id.to_owned(), stopped.clone());
        self.0.count.send_replace(jobs.len());
        Some(Place { running: self.clone(), id: id.to_owned(), stopped })
    }

    /// Stops a job; whether there is such a one.
    pub(super) fn stop(&self, id: &str) -> bool {
        let jobs = self.lock();
        let Some(job) = jobs.get(id) else { return false };
        job.cancel();
        true
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns when fewer than `count` jobs are in progress.
    pub(super) async fn fewer_than(&self, count: usize) {
        // The sender lives as long as this does.
        let _ = self.0.count.subscribe().wait_for(|now| *now < count).await;
    }

    /// Returns when no job is in progress.
    pub(super) async fn idle(&self) {
        self.fewer_than(1).await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, CancellationToken>> {
        // Every change is one insertion or removal.
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job's place among those in progress, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    running: Running,
    id: String,
    stopped: CancellationToken,
}

impl Place {
    /// Cancelled when the job is to stop.
    pub(super) fn stopped(&self) -> &CancellationToken {
        &self.stopped
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut jobs = self.running.lock();
        jobs.remove(&self.id);
        self.running.0.count.send_replace(jobs.len());
    }
}
