//! Asking for reassembly when a job's last segment is complete.
//!
//! The ledger alone decides, and its answer depends on nothing but what it holds, so it does not
//! matter when it is asked, only that it is asked once more after the last completion. It is asked
//! at once where this process has seen every segment complete; otherwise when none has completed
//! for a moment, as others may have done the rest. A process that dies in that moment leaves the
//! question to the sweep, which asks it of every unfinished job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parallax_job::{JobId, ReassemblyMessage, Segment};
use parallax_ports::Result;
use parallax_ports::ledger::TriggerOutcome;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Mutant, Pipeline, metrics};

/// How long no segment of a job must have completed before others are thought of.
const QUIET: Duration = Duration::from_secs(10);
/// Jobs that are kept in mind.
const REMEMBERED: usize = 1000;

/// Jobs about which the ledger is to be asked.
#[derive(Debug, Default)]
pub(crate) struct Triggers {
    jobs: Mutex<BTreeMap<JobId, Progress>>,
    changed: Notify,
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

    fn next_due(&self) -> Option<Instant> {
        self.lock().values().filter_map(|progress| progress.due).min()
    }

    /// Jobs that are due at `now`, or all that wait; they wait no longer.
    fn take_due(&self, now: Option<Instant>) -> Vec<JobId> {
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

    fn forget(&self, job_id: &JobId) {
        self.lock().remove(job_id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, Progress>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks about jobs as they fall due. Once `ending`, asks about all that wait and returns.
pub(crate) async fn run(pipeline: Arc<Pipeline>, ending: CancellationToken) {
    let triggers = &pipeline.triggers;
    loop {
        let due = triggers.next_due();
        tokio::select! {
            biased;
            () = ending.cancelled() => break,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            () = triggers.changed.notified() => continue,
        }
        pipeline.ask(triggers.take_due(Some(Instant::now()))).await;
    }
    pipeline.ask(triggers.take_due(None)).await;
}

impl Pipeline {
    async fn ask(&self, jobs: Vec<JobId>) {
        for job_id in jobs {
            if let Err(error) = self.trigger(&job_id).await {
                warn!(%job_id, error = %error.chain(), "could not ask for reassembly; the sweep will");
            }
        }
    }

    /// Sends the job's reassembly message if it is due and nobody else has.
    pub(crate) async fn trigger(&self, job_id: &JobId) -> Result<()> {
        let nonce = self.ports.ids.next();
        let mut resend = self.config.resend;
        if self.config.is(Mutant::ConfirmBeforeSend) {
            resend.unfinished = Duration::from_secs(u64::from(u32::MAX));
        }
        if self.config.is(Mutant::TriggerOnce) {
            resend.unconfirmed = Duration::from_secs(u64::from(u32::MAX));
        }
        let verb = || self.ledger().trigger(job_id, &nonce, resend, self.now());
        match self.persist("trigger", verb).await? {
            TriggerOutcome::Send => {}
            TriggerOutcome::Sent => {
                self.triggers.forget(job_id);
                return Ok(());
            }
            TriggerOutcome::Pending if self.config.is(Mutant::TriggerUnclaimed) => {}
            TriggerOutcome::NotReady | TriggerOutcome::Pending => return Ok(()),
        }
        let confirm = || self.ledger().triggered(job_id, self.now());
        if self.config.is(Mutant::ConfirmBeforeSend) {
            confirm().await?;
        }
        let body = ReassemblyMessage { job_id: job_id.clone() }.body();
        self.persist("send", || self.reassembly_queue().send(&body, &[])).await?;
        self.count(metrics::TRIGGERS, &[]);
        info!(%job_id, "reassembly asked for");
        self.persist("triggered", confirm).await?;
        self.triggers.forget(job_id);
        Ok(())
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
