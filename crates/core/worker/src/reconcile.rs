//! The reconcile loop: what lost events and crashes left behind.
//!
//! A sweep asks of every held permit, every due retry and every unfinished job: what should have
//! happened by now? It repairs by looking at evidence and by sending the lost event again, so that
//! the ordinary loops do the work. It is correct on every replica at once.
//!
//! Replicas take turns where they can: whoever has the turn keeps it for as long as its sweeps go well.
//!
//! Permits and due retries are looked at in every sweep, unfinished jobs a slice at a time: the next
//! sweep goes on where this one ended, so that many jobs do not keep a permit waiting. They are listed
//! so, too: what a sweep costs does not grow with their number.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parallax_job::{JobId, JobStatus, ObjectEvent, ObjectKey, Segment, Timestamp, s3_notification};
use parallax_ports::ledger::{Cursor, Holder, HolderId, Job, Reserve, SegmentState};
use parallax_ports::{Custody, Queue, Result};
use tokio::time::{Instant, sleep};
use tracing::{Instrument, info_span, warn};

use crate::breaker::Breaker;
use crate::context::Context;
use crate::delays::{IDLE_SWEEPS, OVERDUE_SWEEPS, SLICES};
use crate::evidence::Evidence;
use crate::jobs::Jobs;
use crate::mutant::buggify;
use crate::pulse::Pulse;
use crate::standing::{Memory, Pass};
use crate::stop::Stop;
use crate::trigger::Trigger;
use crate::{Role, clocks, metrics};

/// Retries looked at in one sweep.
const DUE_AT_ONCE: usize = 100;
/// Unfinished jobs that are listed and looked at in one sweep.
const JOBS_AT_ONCE: usize = 100;

/// For how long the oldest reservation has been void. Until when a bound permit may be held, its row
/// says, which whoever has the turn looks at.
fn overdue_reservation(holders: &[Holder], now: Timestamp) -> Duration {
    let unbound = holders.iter().filter(|holder| holder.work.is_none());
    unbound.map(|holder| now.since(holder.deadline)).max().unwrap_or_default()
}

/// Repairs what lost events and crashes left behind.
#[derive(Debug)]
pub(crate) struct Reconcile {
    pub(crate) context: Arc<Context>,
    pub(crate) evidence: Arc<Evidence>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) trigger: Arc<Trigger>,
    /// Whether the backend takes work.
    pub(crate) breaker: Arc<Breaker>,
}

impl Reconcile {
    /// Sweeps until a soft stop.
    pub(crate) async fn run(&self, stop: Stop) {
        let mut memory = Memory::new(HolderId(self.context.ports.ids.next()));
        let pulse = Pulse::register(&self.context.ports, &self.context.config, Role::Reconcile);
        self.count_no_violations();
        clocks::report(&self.context);
        while !stop.soft.is_cancelled() {
            pulse.tick();
            let pause = match memory.pass.is_over() {
                true if memory.idle => self.context.config.sweep * IDLE_SWEEPS,
                true => self.context.config.sweep,
                false => self.context.config.sweep / SLICES,
            };
            tokio::select! {
                biased;
                () = stop.soft.cancelled() => break,
                () = sleep(self.context.jittered(pause)) => {}
            }
            let sweep = self.sweep(&mut memory, &pulse, &stop).instrument(info_span!("sweep"));
            // A stop is heeded between two jobs, and in the middle of one when time is up.
            let swept = tokio::select! {
                biased;
                () = stop.hard.cancelled() => break,
                swept = pulse.during(sweep) => swept,
            };
            if swept.is_err() {
                // Another one may fare better.
                memory.stands_back_until = self.context.now() + self.context.config.sweep;
                pulse.during(self.give_turn_back(&mut memory)).await;
            }
            match swept {
                Ok(()) => self.context.count(metrics::SWEEPS, &[("outcome", "done")]),
                Err(error) => {
                    self.context.count(metrics::SWEEPS, &[("outcome", "error")]);
                    warn!(error = %error.chain(), "sweep incomplete");
                }
            }
        }
        tokio::select! {
            biased;
            () = stop.hard.cancelled() => {}
            () = pulse.during(self.give_turn_back(&mut memory)) => {}
        }
    }

    /// Reports every counter of broken rules as 0, so that an alarm has something to look at.
    fn count_no_violations(&self) {
        for invariant in ["limit", "holder_without_attempt", "permit_past_deadline"] {
            let labels = [("invariant", invariant)];
            self.context.ports.metrics.count(metrics::VIOLATIONS, &labels, 0);
        }
    }

