//! The ledger in maps under one lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use parallax_job::{JobId, JobStatus, Segment, SegmentCompletion, Timestamp, Uri};

use super::lock;
use parallax_ports::ledger::rules::{self, Change};
use parallax_ports::ledger::{
    Advance, AttemptError, Completed, Cost, Cursor, Ended, Fence, Holder, HolderId, Intent,
    IntentOutcome, Job, Lock, Resend, Reserve, SegmentRow, SegmentState, SomeJobs, TriggerOutcome,
    TriggerRow,
};
use parallax_ports::{Error, Kind, Ledger, Locations, OperatorLedger, Place, Result, Switches};

/// A ledger that lives as long as the process.
///
/// One attempt, from its permit to its completion, and what a process that lost it may still do:
///
/// ```
/// use parallax_conformance::memory::MemoryLedger;
/// use parallax_job::{JobId, Mode, Segment, Timestamp};
/// use parallax_ports::ledger::{Completed, HolderId, Intent, IntentOutcome, Reserve};
/// use parallax_ports::{Custody, Ledger};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ledger = MemoryLedger::default();
/// let (now, later) = (Timestamp(1_000), Timestamp(61_000));
///
/// // One permit for all of a deployment: the second holder waits.
/// let (mine, theirs) = (HolderId("mine".into()), HolderId("theirs".into()));
/// assert_eq!(ledger.reserve(&mine, 1, later, now).await?, Reserve::Granted);
/// assert_eq!(ledger.reserve(&theirs, 1, later, now).await?, Reserve::Full);
///
/// // The intent is recorded before a backend is asked, and binds the permit to the attempt.
/// let job: JobId = "a-job".parse()?;
/// let intent = Intent {
///     segment: Segment::new(job.clone(), 0, 2, Mode::Sbs)?,
///     holder: mine.clone(),
///     nonce: "first".into(),
///     custody: Custody::Caller,
///     input: "s3://films/in.mp4".parse()?,
///     output: "s3://films/out.mp4".parse()?,
///     deadline: later,
///     lease: None,
///     now,
/// };
/// let IntentOutcome::Recorded(row) = ledger.record_intent(&intent).await? else {
///     panic!("nobody else is at this segment");
/// };
/// assert_eq!((row.attempt, row.holder.as_ref()), (1, Some(&mine)));
///
/// // The completion is written once, by whoever has the attempt's fence, and gives the permit back.
/// assert_eq!(ledger.complete(&row.fence(), true, now).await?, Completed::Recorded);
/// assert_eq!(ledger.complete(&row.fence(), true, now).await?, Completed::Already);
/// assert_eq!(ledger.completions(&job, 2).await?.len(), 1);
/// assert_eq!(ledger.reserve(&theirs, 1, later, now).await?, Reserve::Granted);
/// # Ok(())
/// # }
/// ```
///
/// Roles that an operator pauses stay so for every process, until they are let go on:
///
/// ```
/// use parallax_conformance::memory::MemoryLedger;
/// use parallax_ports::Switches;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> parallax_ports::Result<()> {
/// let ledger = MemoryLedger::default();
/// assert!(ledger.set_paused("segments", true).await?);
/// assert!(!ledger.set_paused("segments", true).await?, "it was already");
/// assert!(ledger.paused().await?.contains("segments"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct MemoryLedger {
    state: Mutex<State>,
    watch: Option<Watch>,
}

type OnChange = dyn Fn(&Change) + Send + Sync;

struct Watch(Box<OnChange>);

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

#[derive(Debug, Default)]
struct State {
    holders: BTreeMap<HolderId, Holder>,
    segments: BTreeMap<Segment, SegmentRow>,
    locations: BTreeMap<Uri, Segment>,
    completions: BTreeMap<(JobId, u32), SegmentCompletion>,
    jobs: BTreeMap<JobId, Job>,
    triggers: BTreeMap<JobId, TriggerRow>,
    paused: BTreeSet<String>,
}

