//! The durable truth about jobs, segments and permits.
//!
//! The ledger speaks the protocol's own verbs, each one atomic. What a verb decides is written
//! once, in [`rules`], as functions from what is stored to what is to be stored; an adapter loads,
//! asks the rule, and stores the answer under a transaction or a condition. So the embedded ledger
//! and the cloud's cannot disagree about the protocol.

pub mod rules;
mod types;

use std::fmt::Debug;

use async_trait::async_trait;
use parallax_job::{JobId, JobStatus, Segment, SegmentCompletion, Timestamp, Uri};

pub use types::{
    Advance, AttemptError, BEGUN_KEPT, Begun, Completed, Cost, Cursor, Ended, Fence, Holder,
    HolderId, Intent, IntentOutcome, Job, Lock, Resend, Reserve, SegmentRow, SegmentState,
    SomeJobs, TriggerOutcome, TriggerRow, Work,
};

use crate::{Locations, Result};

/// Jobs, segment rows, permits, completions and reassembly triggers.
///
/// Every verb is atomic and linearizable, and safe to repeat after a lost reply: asked again with
/// the same nonce or holder, it answers as it did the first time. Reads are consistent.
///
/// # The permit is a holder
/// The set of holders *is* the semaphore; nothing is counted. A holder starts as a reservation
/// with a short deadline, is bound to one attempt by [`Ledger::record_intent`], and ends by name,
/// once, with the attempt. Only reservations end by time alone.
#[async_trait]
pub trait Ledger: Debug + Send + Sync {
    /// Reserves a permit when fewer than `limit` holders exist. Expired reservations are removed
    /// first. Reserving again under the same holder extends it, and never shortens it.
    async fn reserve(
        &self,
        holder: &HolderId,
        limit: u32,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Reserve>;

    /// Gives an unused reservation back. Changes nothing once it is bound or gone.
    async fn unreserve(&self, holder: &HolderId) -> Result<()>;

    /// Every holder.
    async fn holders(&self) -> Result<Vec<Holder>>;

    /// Records that the next attempt at a segment is about to start and binds the reservation to
    /// it. After this the segment's fate is the row's.
    async fn record_intent(&self, intent: &Intent) -> Result<IntentOutcome>;

    /// Records that the backend accepted the attempt, where its outcome will be, and until when
    /// to wait for it. From here on the attempt is in the backend's custody.
    async fn record_invoked(
        &self,
        fence: &Fence,
        locations: &Locations,
        deadline: Timestamp,
    ) -> Result<Ended>;

    /// Moves the attempt's deadline, never back: a request that was overtaken changes nothing.
    async fn renew(&self, fence: &Fence, deadline: Timestamp) -> Result<Ended>;

    /// Records the segment's completion, once, and ends the attempt. With `release` false the
    /// permit stays held, because the backend may still be busy.
    async fn complete(&self, fence: &Fence, release: bool, now: Timestamp) -> Result<Completed>;

    /// The same, and the attempt's permit becomes a reservation of `next` until `until` instead of
    /// being given back: one write where a release and a reservation would be two. `Granted` says
    /// that `next` holds it; `Full`, that the attempt held none to pass on.
    async fn complete_and_reserve(
        &self,
        fence: &Fence,
        next: &HolderId,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(Completed, Reserve)>;

    /// Ends a held permit of a segment that is already done.
    async fn release(&self, fence: &Fence) -> Result<Ended>;

    /// Ends the attempt without a result, at a `cost`; the segment may start again at `at`.
    async fn retry(
        &self,
        fence: &Fence,
        at: Timestamp,
        error: &AttemptError,
        cost: Cost,
    ) -> Result<Ended>;

    /// Ends the attempt and the segment, and fails the job with the reason.
    async fn fail(&self, fence: &Fence, error: &AttemptError, now: Timestamp) -> Result<Ended>;

    /// Takes back that a segment was given up: it may start again at once, with as many failures and
    /// attempts to use up as a new one; its next attempt has the next number. A job that failed goes
    /// on; one that was cancelled stays so, and its segments with it. For operators.
    async fn reopen(&self, segment: &Segment, now: Timestamp) -> Result<Ended>;

    /// Ends the wait of a segment for its next attempt: it may start at once. `Fenced` when it does not
    /// wait. For operators.
    async fn hasten(&self, segment: &Segment, now: Timestamp) -> Result<Ended>;

    /// A segment's row.
    async fn segment(&self, segment: &Segment) -> Result<Option<SegmentRow>>;

    /// Every row of a job's segment `index`: more than one after the source was cut anew.
    async fn segments_at(&self, job_id: &JobId, index: u32) -> Result<Vec<SegmentRow>>;

    /// Every row of a job.
    async fn segments(&self, job_id: &JobId) -> Result<Vec<SegmentRow>>;

    /// The segment whose outcome was announced for `location`: while the attempt holds a permit, and
    /// after it ended without a result.
    async fn by_location(&self, location: &Uri) -> Result<Option<Segment>>;

    /// Segments waiting for another attempt that is due, at most `limit`, the longest due first.
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<SegmentRow>>;

    /// Creates a job; false when it already exists.
    async fn create_job(&self, job: &Job) -> Result<bool>;

    /// A job.
    async fn job(&self, job_id: &JobId) -> Result<Option<Job>>;

    /// The jobs in one status.
    async fn jobs(&self, status: JobStatus) -> Result<Vec<Job>>;

    /// A part of the same, from where an earlier one ended: no more than `limit`, and fewer, even none, in
    /// the middle. What stays in the status all the while is in one of the parts; what comes or goes may be.
    async fn some_jobs(
        &self,
        status: JobStatus,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<SomeJobs>;

    /// Moves a job along an allowed edge; records the total and the reason when given.
    async fn advance(
        &self,
        job_id: &JobId,
        to: JobStatus,
        total: Option<u32>,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Advance>;

    /// The completions of a job that belong to a cut into `total` segments, by index.
    async fn completions(&self, job_id: &JobId, total: u32) -> Result<Vec<SegmentCompletion>>;

    /// Decides whether this caller is to send the job's reassembly message now. The decision falls
    /// on one caller; it is made again as `resend` says.
    async fn trigger(
        &self,
        job_id: &JobId,
        nonce: &str,
        resend: Resend,
        now: Timestamp,
    ) -> Result<TriggerOutcome>;

    /// Records that the reassembly message was sent; the job is reassembling.
    async fn triggered(&self, job_id: &JobId, now: Timestamp) -> Result<()>;

    /// Takes the right to reassemble, until a deadline. Taken again under the same nonce, it is
    /// extended and never shortened.
    async fn lock_reassembly(
        &self,
        job_id: &JobId,
        nonce: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Lock>;

    /// Gives the right back without having finished.
    async fn unlock_reassembly(&self, job_id: &JobId, nonce: &str) -> Result<()>;
}