    async fn sweep(&self, memory: &mut Memory, pulse: &Pulse, stop: &Stop) -> Result<()> {
        memory.sent = 0;
        memory.idle = false;
        clocks::report(&self.context);
        let until = Instant::now() + self.context.config.sweep;
        let mut first_error = None;
        // One job's trouble must not keep another from being looked at.
        let mut note = |result: Result<()>| {
            let failed = result.is_err();
            if let Err(error) = result {
                first_error.get_or_insert(error);
            }
            failed
        };
        let holders = pulse.ask("ledger", Duration::ZERO, self.context.ledger().holders()).await;
        if let Ok(holders) = &holders {
            self.report_permits(holders);
        }
        if !self.takes_turn(memory).await? {
            return Ok(());
        }
        self.context.switchboard.refresh(pulse, stop).await;
        let working = match holders {
            Ok(holders) => {
                note(self.sweep_holders(&holders, memory, stop).await);
                match self.breaker.is_open() || self.is_paused(Role::Segments) {
                    // Nothing is received, so that what stands is not lost.
                    true => usize::MAX,
                    false => holders.iter().filter(|holder| holder.work.is_some()).count(),
                }
            }
            Err(error) => {
                note(Err(error));
                usize::MAX
            }
        };
        memory.pass.incomplete |= note(self.sweep_due(memory, stop).await);
        let listed_now = memory.pass.left.is_empty();
        let mut idle = memory.pass.is_over() && working == 0;
        if memory.pass.is_over() {
            memory.pass.to_list.extend(self.unfinished());
        }
        if listed_now {
            memory.pass.incomplete |= note(self.list_some(&mut memory.pass).await);
        }
        while let Some(job) = memory.pass.left.pop_front() {
            if stop.soft.is_cancelled() {
                return Ok(());
            }
            // Sources that never come are left behind by those who gave up.
            idle &= job.status < JobStatus::ChunkingComplete;
            let looked = match listed_now {
                true => self.sweep_unfinished(&job, working, memory).await,
                false => self.sweep_listed(&job.job_id, working, memory).await,
            };
            memory.pass.incomplete |= note(looked);
            if Instant::now() >= until {
                break;
            }
        }
        idle &= memory.pass.is_over();
        if memory.pass.is_over() {
            let complete = !std::mem::take(&mut memory.pass.incomplete);
            if complete {
                memory.forget_moved();
            }
        }
        memory.idle = idle && first_error.is_none();
        first_error.map_or(Ok(()), Err)
    }

    /// Whether nothing of a role's queue is received, so that what waits there is not lost.
    fn is_paused(&self, role: Role) -> bool {
        self.context.switchboard.is_paused(role)
    }

    /// Takes the turn at sweeping, or keeps it.
    async fn takes_turn(&self, memory: &mut Memory) -> Result<bool> {
        let Some(turns) = &self.context.ports.turns else { return Ok(true) };
        let now = self.context.now();
        if now < memory.stands_back_until {
            return Ok(false);
        }
        // Longer than the longest pause between two sweeps, and than a slice.
        let until = now + self.context.config.sweep * 6;
        let verb = || turns.reserve(&memory.name, 1, until, now);
        memory.has_turn = self.context.persist("turn", verb).await? == Reserve::Granted;
        Ok(memory.has_turn)
    }

    /// Lets another replica sweep at once. Without this it would be a while later.
    async fn give_turn_back(&self, memory: &mut Memory) {
        let Some(turns) = self.context.ports.turns.as_ref().filter(|_| memory.has_turn) else {
            return;
        };
        memory.has_turn = false;
        if let Err(error) = turns.unreserve(&memory.name).await {
            warn!(error = %error.chain(), "could not give the turn at sweeping back; it will expire");
        }
    }

    /// In which status jobs are unfinished, so far as this deployment goes on with them.
    fn unfinished(&self) -> impl Iterator<Item = (JobStatus, Option<Cursor>)> + use<> {
        let uncut: &[_] = match self.context.ports.chunking {
            Some(_) => &[JobStatus::Created, JobStatus::Ingesting, JobStatus::ChunkingInProgress],
            None => &[],
        };
        let cut = [JobStatus::ChunkingComplete, JobStatus::Reassembling];
        cut.into_iter().chain(uncut.iter().copied()).map(|status| (status, None))
    }

