//! `DynamoLedger`: the ledger in the four tables that deployed systems already have.
//!
//! A verb reads what its rule needs in one consistent request, asks the rule, and stores the
//! answer in one write whose conditions hold only if nothing that was read has changed; otherwise
//! it reads and decides again. Where this process has reason to know what it would read, the read
//! is left out and the conditions do its work. A lost reply needs no special care: the rules answer a repeated
//! request as they did the first time.
//!
//! The table of inference invocations has one string key and no index, and none is added. So that
//! no list needs a scan, it also holds a few items of the ledger's own, each written in the same
//! transaction as what it lists:
//! - `permits#{pool}`: a map of holders, which *is* the semaphore. At most twenty entries.
//! - `seg#{job}#{total}#{index}#{mode}`: a segment's row.
//! - `cuts#{job}`: the set of `{total}#{mode}` that have rows. The rows of a cut have keys that
//!   can be told, so a job's rows are read by key. Written once for each cut.
//! - `paused-roles`: the set of roles that an operator has told to receive nothing.
//! - `replicas`, `acts`, `act#{number}`: what people look at, see `watching`.
//! - `due#{pool}#{0..8}`: an attribute for each waiting segment, with the time of its next
//!   attempt. Written when an attempt fails and when the next one starts, not otherwise. A full
//!   shard leaves segments out; the sweep over unfinished jobs finds those.
//! - the address of a response or failure object, as the record that deployed parts look up: of
//!   attempts that ended without a result, and of all where such a part completes segments. Other
//!   addresses stand in the rows alone; the permits lead to those.
//!
//! A segment that succeeds at once costs four writes: reservation, intent, acceptance, completion;
//! three while one attempt passes its permit on to the next. Of these the intent and the completion
//! are transactions, which are charged twice. A reassembly costs a list of the completions and two
//! writes.
//! Rows expire 90 days after nothing can happen to them; open ones never do.

mod decide;
mod guess;
mod invocations;
mod item;
mod jobs;
mod keys;
mod list;
mod operators;
mod plan;
mod read;
mod retry;
mod snapshot;
mod store;
mod watching;
mod write;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use parallax_job::{JobId, JobStatus, Segment, SegmentCompletion, Timestamp, Uri};
use parallax_ports::ledger::rules::{self, Change};
use parallax_ports::ledger::{
    Advance, AttemptError, Completed, Cost, Cursor, Ended, Fence, Holder, HolderId, Intent,
    IntentOutcome, Job, Lock, Resend, Reserve, SegmentRow, SomeJobs, TriggerOutcome,
};
use parallax_ports::{Kind, Ledger, Locations, Result};

use crate::error::translate;
use invocations::{HOLDERS, KEY};
use item::{Expression, Item, s};
use list::Lists;
use plan::Terms;
use retry::Tries;
use snapshot::{Read, Snapshot, Wanted};
pub use store::{DynamoLedger, Tables};
use write::{Write, Written};

/// A completion is guarded by what it replaces, not by the job: one that is written a moment before
/// its job is cut anew is replaced by the new cut's, and a check of the job would cost as much as
/// another write.
const COMPLETING: Terms = Terms { limit: None, skip_due: false, fresh: false, any_job: true };

