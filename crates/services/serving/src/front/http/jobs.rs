//! Jobs: what was asked, how far it is, how it ended; kept for a while, and only so many.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parallax_job::Timestamp;
use parallax_ports::{Clock, Ids};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::view::{JobState, JobView};
use crate::{Failure, FailureKind, Handle, Parts, Progress};

/// How many jobs there may be, how long ended ones are kept, and how many may be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Ended jobs that are kept at most. Defaults to 1000.
    pub jobs: usize,
    /// Jobs that have not ended at most: places bound the runs, but any number of identical
    /// requests joins one. Defaults to 1000.
    pub live: usize,
    /// Streams of events at once: each holds a connection as long as its job goes on. Defaults to
    /// 256.
    pub streams: usize,
    /// Time for which an ended job is kept at most. Defaults to an hour.
    pub time: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { jobs: 1000, live: 1000, streams: 256, time: Duration::from_secs(3600) }
    }
}

/// Bytes of what ended jobs told before their answers, kept for readers that come back.
const PART_BYTES: usize = 64 << 20;

/// How a job ended.
#[derive(Debug, Clone)]
struct Ended {
    outcome: Result<Value, Failure>,
    at: Timestamp,
}

/// One job.
#[derive(Debug)]
pub(super) struct Job {
    id: String,
    operation: &'static str,
    created: Timestamp,
    expected: Duration,
    progress: watch::Receiver<Progress>,
    parts: Parts,
    ended: watch::Receiver<Option<Ended>>,
    cancel: CancellationToken,
}

impl Job {
    /// The job as a resource.
    pub(super) fn view(&self) -> JobView {
        let progress = self.progress.borrow().clone();
        let waits = progress.stage == Progress::WAITING;
        let view = JobView {
            id: self.id.clone(),
            operation: self.operation,
            state: if waits { JobState::Queued } else { JobState::Running },
            created_ms: self.created.0,
            ended_ms: None,
            expected_seconds: self.expected.as_secs_f64(),
            progress,
            result: None,
            error: None,
        };
        match self.ended.borrow().clone() {
            Some(Ended { outcome, at }) => view.ended(outcome, at),
            None => view,
        }
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Waits for the end.
    pub(super) async fn over(&self) {
        // The sender ends only after it has told.
        let _ = self.ended.clone().wait_for(Option::is_some).await;
    }

    /// Leaves the run, and waits until that is known.
    pub(super) async fn cancel(&self) {
        self.cancel.cancel();
        self.over().await;
    }

    fn ended_at(&self) -> Option<Timestamp> {
        self.ended.borrow().as_ref().map(|ended| ended.at)
    }
}

/// Every job.
#[derive(Debug)]
pub(super) struct Jobs {
    retention: Retention,
    clock: Arc<dyn Clock>,
    ids: Ids,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    jobs: BTreeMap<String, Entry>,
    /// In the order of their beginning.
    order: VecDeque<String>,
    keys: BTreeMap<String, (String, [u8; 32])>,
}

#[derive(Debug)]
struct Entry {
    job: Arc<Job>,
    key: Option<String>,
}

impl Jobs {
    pub(super) fn new(retention: Retention, clock: Arc<dyn Clock>) -> Self {
        Self { retention, clock, ids: Ids::random(), table: Mutex::default() }
    }

    /// The job that was begun under a key by the same request.
    ///
    /// # Errors
    /// `Conflict` when it was another request.
    pub(super) fn of_key(&self, key: &str, request: &str) -> Result<Option<Arc<Job>>, Failure> {
        let table = self.swept();
        let Some((id, digest)) = table.keys.get(key) else { return Ok(None) };
        if *digest != digest_of(request) {
            let message = "it was used for another request";
            let failure = Failure::new(FailureKind::Conflict, message);
            return Err(failure.of("Idempotency-Key"));
        }
        Ok(table.jobs.get(id).map(|entry| entry.job.clone()))
    }

    /// Keeps a run as a job: it goes on whether anybody asks for it or not.
    pub(super) fn add(
        &self,
        operation: &'static str,
        handle: Handle,
        key: Option<(String, String)>,
    ) -> Arc<Job> {
        let (tell, ended) = watch::channel(None);
        let cancel = CancellationToken::new();
        let job = Arc::new(Job {
            id: self.ids.next(),
            operation,
            created: self.clock.now(),
            expected: handle.expected(),
            progress: handle.progress(),
            parts: handle.parts(),
            ended,
            cancel: cancel.clone(),
        });
        let clock = self.clock.clone();
        tokio::spawn(async move {
            let outcome = cancel.run_until_cancelled(handle.outcome()).await;
            // Others may wait for the same run: this job leaves it, no more.
            drop(handle);
            let outcome = outcome.unwrap_or_else(|| Err(Failure::cancelled()));
            tell.send_replace(Some(Ended { outcome, at: clock.now() }));
        });
        let mut table = self.swept();
        let named = key.map(|(key, request)| {
            table.keys.insert(key.clone(), (job.id.clone(), digest_of(&request)));
            key
        });
        table.order.push_back(job.id.clone());
        table.jobs.insert(job.id.clone(), Entry { job: job.clone(), key: named });
        job
    }

    /// # Errors
    /// `Overloaded` when as many jobs go on as may.
    pub(super) fn room(&self) -> Result<(), Failure> {
        let most = self.retention.live;
        let live = self.swept().jobs.values().filter(|e| e.job.ended_at().is_none()).count();
        if live < most {
            return Ok(());
        }
        let message = format!("{live} jobs go on; at most {most} may");
        Err(Failure::new(FailureKind::Overloaded, message))
    }

    /// A job by its id.
    ///
    /// # Errors
    /// `NotFound`.
    pub(super) fn get(&self, id: &str) -> Result<Arc<Job>, Failure> {
        let found = self.swept().jobs.get(id).map(|entry| entry.job.clone());
        let message = "there is no such job; ended jobs are kept for a while only";
        found.ok_or_else(|| Failure::new(FailureKind::NotFound, message))
    }

    /// The table without what has been kept for long enough.
    fn swept(&self) -> MutexGuard<'_, Table> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = Timestamp(self.clock.now().0 - self.retention.time.as_millis() as i64);
        let Table { jobs, order, keys } = &mut *table;
        let ended = |id: &String| jobs.get(id).and_then(|entry| entry.job.ended_at());
        let over = order.iter().filter(|id| ended(id).is_some()).count();
        let mut surplus = over.saturating_sub(self.retention.jobs);
        let mut gone = Vec::new();
        order.retain(|id| {
            let Some(at) = ended(id) else { return true };
            let keep = surplus == 0 && at >= oldest;
            if !keep {
                surplus = surplus.saturating_sub(1);
                gone.push(id.clone());
            }
            keep
        });
        forget_parts(order.iter().rev().filter_map(|id| jobs.get(id)));
        for id in gone {
            if let Some(Entry { key: Some(key), .. }) = jobs.remove(&id)
                && keys.get(&key).is_some_and(|(of, _)| *of == id)
            {
                keys.remove(&key);
            }
        }
        table
    }
}

/// Frees the parts of ended jobs beyond a bound, those of the newest kept.
fn forget_parts<'a>(newest_first: impl Iterator<Item = &'a Entry>) {
    let mut bytes = 0usize;
    for Entry { job, .. } in newest_first.filter(|entry| entry.job.ended_at().is_some()) {
        bytes = bytes.saturating_add(job.parts.bytes());
        if bytes > PART_BYTES {
            job.parts.forget();
        }
    }
}

fn digest_of(request: &str) -> [u8; 32] {
    Sha256::digest(request.as_bytes()).into()
}
