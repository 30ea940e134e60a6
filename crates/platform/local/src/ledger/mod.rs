//! The ledger in SQLite: load, ask the rule, store the answer, in one transaction.

mod operators;
mod recover;
mod rows;
mod watching;

use std::sync::Arc;

use async_trait::async_trait;
use parallax_job::{JobId, JobStatus, Segment, SegmentCompletion, Timestamp, Uri};
use parallax_ports::ledger::rules::{self, Change};
use parallax_ports::ledger::{
    Advance, AttemptError, Completed, Cost, Cursor, Ended, Fence, Holder, HolderId, Intent,
    IntentOutcome, Job, Lock, Resend, Reserve, SegmentRow, SomeJobs, TriggerOutcome,
};
use parallax_ports::{Custody, Ledger, Locations, Result};

use crate::Database;
use crate::database::Durability;
use rows::Rows;

pub use recover::Recovered;

/// The embedded ledger.
#[derive(Debug, Clone)]
pub struct SqliteLedger {
    db: Arc<Database>,
}

impl SqliteLedger {
    /// The ledger in `db`.
    pub fn new(db: Arc<Database>) -> Self {
        Self { db }
    }

    async fn commit<T: Send + 'static>(
        &self,
        durability: Durability,
        rule: impl FnOnce(&Rows<'_>) -> rusqlite::Result<(T, Change)> + Send + 'static,
    ) -> Result<T> {
        self.db
            .write(durability, move |tx| {
                let rows = Rows(tx);
                let (outcome, change) = rule(&rows)?;
                rows.apply(change)?;
                Ok(outcome)
            })
            .await
    }

