//! The reconcile loop: what lost events and crashes left behind.
//!
//! A sweep asks of every held permit, every due retry and every unfinished job: what should have
//! happened by now? It repairs by looking at evidence and by sending the lost event again, so that
//! the ordinary loops do the work. It is correct on every replica at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parallax_job::{JobStatus, ObjectEvent, ObjectKey, Segment, Timestamp, s3_notification};
use parallax_ports::ledger::{HolderId, Job, SegmentState};
use parallax_ports::{Custody, Queue, Result};
use tokio::time::sleep;
use tracing::{Instrument, info_span, warn};

use crate::supervise::Stop;
use crate::{Mutant, Pipeline, Role, metrics};

/// Retries looked at in one sweep.
const DUE_AT_ONCE: usize = 100;

/// Segments without a row whose events one sweep sends again. A backlog looks like lost events when
/// everything is slow; sending it all again would make it slower, and the sweep late for its permits.
const SENT_AT_ONCE: usize = 20;

pub(crate) async fn run(pipeline: Arc<Pipeline>, stop: Stop) {
    let mut memory = Memory::default();
    let beat = pipeline.beat(Role::Reconcile);
    pipeline.count_no_violations();
    while !stop.soft.is_cancelled() {
        beat.tick();
        tokio::select! {
            biased;
            () = stop.soft.cancelled() => break,
            () = sleep(pipeline.jittered(pipeline.config.sweep)) => {}
        }
        if pipeline.config.is(Mutant::NoReconcile) {
            continue;
        }
        // A stop lets the sweep finish: each step of it is short.
        match pipeline.sweep(&mut memory).instrument(info_span!("sweep")).await {
            Ok(()) => pipeline.count(metrics::SWEEPS, &[("outcome", "done")]),
            Err(error) => {
                pipeline.count(metrics::SWEEPS, &[("outcome", "error")]);
                warn!(error = %error.chain(), "sweep incomplete");
            }
        }
    }
}

/// What this replica has seen standing, since when, and how often it sent the event again. Losing
/// it costs time, nothing else.
#[derive(Debug, Default)]
struct Memory {
    standing: BTreeMap<String, Standing>,
    /// Events that this sweep has sent again.
    sent: usize,
}

#[derive(Debug)]
struct Standing {
    since: Timestamp,
    resent: u32,
    seen: bool,
}

impl Memory {
    /// Whether `what` has stood for `unattended`, doubled for each time this answered yes.
    fn overdue(&mut self, what: String, unattended: Duration, now: Timestamp) -> bool {
        let entry = self.see(what, now);
        let patience = unattended * 2u32.saturating_pow(entry.resent.min(6));
        if now.since(entry.since) < patience {
            return false;
        }
        entry.since = now;
        entry.resent += 1;
        true
    }

    /// The same for what a sweep does a bounded number of times; the rest stays overdue.
    fn overdue_in_turn(&mut self, what: String, unattended: Duration, now: Timestamp) -> bool {
        if self.sent >= SENT_AT_ONCE {
            self.see(what, now);
            return false;
        }
        let overdue = self.overdue(what, unattended, now);
        self.sent += usize::from(overdue);
        overdue
    }

    fn see(&mut self, what: String, now: Timestamp) -> &mut Standing {
        let entry =
            self.standing.entry(what).or_insert(Standing { since: now, resent: 0, seen: true });
        entry.seen = true;
        entry
    }

    /// Forgets what did not stand in the sweep that ends here.
    fn forget_moved(&mut self) {
        self.standing.retain(|_, entry| std::mem::take(&mut entry.seen));
    }
}

