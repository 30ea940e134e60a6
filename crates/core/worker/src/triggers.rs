//! Jobs about which the ledger is to be asked whether they are complete, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parallax_job::{JobId, Segment};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::delays::QUIET;

/// Jobs that are kept in mind.
const REMEMBERED: usize = 1000;

/// Jobs about which the ledger is to be asked.
#[derive(Debug, Default)]
pub(crate) struct Triggers {
    jobs: Mutex<BTreeMap<JobId, Progress>>,
    pub(crate) changed: Notify,
}

#[derive(Debug, Default)]
struct Progress {
    /// What this process has seen complete, of a cut into `total`.
    total: u32,
    seen: BTreeSet<u32>,
    due: Option<Instant>,
    last: Option<Instant>,
}

impl Triggers {
    /// A segment was completed.
    pub(crate) fn completed(&self, segment: &Segment) {
        let now = Instant::now();
        let mut jobs = self.lock();
        if jobs.len() >= REMEMBERED {
            jobs.retain(|_, progress| progress.due.is_some());
        }
        let progress = jobs.entry(segment.job_id.clone()).or_default();
        if progress.total != segment.total {
            *progress = Progress { total: segment.total, ..Progress::default() };
        }
        progress.seen.insert(segment.index);
        progress.last = Some(now);
        let all = progress.seen.len() >= progress.total as usize;
        progress.due = Some(if all { now } else { now + QUIET });
        drop(jobs);
        self.changed.notify_one();
    }

    /// A segment was found complete whose completion may not have been followed up.
    pub(crate) fn doubted(&self, job_id: &JobId) {
        let mut jobs = self.lock();
        let progress = jobs.entry(job_id.clone()).or_default();
        progress.due.get_or_insert(Instant::now() + QUIET);
        drop(jobs);
        self.changed.notify_one();
    }

    /// Whether a segment of the job was completed here within `time`.
    pub(crate) fn progressed_within(&self, job_id: &JobId, time: Duration) -> bool {
        let jobs = self.lock();
        let last = jobs.get(job_id).and_then(|progress| progress.last);
        last.is_some_and(|at| at.elapsed() < time)
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.lock().values().filter_map(|progress| progress.due).min()
    }

    /// Jobs that are due at `now`, or all that wait; they wait no longer.
    pub(crate) fn take_due(&self, now: Option<Instant>) -> Vec<JobId> {
        let mut jobs = self.lock();
        let due = jobs.iter_mut().filter(|(_, progress)| {
            progress.due.is_some_and(|due| now.is_none_or(|now| due <= now))
        });
        due.map(|(job_id, progress)| {
            progress.due = None;
            job_id.clone()
        })
        .collect()
    }

    pub(crate) fn forget(&self, job_id: &JobId) {
        self.lock().remove(job_id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, Progress>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_job::Mode;
    use tokio::time::advance;

    fn segment(job: &str, index: u32, total: u32) -> Segment {
        Segment::new(job.parse().unwrap(), index, total, Mode::Sbs).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_one_question_and_the_last_segment_asks_at_once() {
        let triggers = Triggers::default();
        for index in 0..4 {
            triggers.completed(&segment("a", index, 6));
            advance(QUIET / 2).await;
        }
        assert!(triggers.take_due(Some(Instant::now())).is_empty(), "it goes on");
        advance(QUIET / 2).await;
        assert_eq!(triggers.take_due(Some(Instant::now())).len(), 1, "others may have the rest");
        assert_eq!(triggers.next_due(), None);
        triggers.completed(&segment("a", 4, 6));
        triggers.completed(&segment("a", 5, 6));
        assert_eq!(triggers.next_due(), Some(Instant::now()));
        assert_eq!(triggers.take_due(None).len(), 1);
        triggers.completed(&segment("a", 0, 7));
        assert_eq!(triggers.next_due(), Some(Instant::now() + QUIET), "another cut");
    }
}