    /// Lists the next unfinished jobs. What cannot be listed is left to the next pass.
    async fn list_some(&self, pass: &mut Pass) -> Result<()> {
        let mut result = Ok(());
        while pass.left.len() < JOBS_AT_ONCE
            && let Some((status, from)) = pass.to_list.pop_front()
        {
            let limit = JOBS_AT_ONCE - pass.left.len();
            match self.context.ledger().some_jobs(status, from.as_ref(), limit).await {
                Ok(some) => {
                    pass.left.extend(some.jobs);
                    if some.next.is_some() {
                        pass.to_list.push_front((status, some.next));
                    }
                }
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    /// A job that was listed by an earlier sweep and may have moved since.
    async fn sweep_listed(
        &self,
        job_id: &JobId,
        working: usize,
        memory: &mut Memory,
    ) -> Result<()> {
        match self.context.ledger().job(job_id).await? {
            Some(job) if !job.status.is_terminal() => {
                self.sweep_unfinished(&job, working, memory).await
            }
            _ => Ok(()),
        }
    }

    async fn sweep_unfinished(&self, job: &Job, working: usize, memory: &mut Memory) -> Result<()> {
        match job.status {
            JobStatus::ChunkingComplete | JobStatus::Reassembling => {
                self.sweep_job(job, working, memory).await
            }
            _ => self.sweep_source(job, memory).await,
        }
    }

    fn report_permits(&self, holders: &[Holder]) {
        let now = self.context.now();
        let oldest = overdue_reservation(holders, now);
        self.context.ports.metrics.gauge(metrics::IN_FLIGHT, &[], holders.len() as f64);
        self.context.ports.metrics.gauge(metrics::OVERDUE, &[], oldest.as_secs_f64());
    }

    /// Looks at every attempt that holds a permit.
    async fn sweep_holders(
        &self,
        holders: &[Holder],
        memory: &mut Memory,
        stop: &Stop,
    ) -> Result<()> {
        let now = self.context.now();
        let mut ages = metrics::AGES.map(|(label, bound)| (label, bound, 0u32));
        let (mut working, mut result) = (0, Ok(()));
        let mut oldest = overdue_reservation(holders, now);
        for holder in holders {
            let Some(work) = &holder.work else { continue };
            if stop.soft.is_cancelled() {
                return result;
            }
            working += 1;
            let verb = || self.context.ledger().segment(&work.segment);
            let row = match self.context.persist("segment", verb).await {
                Ok(row) => row,
                Err(error) => {
                    result = result.and(Err(error));
                    continue;
                }
            };
            match row.filter(|row| row.attempt == work.attempt) {
                Some(row) if row.holder.as_ref() == Some(&holder.id) => {
                    let late = now.since(row.deadline);
                    if late > self.context.config.sweep * OVERDUE_SWEEPS {
                        self.violated("permit_past_deadline", &holder.id, memory, now);
                    }
                    oldest = oldest.max(late);
                    let age = now.since(row.next_at).as_secs();
                    if let Some(class) = ages.iter_mut().find(|(_, bound, _)| age < *bound) {
                        class.2 += 1;
                    }
                    let span = info_span!("observe", job_id = %row.segment.job_id,
                        segment_index = row.segment.index);
                    result = result.and(self.evidence.look_at(&row).instrument(span).await);
                }
                _ => self.violated("holder_without_attempt", &holder.id, memory, now),
            }
        }
        self.context.ports.metrics.gauge(metrics::OVERDUE, &[], oldest.as_secs_f64());
        if working > self.context.config.max_in_flight as usize {
            self.violated("limit", &HolderId("all".to_owned()), memory, now);
        }
        for (label, _, count) in ages {
            self.context.ports.metrics.gauge(
                metrics::PERMITS,
                &[("younger_than", label)],
                count.into(),
            );
        }
        result
    }

    /// Counts a rule that seems broken and still does in a later sweep: what was read a moment
    /// apart may disagree, and a limit that was lowered takes time to be kept.
    fn violated(
        &self,
        invariant: &'static str,
        id: &HolderId,
        memory: &mut Memory,
        now: Timestamp,
    ) {
        if memory.overdue(format!("{invariant} {id}"), self.context.config.sweep, now) {
            warn!(invariant, holder = %id, "a rule of the protocol is broken");
            self.context.count(metrics::VIOLATIONS, &[("invariant", invariant)]);
        }
    }

    async fn sweep_due(&self, memory: &mut Memory, stop: &Stop) -> Result<()> {
        if self.is_paused(Role::Segments) {
            return Ok(());
        }
        let now = self.context.now();
        for row in self.context.ledger().due(now, DUE_AT_ONCE).await? {
            if stop.soft.is_cancelled() {
                break;
            }
            // The caller's message comes back by itself; the backend's was deleted at hand-over.
            let patience = match row.custody {
                Custody::Caller => self.context.config.unattended,
                Custody::Backend => Duration::ZERO,
            };
            if memory.overdue(format!("{}#{}", row.segment, row.attempt), patience, now) {
                self.send_again(&row.segment).await?;
            }
        }
        Ok(())
    }

    async fn sweep_job(&self, job: &Job, working: usize, memory: &mut Memory) -> Result<()> {
        // A job whose segments complete here is asked about once that stops. A segment of it may be
        // lost all the same, and the time that it stands is to be counted from now.
        let moving =
            self.context.triggers.progressed_within(&job.job_id, self.context.config.sweep);
        if self.context.config.completes && !moving && !buggify!(self.context, TriggerOnEdge) {
            // The message of a job that is reassembling was sent; whether it has to be sent again is seen
            // long after it was.
            let ask_again = self.context.config.resend.unfinished / 12;
            if job.status != JobStatus::Reassembling
                || !self.is_paused(Role::Reassembly)
                    && memory.is_turn(
                        format!("trigger {}", job.job_id),
                        ask_again,
                        self.context.now(),
                    )
            {
                self.trigger.ask_for(&job.job_id).await?;
            }
            // Somebody else's reassembler tells by an event alone that it is done.
            if job.status == JobStatus::Reassembling {
                let now = self.context.now();
                if memory.overdue(
                    format!("final {}", job.job_id),
                    self.context.config.unattended,
                    now,
                ) {
                    let key = ObjectKey::Final(job.job_id.clone());
                    self.jobs.final_written(&job.job_id, &key).await?;
                }
            }
        }
        if buggify!(self.context, NoMissingScan) {
            return Ok(());
        }
        let (JobStatus::ChunkingComplete, Some(total)) = (job.status, job.total_segments) else {
            return Ok(());
        };
        // While every permit works, a segment without a row is waiting its turn, not lost.
        if working >= self.context.config.max_in_flight as usize {
            return Ok(());
        }
        let rows = self.context.ledger().segments(&job.job_id).await?;
        let now = self.context.now();
        let of_this_cut = rows.iter().filter(|row| row.segment.total == total);
        let mut known: BTreeSet<u32> = of_this_cut
            // What is due is announced as such, and what is not due yet waits on purpose.
            .filter(|row| row.state != SegmentState::RetryWait || row.next_at > now)
            .map(|row| row.segment.index)
            .collect();
        known.extend(
            self.context
                .ledger()
                .completions(&job.job_id, total)
                .await?
                .iter()
                .map(|c| c.segment_index),
        );
        for index in (0..total).filter(|index| !known.contains(index)) {
            let Ok(segment) = Segment::new(job.job_id.clone(), index, total, job.mode) else {
                continue;
            };
            if memory.overdue_in_turn(segment.to_string(), self.context.config.unattended, now)
                && !self.is_done_elsewhere(&segment).await?
            {
                self.send_again(&segment).await?;
            }
        }
        Ok(())
    }

    /// Whether another part, whose completions cannot be read, has made the segment's result.
    async fn is_done_elsewhere(&self, segment: &Segment) -> Result<bool> {
        if self.context.config.knows_completions {
            return Ok(false);
        }
        let Segment { job_id, index, .. } = segment.clone();
        let buckets = &self.context.config.buckets;
        let (Ok(input), Ok(output)) = (
            buckets.input.uri(&ObjectKey::Segment(segment.clone())),
            buckets.output.uri(&ObjectKey::Result { job_id, index }),
        ) else {
            return Ok(false);
        };
        let objects = &self.context.ports.objects;
        let (cut, made) = (objects.head(&input).await?, objects.head(&output).await?);
        // An older one is of another cut.
        Ok(made.is_some_and(|made| cut.is_none_or(|cut| made.modified >= cut.modified)))
    }

    async fn send_again(&self, segment: &Segment) -> Result<()> {
        let key = ObjectKey::Segment(segment.clone());
        self.announce(&*self.context.ports.segments.queue, &key, "segment").await
    }

    async fn sweep_source(&self, job: &Job, memory: &mut Memory) -> Result<()> {
        let Some(inbox) = &self.context.ports.chunking else { return Ok(()) };
        if self.is_paused(Role::Chunking) {
            return Ok(());
        }
        let now = self.context.now();
        if memory.overdue(format!("source {}", job.job_id), self.context.config.unattended, now) {
            let key = ObjectKey::Source(job.job_id.clone());
            self.announce(&*inbox.queue, &key, "source").await?;
        }
        Ok(())
    }

    /// Sends the event of an object in the input bucket again, if the object is there.
    async fn announce(&self, queue: &dyn Queue, key: &ObjectKey, kind: &'static str) -> Result<()> {
        let bucket = &self.context.config.buckets.input;
        let Ok(uri) = bucket.uri(key) else { return Ok(()) };
        let Some(meta) = self.context.ports.objects.head(&uri).await? else { return Ok(()) };
        let event = ObjectEvent {
            bucket: bucket.name().to_owned(),
            key: key.to_string(),
            size: Some(meta.size),
        };
        warn!(%key, "unattended; its event is sent again");
        self.context.count(metrics::RESENT, &[("kind", kind)]);
        queue.send(&s3_notification(&[event]), &[]).await
    }
}
