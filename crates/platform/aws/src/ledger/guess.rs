//! What this process believes the ledger holds, so that most verbs need no read.
//!
//! A belief is never an answer. It only lets a rule propose a change, and the conditions of the
//! write test every part of the belief that the rule was given; where they fail, or where the
//! rule proposes nothing, the verb reads and decides properly. Losing all of it costs reads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parallax_job::{JobId, Segment};
use parallax_ports::ledger::rules::Change;
use parallax_ports::ledger::{Holder, Job, SegmentRow, SegmentState, TriggerRow, Work};

use super::invocations::VERSION;
use super::item::{Item, n, s};
use super::snapshot::{Read, Snapshot, Wanted};

/// Rows and jobs that are remembered; a process works on a few at a time.
const REMEMBERED: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Beliefs(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    holders: Option<Vec<Holder>>,
    rows: HashMap<Segment, (SegmentRow, u64)>,
    jobs: HashMap<JobId, (Job, Item)>,
    /// Triggers that this process has just decided and is about to confirm.
    triggers: HashMap<JobId, (TriggerRow, Item)>,
}

impl Beliefs {
    /// A snapshot that may well be true, where there is reason to think so. `fresh` says that the
    /// segment, if nothing is known of it, has probably no row yet.
    pub(super) fn guess(&self, wanted: &Wanted<'_>, fresh: bool) -> Option<Snapshot> {
        let state = self.lock();
        let mut guess = Snapshot::default();
        if let Some(job_id) = wanted.trigger {
            guess.trigger = Read::Found(state.triggers.get(job_id)?.clone());
        }
        if let Some(segment) = wanted.segment {
            guess.row = match state.rows.get(segment) {
                Some(known) => Read::Found(known.clone()),
                None if fresh => Read::Absent,
                None => return None,
            };
        }
        if wanted.completion_of.is_some() {
            guess.completion = Read::Absent;
        }
        if wanted.permits {
            guess.holders = Read::Found(state.holders.clone()?);
        }
        if let Some(job_id) = wanted.job {
            guess.job = Read::Found(state.jobs.get(job_id)?.clone());
        }
        Some(guess)
    }

    /// What is believed of a job alone.
    pub(super) fn job(&self, job_id: &JobId) -> Snapshot {
        let job = self.lock().jobs.get(job_id).cloned();
        Snapshot { job: job.map_or(Read::Skipped, Read::Found), ..Snapshot::default() }
    }

    /// Rows of attempts that are known to be accepted, and so where their outcomes will be, which does
    /// not change; and the segments of the others.
    pub(super) fn accepted(
        &self,
        work: impl Iterator<Item = Work>,
    ) -> (Vec<SegmentRow>, Vec<Segment>) {
        let state = self.lock();
        let (mut rows, mut unknown) = (Vec::new(), Vec::new());
        for Work { segment, attempt } in work {
            let known = state.rows.get(&segment).map(|(row, _)| row);
            match known.filter(|row| row.attempt == attempt && row.state == SegmentState::Invoked) {
                Some(row) => rows.push(row.clone()),
                None => unknown.push(segment),
            }
        }
        (rows, unknown)
    }

    /// Forgets of jobs what a list contradicts: that one was cut anew, which asks for no write here
    /// that would find it out.
    pub(super) fn doubt(&self, jobs: &[Job]) {
        let mut state = self.lock();
        for job in jobs {
            let known = state.jobs.get(&job.job_id).map(|(job, _)| job.total_segments);
            if known.is_some_and(|total| total != job.total_segments) {
                state.jobs.remove(&job.job_id);
            }
        }
    }

    /// Learns from what was read, which may be a moment old.
    pub(super) fn learn(&self, seen: &Snapshot) {
        let mut state = self.lock();
        if let Read::Found(holders) = &seen.holders {
            state.holders = Some(holders.clone());
        }
        if let Read::Found((row, version)) = &seen.row {
            state.remember_row(row.clone(), *version);
        }
        if let Read::Found((job, item)) = &seen.job {
            state.remember_job(job.clone(), item.clone());
        }
    }

    /// Learns from a change that was stored over what was seen.
    pub(super) fn stored(&self, seen: &Snapshot, change: &Change) {
        let mut state = self.lock();
        if let Some(row) = change.segment.as_ref().filter(|row| seen.row() != Some(row)) {
            let version = seen.row.get().map_or(1, |(_, version)| version + 1);
            state.remember_row(row.clone(), version);
        }
        if let Some(holders) = &mut state.holders {
            let put = change.put_holder.as_ref();
            let replaced = |h: &Holder| {
                change.remove_holders.contains(&h.id) || put.is_some_and(|p| p.id == h.id)
            };
            holders.retain(|holder| !replaced(holder));
            holders.extend(put.cloned());
        }
        if let Some(trigger) = &change.trigger {
            state.triggers.remove(&trigger.job_id);
            if !seen.trigger.was_found() {
                // All that the conditions of the next write compare.
                let item = Item::from([
                    ("job_id".to_owned(), s(&trigger.job_id)),
                    (VERSION.to_owned(), n(1)),
                ]);
                state.remember_trigger(trigger.clone(), item);
            }
        }
        if let Some(job) = &change.job {
            state.jobs.remove(&job.job_id);
        }
    }

    /// Forgets what turned out to be wrong.
    pub(super) fn forget(&self, wanted: &Wanted<'_>) {
        let mut state = self.lock();
        if let Some(segment) = wanted.segment {
            state.rows.remove(segment);
        }
        if let Some(job_id) = wanted.job {
            state.jobs.remove(job_id);
        }
        if let Some(job_id) = wanted.trigger {
            state.triggers.remove(job_id);
        }
        if wanted.permits {
            state.holders = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember_row(&mut self, row: SegmentRow, version: u64) {
        // Nothing further is asked of a segment that is over.
        if row.state.is_terminal() && row.holder.is_none() {
            self.rows.remove(&row.segment);
            return;
        }
        if self.rows.len() >= REMEMBERED {
            self.rows.clear();
        }
        self.rows.insert(row.segment.clone(), (row, version));
    }

    fn remember_trigger(&mut self, row: TriggerRow, item: Item) {
        if self.triggers.len() >= REMEMBERED {
            self.triggers.clear();
        }
        self.triggers.insert(row.job_id.clone(), (row, item));
    }

    fn remember_job(&mut self, job: Job, item: Item) {
        if self.jobs.len() >= REMEMBERED {
            self.jobs.clear();
        }
        self.jobs.insert(job.job_id.clone(), (job, item));
    }
}