    async fn read<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Rows<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.db.read(move |db| task(&Rows(db))).await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn reserve(
        &self,
        holder: &HolderId,
        limit: u32,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Reserve> {
        let holder = holder.clone();
        self.commit(Durability::Ordered, move |rows| {
            Ok(rules::reserve(&rows.holders()?, &holder, limit, until, now))
        })
        .await
    }

    async fn unreserve(&self, holder: &HolderId) -> Result<()> {
        let id = holder.clone();
        self.commit(Durability::Ordered, move |rows| {
            let free = rows.holder(&id)?.is_some_and(|h| h.work.is_none());
            let remove_holders = if free { vec![id] } else { Vec::new() };
            Ok(((), Change { remove_holders, ..Change::default() }))
        })
        .await
    }

    async fn holders(&self) -> Result<Vec<Holder>> {
        self.read(|rows| rows.holders()).await
    }

    async fn record_intent(&self, intent: &Intent) -> Result<IntentOutcome> {
        // What a backend elsewhere may have been told must survive a power cut here. Under the
        // caller's custody the work ends with the caller.
        let durability = match intent.custody {
            Custody::Backend => Durability::Synced,
            Custody::Caller => Durability::Ordered,
        };
        let intent = intent.clone();
        self.commit(durability, move |rows| {
            let row = rows.segment(&intent.segment)?;
            let holders = rows.holders()?;
            let job = rows.job(&intent.segment.job_id)?;
            Ok(rules::record_intent(row.as_ref(), &holders, job.as_ref(), &intent))
        })
        .await
    }

    async fn record_invoked(
        &self,
        fence: &Fence,
        locations: &Locations,
        deadline: Timestamp,
    ) -> Result<Ended> {
        let (fence, locations) = (fence.clone(), locations.clone());
        self.commit(Durability::Synced, move |rows| {
            let row = rows.segment(&fence.segment)?;
            Ok(rules::record_invoked(row.as_ref(), &fence, &locations, deadline))
        })
        .await
    }

    async fn renew(&self, fence: &Fence, deadline: Timestamp) -> Result<Ended> {
        let fence = fence.clone();
        self.commit(Durability::Ordered, move |rows| {
            Ok(rules::renew(rows.segment(&fence.segment)?.as_ref(), &fence, deadline))
        })
        .await
    }

    async fn complete(&self, fence: &Fence, release: bool, now: Timestamp) -> Result<Completed> {
        let fence = fence.clone();
        self.commit(Durability::Ordered, move |rows| {
            let row = rows.segment(&fence.segment)?;
            let existing = rows.completion(&fence.segment.job_id, fence.segment.index)?;
            let job = rows.job(&fence.segment.job_id)?;
            let (row, existing) = (row.as_ref(), existing.as_ref());
            Ok(rules::complete(row, existing, job.as_ref(), &fence, release, now))
        })
        .await
    }

    async fn complete_and_reserve(
        &self,
        fence: &Fence,
        next: &HolderId,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(Completed, Reserve)> {
        let fence = fence.clone();
        let next = Holder { id: next.clone(), deadline: until, work: None };
        self.commit(Durability::Ordered, move |rows| {
            let row = rows.segment(&fence.segment)?;
            let existing = rows.completion(&fence.segment.job_id, fence.segment.index)?;
            let mine = rows.holder(&next.id)?;
            let job = rows.job(&fence.segment.job_id)?;
            let (row, existing, job) = (row.as_ref(), existing.as_ref(), job.as_ref());
            Ok(rules::complete_and_reserve(row, existing, job, mine.as_ref(), &fence, next, now))
        })
        .await
    }

    async fn release(&self, fence: &Fence) -> Result<Ended> {
        let fence = fence.clone();
        self.commit(Durability::Ordered, move |rows| {
            Ok(rules::release(rows.segment(&fence.segment)?.as_ref(), &fence))
        })
        .await
    }

    async fn retry(
        &self,
        fence: &Fence,
        at: Timestamp,
        error: &AttemptError,
        cost: Cost,
    ) -> Result<Ended> {
        let (fence, error) = (fence.clone(), error.clone());
        self.commit(Durability::Ordered, move |rows| {
            let row = rows.segment(&fence.segment)?;
            Ok(rules::retry(row.as_ref(), &fence, at, &error, cost))
        })
        .await
    }

    async fn fail(&self, fence: &Fence, error: &AttemptError, now: Timestamp) -> Result<Ended> {
        let (fence, error) = (fence.clone(), error.clone());
        self.commit(Durability::Ordered, move |rows| {
            let row = rows.segment(&fence.segment)?;
            let job = rows.job(&fence.segment.job_id)?;
            Ok(rules::fail(row.as_ref(), job.as_ref(), &fence, &error, now))
        })
        .await
    }

    async fn reopen(&self, segment: &Segment, now: Timestamp) -> Result<Ended> {
        let segment = segment.clone();
        self.commit(Durability::Ordered, move |rows| {
            let (row, job) = (rows.segment(&segment)?, rows.job(&segment.job_id)?);
            Ok(rules::reopen(row.as_ref(), job.as_ref(), now))
        })
        .await
    }

    async fn hasten(&self, segment: &Segment, now: Timestamp) -> Result<Ended> {
        let segment = segment.clone();
        self.commit(Durability::Ordered, move |rows| {
            Ok(rules::hasten(rows.segment(&segment)?.as_ref(), now))
        })
        .await
    }

    async fn segment(&self, segment: &Segment) -> Result<Option<SegmentRow>> {
        let segment = segment.clone();
        self.read(move |rows| rows.segment(&segment)).await
    }

    async fn segments_at(&self, job_id: &JobId, index: u32) -> Result<Vec<SegmentRow>> {
        let job_id = job_id.clone();
        self.read(move |rows| rows.segments_at(&job_id, index)).await
    }

    async fn segments(&self, job_id: &JobId) -> Result<Vec<SegmentRow>> {
        let job_id = job_id.clone();
        self.read(move |rows| rows.segments(&job_id)).await
    }

    async fn by_location(&self, location: &Uri) -> Result<Option<Segment>> {
        let location = location.clone();
        self.read(move |rows| rows.by_location(&location)).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<SegmentRow>> {
        self.read(move |rows| rows.due(now, limit)).await
    }

    async fn create_job(&self, job: &Job) -> Result<bool> {
        let job = job.clone();
        self.commit(Durability::Ordered, move |rows| {
            if rows.job(&job.job_id)?.is_some() {
                return Ok((false, Change::default()));
            }
            Ok((true, Change { job: Some(job), ..Change::default() }))
        })
        .await
    }

    async fn job(&self, job_id: &JobId) -> Result<Option<Job>> {
        let job_id = job_id.clone();
        self.read(move |rows| rows.job(&job_id)).await
    }

    async fn jobs(&self, status: JobStatus) -> Result<Vec<Job>> {
        self.read(move |rows| rows.jobs(status)).await
    }

    async fn some_jobs(
        &self,
        status: JobStatus,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<SomeJobs> {
        let after = from.map(|from| from.0.clone()).unwrap_or_default();
        let mut jobs = self.read(move |rows| rows.jobs_after(status, &after, limit + 1)).await?;
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
        let (job_id, reason) = (job_id.clone(), reason.map(str::to_owned));
        self.commit(Durability::Ordered, move |rows| {
            Ok(rules::advance(rows.job(&job_id)?.as_ref(), to, total, reason.as_deref(), now))
        })
        .await
    }

    async fn completions(&self, job_id: &JobId, total: u32) -> Result<Vec<SegmentCompletion>> {
        let job_id = job_id.clone();
        self.read(move |rows| rows.completions(&job_id, total)).await
    }

    async fn trigger(
        &self,
        job_id: &JobId,
        nonce: &str,
        resend: Resend,
        now: Timestamp,
    ) -> Result<TriggerOutcome> {
        let (job_id, nonce) = (job_id.clone(), nonce.to_owned());
        self.commit(Durability::Ordered, move |rows| {
            let job = rows.job(&job_id)?;
            let row = rows.trigger(&job_id)?;
            let total = job.as_ref().and_then(|job| job.total_segments).unwrap_or(0);
            let completed = rows.count_completions(&job_id, total)?;
            Ok(rules::trigger(job.as_ref(), row.as_ref(), completed, &nonce, resend, now))
        })
        .await
    }

    async fn triggered(&self, job_id: &JobId, now: Timestamp) -> Result<()> {
        let job_id = job_id.clone();
        self.commit(Durability::Ordered, move |rows| {
            let (job, row) = (rows.job(&job_id)?, rows.trigger(&job_id)?);
            Ok(((), rules::triggered(job.as_ref(), row.as_ref(), now)))
        })
        .await
    }

    async fn lock_reassembly(
        &self,
        job_id: &JobId,
        nonce: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Lock> {
        let (job_id, nonce) = (job_id.clone(), nonce.to_owned());
        self.commit(Durability::Ordered, move |rows| {
            let (job, row) = (rows.job(&job_id)?, rows.trigger(&job_id)?);
            Ok(rules::lock_reassembly(job.as_ref(), row.as_ref(), &nonce, until, now))
        })
        .await
    }

    async fn unlock_reassembly(&self, job_id: &JobId, nonce: &str) -> Result<()> {
        let (job_id, nonce) = (job_id.clone(), nonce.to_owned());
        self.commit(Durability::Ordered, move |rows| {
            Ok(((), rules::unlock_reassembly(rows.trigger(&job_id)?.as_ref(), &nonce)))
        })
        .await
    }
}