#[async_trait]
impl Ledger for DynamoLedger {
    async fn reserve(
        &self,
        holder: &HolderId,
        limit: u32,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Reserve> {
        let wanted = Wanted { permits: true, ..Wanted::default() };
        let terms = Terms { limit: Some(limit), ..Terms::default() };
        let rule = |seen: &Snapshot| {
            let holders = seen.holders.get().map_or(&[][..], Vec::as_slice);
            rules::reserve(holders, holder, limit, until, now)
        };
        if let Some(guess) = self.beliefs.guess(&wanted, false) {
            let (answer, change) = rule(&guess);
            if answer == Reserve::Full {
                return self.settle("reserve a permit", wanted, terms, rule).await;
            }
            if let Some(seen) = self.commit_permits(&guess, &change, terms).await? {
                // The reply says what the belief could not: who else's reservation has run out.
                let (_, Change { remove_holders, .. }) = rule(&seen);
                if !remove_holders.is_empty() {
                    let tidy = Change { remove_holders, ..Change::default() };
                    if self.commit(&seen, &tidy, terms).await? == Written::Yes {
                        self.beliefs.stored(&seen, &tidy);
                    }
                }
                return Ok(answer);
            }
            self.beliefs.forget(&wanted);
        }
        self.settle("reserve a permit", wanted, terms, rule).await
    }

    async fn unreserve(&self, holder: &HolderId) -> Result<()> {
        let mut e = Expression::default();
        let (map, id, segment) = (e.name(HOLDERS), e.name(&holder.0), e.name("segment"));
        e.remove(&format!("{map}.{id}"));
        e.require(format!("attribute_exists({map}.{id})"));
        e.require(format!("attribute_not_exists({map}.{id}.{segment})"));
        let key = Item::from([(KEY.to_owned(), s(keys::permits(&self.store.pool)))]);
        let table = self.store.tables.invocations.clone();
        // Refused when it is bound or gone: then there is nothing to give back.
        self.store.write(vec![Write::Update { table, key, e }]).await.map(drop)
    }

    async fn holders(&self) -> Result<Vec<Holder>> {
        let seen = self.store.read(&Wanted { permits: true, ..Wanted::default() }).await?;
        self.beliefs.learn(&seen);
        Ok(match seen.holders {
            Read::Found(holders) => holders,
            _ => Vec::new(),
        })
    }

    async fn record_intent(&self, intent: &Intent) -> Result<IntentOutcome> {
        let segment = &intent.segment;
        let wanted = Wanted {
            segment: Some(segment),
            permits: true,
            job: Some(&segment.job_id),
            ..Wanted::default()
        };
        let terms = Terms { fresh: true, ..Terms::default() };
        self.decide("record an intent", wanted, terms, |seen| {
            let holders = seen.holders.get().map_or(&[][..], Vec::as_slice);
            rules::record_intent(seen.row(), holders, seen.job(), intent)
        })
        .await
    }

    async fn record_invoked(
        &self,
        fence: &Fence,
        locations: &Locations,
        deadline: Timestamp,
    ) -> Result<Ended> {
        let wanted = Wanted { segment: Some(&fence.segment), ..Wanted::default() };
        self.decide("record an acceptance", wanted, Terms::default(), |seen| {
            rules::record_invoked(seen.row(), fence, locations, deadline)
        })
        .await
    }

    async fn renew(&self, fence: &Fence, deadline: Timestamp) -> Result<Ended> {
        let wanted = Wanted { segment: Some(&fence.segment), ..Wanted::default() };
        self.decide("renew a lease", wanted, Terms::default(), |seen| {
            rules::renew(seen.row(), fence, deadline)
        })
        .await
    }

    async fn complete(&self, fence: &Fence, release: bool, now: Timestamp) -> Result<Completed> {
        let segment = Some(&fence.segment);
        let job = Some(&fence.segment.job_id);
        let wanted = Wanted { segment, completion_of: segment, job, ..Wanted::default() };
        self.decide("complete a segment", wanted, COMPLETING, |seen| {
            let existing = seen.completion.get();
            rules::complete(seen.row(), existing, seen.job(), fence, release, now)
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
        let segment = Some(&fence.segment);
        let job = Some(&fence.segment.job_id);
        let wanted = Wanted { segment, completion_of: segment, permits: true, job, trigger: None };
        self.decide("complete a segment", wanted, COMPLETING, |seen| {
            let reservation = Holder { id: next.clone(), deadline: until, work: None };
            let mine = seen.holders.get().and_then(|all| all.iter().find(|h| h.id == *next));
            let existing = seen.completion.get();
            let job = seen.job();
            rules::complete_and_reserve(seen.row(), existing, job, mine, fence, reservation, now)
        })
        .await
    }

    async fn release(&self, fence: &Fence) -> Result<Ended> {
        let wanted = Wanted { segment: Some(&fence.segment), ..Wanted::default() };
        self.decide("release a permit", wanted, Terms::default(), |seen| {
            rules::release(seen.row(), fence)
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
        let wanted = Wanted { segment: Some(&fence.segment), ..Wanted::default() };
        self.decide("put a segment off", wanted, Terms::default(), |seen| {
            rules::retry(seen.row(), fence, at, error, cost)
        })
        .await
    }

    async fn fail(&self, fence: &Fence, error: &AttemptError, now: Timestamp) -> Result<Ended> {
        let segment = &fence.segment;
        let wanted =
            Wanted { segment: Some(segment), job: Some(&segment.job_id), ..Wanted::default() };
        self.decide("fail a segment", wanted, Terms::default(), |seen| {
            rules::fail(seen.row(), seen.job(), fence, error, now)
        })
        .await
    }

    async fn reopen(&self, segment: &Segment, now: Timestamp) -> Result<Ended> {
        let wanted =
            Wanted { segment: Some(segment), job: Some(&segment.job_id), ..Wanted::default() };
        self.settle("reopen a segment", wanted, Terms::default(), |seen| {
            rules::reopen(seen.row(), seen.job(), now)
        })
        .await
    }

    async fn hasten(&self, segment: &Segment, now: Timestamp) -> Result<Ended> {
        let wanted = Wanted { segment: Some(segment), ..Wanted::default() };
        self.settle("hasten a segment", wanted, Terms::default(), |seen| {
            rules::hasten(seen.row(), now)
        })
        .await
    }

    async fn segment(&self, segment: &Segment) -> Result<Option<SegmentRow>> {
        let wanted = Wanted { segment: Some(segment), ..Wanted::default() };
        let seen = self.store.read(&wanted).await?;
        self.beliefs.learn(&seen);
        Ok(seen.row().cloned())
    }

    async fn segments_at(&self, job_id: &JobId, index: u32) -> Result<Vec<SegmentRow>> {
        Lists(self).of_job(job_id, Some(index)).await
    }

    async fn segments(&self, job_id: &JobId) -> Result<Vec<SegmentRow>> {
        Lists(self).of_job(job_id, None).await
    }

    async fn by_location(&self, location: &Uri) -> Result<Option<Segment>> {
        Lists(self).by_location(location).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<SegmentRow>> {
        Lists(self).due(now, limit).await
    }

    async fn create_job(&self, job: &Job) -> Result<bool> {
        let nonce = self.store.ids.next();
        let mut e = Expression::default();
        e.require_absent("job_id");
        let call = self.store.client.put_item().table_name(&self.store.tables.jobs);
        let call = call
            .set_item(Some(jobs::from_job(job, &nonce)))
            .set_condition_expression(e.condition())
            .set_expression_attribute_names(e.names())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = call.send().await else { return Ok(true) };
        if let Some(found) = error.as_service_error()
            && let aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(
                there,
            ) = found
        {
            // The SDK repeated a call whose reply was lost, and met its own item.
            let item = there.item();
            return Ok(item.and_then(|item| item.get("creation_nonce")) == Some(&s(&nonce)));
        }
        Err(translate(format!("create job {}", job.job_id), error))
    }

    async fn job(&self, job_id: &JobId) -> Result<Option<Job>> {
        let wanted = Wanted { job: Some(job_id), ..Wanted::default() };
        let seen = self.store.read(&wanted).await?;
        self.beliefs.learn(&seen);
        Ok(seen.job().cloned())
    }

    async fn jobs(&self, status: JobStatus) -> Result<Vec<Job>> {
        let jobs = Lists(self).jobs(status).await?;
        self.beliefs.doubt(&jobs);
        Ok(jobs)
    }

    async fn some_jobs(
        &self,
        status: JobStatus,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<SomeJobs> {
        let some = Lists(self).some_jobs(status, from, Some(limit)).await?;
        self.beliefs.doubt(&some.jobs);
        Ok(some)
    }

    async fn advance(
        &self,
        job_id: &JobId,
        to: JobStatus,
        total: Option<u32>,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Advance> {
        let wanted = Wanted { job: Some(job_id), ..Wanted::default() };
        self.decide("move a job", wanted, Terms::default(), |seen| {
            rules::advance(seen.job(), to, total, reason, now)
        })
        .await
    }

    async fn completions(&self, job_id: &JobId, total: u32) -> Result<Vec<SegmentCompletion>> {
        Lists(self).completions(job_id, total).await
    }

    async fn trigger(
        &self,
        job_id: &JobId,
        nonce: &str,
        resend: Resend,
        now: Timestamp,
    ) -> Result<TriggerOutcome> {
        let wanted = Wanted { job: Some(job_id), trigger: Some(job_id), ..Wanted::default() };
        let mut tries = Tries::default();
        let mut terms = Terms::default();
        let waiting = |job: &&Job| {
            matches!(job.status, JobStatus::ChunkingComplete | JobStatus::Reassembling)
        };
        // Mostly the answer is "not yet", and the completions alone say so.
        let guess = Snapshot { trigger: Read::Absent, ..self.beliefs.job(job_id) };
        if let Some(total) = guess.job().filter(waiting).and_then(|job| job.total_segments) {
            let completed = Lists(self).completions(job_id, total).await?.len() as u32;
            if completed < total {
                return Ok(TriggerOutcome::NotReady);
            }
            // A job that is reassembling has a trigger: to try without one would only fail.
            if guess.job().is_some_and(|job| job.status == JobStatus::ChunkingComplete) {
                let (answer, change) =
                    rules::trigger(guess.job(), None, completed, nonce, resend, now);
                if self.commit(&guess, &change, terms).await? == Written::Yes {
                    self.beliefs.stored(&guess, &change);
                    return Ok(answer);
                }
                self.beliefs.forget(&wanted);
            }
        }
        loop {
            let seen = self.store.read(&wanted).await?;
            self.beliefs.learn(&seen);
            // Completions of one cut are only ever added, so the count may be older than the rest.
            let completed = match seen.job().filter(waiting).and_then(|job| job.total_segments) {
                Some(total) => Lists(self).completions(job_id, total).await?.len() as u32,
                None => 0,
            };
            let (answer, change) =
                rules::trigger(seen.job(), seen.trigger(), completed, nonce, resend, now);
            if self.stored(&seen, &change, &mut terms).await? {
                return Ok(answer);
            }
            tries.pause(&self.store.ids, Kind::Conflict, "trigger a reassembly").await?;
        }
    }

    async fn triggered(&self, job_id: &JobId, now: Timestamp) -> Result<()> {
        let wanted = Wanted { job: Some(job_id), trigger: Some(job_id), ..Wanted::default() };
        self.decide("confirm a trigger", wanted, Terms::default(), |seen| {
            ((), rules::triggered(seen.job(), seen.trigger(), now))
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
        let wanted = Wanted { job: Some(job_id), trigger: Some(job_id), ..Wanted::default() };
        self.decide("lock a reassembly", wanted, Terms::default(), |seen| {
            rules::lock_reassembly(seen.job(), seen.trigger(), nonce, until, now)
        })
        .await
    }

    async fn unlock_reassembly(&self, job_id: &JobId, nonce: &str) -> Result<()> {
        let wanted = Wanted { trigger: Some(job_id), ..Wanted::default() };
        self.decide("unlock a reassembly", wanted, Terms::default(), |seen| {
            ((), rules::unlock_reassembly(seen.trigger(), nonce))
        })
        .await
    }
}