impl State {
    fn apply(&mut self, change: Change) {
        for id in change.remove_holders {
            self.holders.remove(&id);
        }
        if let Some(holder) = change.put_holder {
            self.holders.insert(holder.id.clone(), holder);
        }
        if let Some(row) = change.segment {
            for uri in rules::left_behind(self.segments.get(&row.segment), &row) {
                self.locations.insert(uri.clone(), row.segment.clone());
            }
            self.segments.insert(row.segment.clone(), row);
        }
        if let Some(completion) = change.completion {
            let key = (completion.job_id.clone(), completion.segment_index);
            self.completions.insert(key, completion);
        }
        if let Some(job) = change.job {
            self.jobs.insert(job.job_id.clone(), job);
        }
        if let Some(trigger) = change.trigger {
            self.triggers.insert(trigger.job_id.clone(), trigger);
        }
    }
}

impl MemoryLedger {
    /// A ledger that shows `watch` every change at the moment it is made, before anybody can read
    /// it. The function must not call the ledger.
    pub fn watched(watch: impl Fn(&Change) + Send + Sync + 'static) -> Self {
        Self { state: Mutex::default(), watch: Some(Watch(Box::new(watch))) }
    }

    /// Applies a rule's answer and passes its outcome on.
    fn commit<T>(&self, rule: impl FnOnce(&State) -> (T, Change)) -> Result<T> {
        let mut state = lock(&self.state);
        let (outcome, change) = rule(&state);
        if let Some(Watch(watch)) = &self.watch {
            watch(&change);
        }
        state.apply(change);
        Ok(outcome)
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn reserve(
        &self,
        holder: &HolderId,
        limit: u32,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Reserve> {
        self.commit(|s| {
            let holders: Vec<_> = s.holders.values().cloned().collect();
            rules::reserve(&holders, holder, limit, until, now)
        })
    }

    async fn unreserve(&self, holder: &HolderId) -> Result<()> {
        let mut state = lock(&self.state);
        if state.holders.get(holder).is_some_and(|h| h.work.is_none()) {
            state.holders.remove(holder);
        }
        Ok(())
    }

    async fn holders(&self) -> Result<Vec<Holder>> {
        Ok(lock(&self.state).holders.values().cloned().collect())
    }

    async fn record_intent(&self, intent: &Intent) -> Result<IntentOutcome> {
        self.commit(|s| {
            rules::record_intent(
                s.segments.get(&intent.segment),
                &s.holders.values().cloned().collect::<Vec<_>>(),
                s.jobs.get(&intent.segment.job_id),
                intent,
            )
        })
    }

    async fn record_invoked(
        &self,
        fence: &Fence,
        locations: &Locations,
        deadline: Timestamp,
    ) -> Result<Ended> {
        self.commit(|s| {
            rules::record_invoked(s.segments.get(&fence.segment), fence, locations, deadline)
        })
    }

    async fn renew(&self, fence: &Fence, deadline: Timestamp) -> Result<Ended> {
        self.commit(|s| rules::renew(s.segments.get(&fence.segment), fence, deadline))
    }

    async fn complete(&self, fence: &Fence, release: bool, now: Timestamp) -> Result<Completed> {
        self.commit(|s| {
            let key = (fence.segment.job_id.clone(), fence.segment.index);
            let row = s.segments.get(&fence.segment);
            let job = s.jobs.get(&fence.segment.job_id);
            rules::complete(row, s.completions.get(&key), job, fence, release, now)
        })
    }

    async fn complete_and_reserve(
        &self,
        fence: &Fence,
        next: &HolderId,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(Completed, Reserve)> {
        self.commit(|s| {
            let key = (fence.segment.job_id.clone(), fence.segment.index);
            let (row, existing) = (s.segments.get(&fence.segment), s.completions.get(&key));
            let reservation = Holder { id: next.clone(), deadline: until, work: None };
            let mine = s.holders.get(next);
            let job = s.jobs.get(&fence.segment.job_id);
            rules::complete_and_reserve(row, existing, job, mine, fence, reservation, now)
        })
    }

    async fn release(&self, fence: &Fence) -> Result<Ended> {
        self.commit(|s| rules::release(s.segments.get(&fence.segment), fence))
    }

    async fn retry(
        &self,
        fence: &Fence,
        at: Timestamp,
        error: &AttemptError,
        cost: Cost,
    ) -> Result<Ended> {
        self.commit(|s| rules::retry(s.segments.get(&fence.segment), fence, at, error, cost))
    }

    async fn fail(&self, fence: &Fence, error: &AttemptError, now: Timestamp) -> Result<Ended> {
        self.commit(|s| {
            let job = s.jobs.get(&fence.segment.job_id);
            rules::fail(s.segments.get(&fence.segment), job, fence, error, now)
        })
    }

    async fn reopen(&self, segment: &Segment, now: Timestamp) -> Result<Ended> {
        self.commit(|s| rules::reopen(s.segments.get(segment), s.jobs.get(&segment.job_id), now))
    }

    async fn hasten(&self, segment: &Segment, now: Timestamp) -> Result<Ended> {
        self.commit(|s| rules::hasten(s.segments.get(segment), now))
    }

    async fn segment(&self, segment: &Segment) -> Result<Option<SegmentRow>> {
        Ok(lock(&self.state).segments.get(segment).cloned())
    }

    async fn segments_at(&self, job_id: &JobId, index: u32) -> Result<Vec<SegmentRow>> {
        let rows = self.segments(job_id).await?;
        Ok(rows.into_iter().filter(|row| row.segment.index == index).collect())
    }

    async fn segments(&self, job_id: &JobId) -> Result<Vec<SegmentRow>> {
        let state = lock(&self.state);
        let rows = state.segments.values().filter(|row| row.segment.job_id == *job_id);
        Ok(rows.cloned().collect())
    }

    async fn by_location(&self, location: &Uri) -> Result<Option<Segment>> {
        let state = lock(&self.state);
        if let Some(segment) = state.locations.get(location) {
            return Ok(Some(segment.clone()));
        }
        let holders: Vec<_> = state.holders.values().cloned().collect();
        let work = holders.iter().filter_map(|holder| holder.work.as_ref());
        let rows = work.filter_map(|work| state.segments.get(&work.segment));
        Ok(rules::announced_for(&holders, rows, location).cloned())
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<SegmentRow>> {
        let state = lock(&self.state);
        let waiting = |row: &&SegmentRow| {
            row.state == SegmentState::RetryWait
                && row.next_at <= now
                && state.jobs.get(&row.segment.job_id).is_none_or(|job| !job.status.is_terminal())
        };
        let mut rows: Vec<_> = state.segments.values().filter(waiting).cloned().collect();
        rows.sort_by_key(|row| row.next_at);
        rows.truncate(limit);
        Ok(rows)
    }

    async fn create_job(&self, job: &Job) -> Result<bool> {
        let mut state = lock(&self.state);
        let new = !state.jobs.contains_key(&job.job_id);
        if new {
            state.jobs.insert(job.job_id.clone(), job.clone());
        }
        Ok(new)
    }

    async fn job(&self, job_id: &JobId) -> Result<Option<Job>> {
        Ok(lock(&self.state).jobs.get(job_id).cloned())
    }

    async fn jobs(&self, status: JobStatus) -> Result<Vec<Job>> {
        Ok(lock(&self.state).jobs.values().filter(|job| job.status == status).cloned().collect())
    }

    async fn some_jobs(
        &self,
        status: JobStatus,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<SomeJobs> {
        let state = lock(&self.state);
        let after = |job: &&Job| from.is_none_or(|from| job.job_id.as_str() > from.0.as_str());
        let mut jobs: Vec<_> =
            state.jobs.values().filter(|job| job.status == status).filter(after).cloned().collect();
        let more = jobs.len() > limit;
        jobs.truncate(limit);
        let last = jobs.last().filter(|_| more);
        Ok(SomeJobs { next: last.map(|job| Cursor(job.job_id.to_string())), jobs })
    }

    async fn advance(
        &self,
        job_id: &JobId,
        to: JobStatus,
        total: Option<u32>,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Advance> {
        self.commit(|s| rules::advance(s.jobs.get(job_id), to, total, reason, now))
    }

    async fn completions(&self, job_id: &JobId, total: u32) -> Result<Vec<SegmentCompletion>> {
        let state = lock(&self.state);
        let range = (job_id.clone(), 0)..(job_id.clone(), total);
        let of_total = |c: &&SegmentCompletion| c.total_segments == total;
        Ok(state.completions.range(range).map(|(_, c)| c).filter(of_total).cloned().collect())
    }

    async fn trigger(
        &self,
        job_id: &JobId,
        nonce: &str,
        resend: Resend,
        now: Timestamp,
    ) -> Result<TriggerOutcome> {
        self.commit(|s| {
            let job = s.jobs.get(job_id);
            let total = job.and_then(|job| job.total_segments).unwrap_or(0);
            let range = (job_id.clone(), 0)..(job_id.clone(), total);
            let of_total = |c: &&SegmentCompletion| c.total_segments == total;
            let completed = s.completions.range(range).map(|(_, c)| c).filter(of_total).count();
            let row = s.triggers.get(job_id);
            rules::trigger(job, row, completed as u32, nonce, resend, now)
        })
    }

    async fn triggered(&self, job_id: &JobId, now: Timestamp) -> Result<()> {
        self.commit(|s| ((), rules::triggered(s.jobs.get(job_id), s.triggers.get(job_id), now)))
    }

    async fn lock_reassembly(
        &self,
        job_id: &JobId,
        nonce: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Lock> {
        self.commit(|s| {
            let row = s.triggers.get(job_id);
            rules::lock_reassembly(s.jobs.get(job_id), row, nonce, until, now)
        })
    }

    async fn unlock_reassembly(&self, job_id: &JobId, nonce: &str) -> Result<()> {
        self.commit(|s| ((), rules::unlock_reassembly(s.triggers.get(job_id), nonce)))
    }
}

#[async_trait]
impl OperatorLedger for MemoryLedger {
    async fn latest_jobs(
        &self,
        status: JobStatus,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Job>> {
        let state = lock(&self.state);
        let of_status = state.jobs.values().filter(|job| job.status == status);
        let mut jobs: Vec<_> = of_status
            .filter(|job| from.is_none_or(|from| Place::of(job) < *from))
            .cloned()
            .collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(Place::of(job)));
        jobs.truncate(limit);
        Ok(jobs)
    }

    async fn uploaded(&self, job_id: &JobId, bytes: u64, now: Timestamp) -> Result<bool> {
        self.commit(|s| rules::uploaded(s.jobs.get(job_id), bytes, now))
    }

    async fn reassembling_until(&self, job_id: &JobId) -> Result<Option<Timestamp>> {
        Ok(rules::reassembling_until(lock(&self.state).triggers.get(job_id)))
    }

    async fn forget(&self, job_id: &JobId) -> Result<usize> {
        let mut state = lock(&self.state);
        let of_job = |segment: &Segment| segment.job_id == *job_id;
        let rows: Vec<_> =
            state.segments.values().filter(|row| of_job(&row.segment)).cloned().collect();
        rules::may_forget(state.jobs.get(job_id), &rows)
            .map_err(|why| Error::new(Kind::Rejected, format!("forget job {job_id}: {why}")))?;
        let count = |s: &State| {
            s.segments.len() + s.locations.len() + s.completions.len() + s.triggers.len()
        };
        let before = count(&state);
        state.segments.retain(|segment, _| !of_job(segment));
        state.locations.retain(|_, segment| !of_job(segment));
        state.completions.retain(|(id, _), _| id != job_id);
        state.triggers.remove(job_id);
        Ok(before - count(&state))
    }
}

#[async_trait]
impl Switches for MemoryLedger {
    async fn paused(&self) -> Result<BTreeSet<String>> {
        Ok(lock(&self.state).paused.clone())
    }

    async fn set_paused(&self, role: &str, paused: bool) -> Result<bool> {
        let mut state = lock(&self.state);
        Ok(match paused {
            true => state.paused.insert(role.to_owned()),
            false => state.paused.remove(role),
        })
    }
}