impl Pipeline {
    async fn sweep(&self, memory: &mut Memory) -> Result<()> {
        memory.sent = 0;
        let mut first_error = None;
        let mut note = |result: Result<()>| {
            if let Err(error) = result {
                first_error.get_or_insert(error);
            }
        };
        // One job's trouble must not keep another from being looked at.
        let mut working = usize::MAX;
        match self.sweep_holders(memory).await {
            Ok(count) => working = count,
            Err(error) => note(Err(error)),
        }
        note(self.sweep_due(memory).await);
        for status in [JobStatus::ChunkingComplete, JobStatus::Reassembling] {
            match self.ledger().jobs(status).await {
                Ok(jobs) => {
                    for job in jobs {
                        note(self.sweep_job(&job, working, memory).await);
                    }
                }
                Err(error) => note(Err(error)),
            }
        }
        let uncut: &[_] = match self.ports.chunking {
            Some(_) => &[JobStatus::Created, JobStatus::Ingesting, JobStatus::ChunkingInProgress],
            None => &[],
        };
        for &status in uncut {
            match self.ledger().jobs(status).await {
                Ok(jobs) => {
                    for job in jobs {
                        note(self.sweep_source(&job, memory).await);
                    }
                }
                Err(error) => note(Err(error)),
            }
        }
        if first_error.is_none() {
            memory.forget_moved();
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Looks at every attempt that holds a permit; how many there are.
    async fn sweep_holders(&self, memory: &mut Memory) -> Result<usize> {
        let holders = self.ledger().holders().await?;
        let now = self.now();
        let oldest = holders.iter().map(|h| now.since(h.deadline)).max().unwrap_or_default();
        self.ports.metrics.gauge(metrics::IN_FLIGHT, &[], holders.len() as f64);
        self.ports.metrics.gauge(metrics::OVERDUE, &[], oldest.as_secs_f64());
        let mut ages = metrics::AGES.map(|(label, bound)| (label, bound, 0u32));
        let (mut working, mut result) = (0, Ok(()));
        for holder in &holders {
            let Some(work) = &holder.work else { continue };
            working += 1;
            if now.since(holder.deadline) > self.config.sweep * 2 {
                self.violated("permit_past_deadline", &holder.id, memory, now);
            }
            let verb = || self.ledger().segment(&work.segment);
            let row = match self.persist("segment", verb).await {
                Ok(row) => row,
                Err(error) => {
                    result = result.and(Err(error));
                    continue;
                }
            };
            match row.filter(|row| row.attempt == work.attempt) {
                Some(row) if row.holder.as_ref() == Some(&holder.id) => {
                    let age = now.since(row.next_at).as_secs();
                    if let Some(class) = ages.iter_mut().find(|(_, bound, _)| age < *bound) {
                        class.2 += 1;
                    }
                    let span = info_span!("observe", job_id = %row.segment.job_id,
                        segment_index = row.segment.index);
                    result = result.and(self.look_at(&row).instrument(span).await);
                }
                _ => self.violated("holder_without_attempt", &holder.id, memory, now),
            }
        }
        if working > self.config.max_in_flight as usize {
            self.violated("limit", &HolderId("all".to_owned()), memory, now);
        }
        for (label, _, count) in ages {
            self.ports.metrics.gauge(metrics::PERMITS, &[("younger_than", label)], count.into());
        }
        result.map(|()| working)
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
        if memory.overdue(format!("{invariant} {id}"), self.config.sweep, now) {
            warn!(invariant, holder = %id, "a rule of the protocol is broken");
            self.count(metrics::VIOLATIONS, &[("invariant", invariant)]);
        }
    }

    async fn sweep_due(&self, memory: &mut Memory) -> Result<()> {
        let now = self.now();
        for row in self.ledger().due(now, DUE_AT_ONCE).await? {
            // The caller's message comes back by itself; the backend's was deleted at hand-over.
            let patience = match row.custody {
                Custody::Caller => self.config.unattended,
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
        let moving = self.triggers.progressed_within(&job.job_id, self.config.sweep);
        if self.config.completes && !moving && !self.config.is(Mutant::TriggerOnEdge) {
            self.trigger(&job.job_id).await?;
            // Somebody else's reassembler tells by an event alone that it is done.
            if job.status == JobStatus::Reassembling {
                let now = self.now();
                if memory.overdue(format!("final {}", job.job_id), self.config.unattended, now) {
                    let key = ObjectKey::Final(job.job_id.clone());
                    self.final_written(&job.job_id, &key).await?;
                }
            }
        }
        if self.config.is(Mutant::NoMissingScan) {
            return Ok(());
        }
        let (JobStatus::ChunkingComplete, Some(total)) = (job.status, job.total_segments) else {
            return Ok(());
        };
        // While every permit works, a segment without a row is waiting its turn, not lost.
        if working >= self.config.max_in_flight as usize {
            return Ok(());
        }
        let rows = self.ledger().segments(&job.job_id).await?;
        let of_this_cut = rows.iter().filter(|row| row.segment.total == total);
        let mut known: BTreeSet<u32> = of_this_cut
            .filter(|row| row.state != SegmentState::RetryWait)
            .map(|row| row.segment.index)
            .collect();
        known.extend(
            self.ledger().completions(&job.job_id, total).await?.iter().map(|c| c.segment_index),
        );
        let now = self.now();
        for index in (0..total).filter(|index| !known.contains(index)) {
            let Ok(segment) = Segment::new(job.job_id.clone(), index, total, job.mode) else {
                continue;
            };
            if memory.overdue_in_turn(segment.to_string(), self.config.unattended, now) {
                self.send_again(&segment).await?;
            }
        }
        Ok(())
    }

    async fn send_again(&self, segment: &Segment) -> Result<()> {
        let key = ObjectKey::Segment(segment.clone());
        self.announce(&*self.ports.segments.queue, &key, "segment").await
    }

    async fn sweep_source(&self, job: &Job, memory: &mut Memory) -> Result<()> {
        let Some(inbox) = &self.ports.chunking else { return Ok(()) };
        let now = self.now();
        if memory.overdue(format!("source {}", job.job_id), self.config.unattended, now) {
            let key = ObjectKey::Source(job.job_id.clone());
            self.announce(&*inbox.queue, &key, "source").await?;
        }
        Ok(())
    }

    /// Sends the event of an object in the input bucket again, if the object is there.
    async fn announce(&self, queue: &dyn Queue, key: &ObjectKey, kind: &'static str) -> Result<()> {
        let bucket = &self.config.buckets.input;
        let Ok(uri) = bucket.uri(key) else { return Ok(()) };
        let Some(meta) = self.ports.objects.head(&uri).await? else { return Ok(()) };
        let event = ObjectEvent {
            bucket: bucket.name().to_owned(),
            key: key.to_string(),
            size: Some(meta.size),
        };
        warn!(%key, "unattended; its event is sent again");
        self.count(metrics::RESENT, &[("kind", kind)]);
        queue.send(&s3_notification(&[event]), &[]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_announced_a_few_at_a_time_until_all_of_it_was() {
        let mut memory = Memory::default();
        let (unattended, begin) = (Duration::from_secs(300), Timestamp(1_000_000));
        let mut sweep = |now: Timestamp| {
            memory.sent = 0;
            let sent = (0..50)
                .filter(|index| memory.overdue_in_turn(format!("segment {index}"), unattended, now))
                .count();
            memory.forget_moved();
            sent
        };
        let later = begin + unattended;
        assert_eq!(sweep(begin), 0, "nothing has stood for long");
        let sent: Vec<usize> = (0..4).map(|_| sweep(later)).collect();
        assert_eq!(sent, [SENT_AT_ONCE, SENT_AT_ONCE, 10, 0]);
    }
}
