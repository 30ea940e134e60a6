//! What must never happen, checked at the moment it would.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parallax_conformance::fault::Tally;
use parallax_conformance::memory::MemoryObjects;
use parallax_job::{JobId, JobStatus, Segment};
use parallax_ports::ledger::SegmentState;
use parallax_ports::ledger::rules::Change;
use parallax_ports::{Invocation, request};
use tokio::time::Instant;

use super::endpoint::{RUN_LIMIT, request_at};

/// Which attempt of what.
pub type Work = (Segment, u32);

/// Sees every change of the ledger and every run, and knows what both must keep to.
#[derive(Debug)]
pub struct Watch {
    pub tally: Arc<Tally>,
    /// The most permits and runs that may be at any time.
    limit: usize,
    /// How long a permit may be bound to an attempt that reached nobody, where that is limited.
    unreached: Option<Duration>,
    start: Instant,
    traced: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    violations: Vec<String>,
    trace: Vec<String>,
    running: BTreeSet<Work>,
    permits: BTreeMap<String, Work>,
    bound_at: BTreeMap<Work, Instant>,
    started: BTreeMap<Work, Instant>,
    /// Attempts of which the ledger knows that the backend has them.
    invoked: BTreeSet<Work>,
    assembling: BTreeSet<JobId>,
    /// Segments, each of one cut, of which a whole result was written.
    written: BTreeSet<(JobId, u32, u32)>,
    completed: BTreeMap<(JobId, u32), BTreeSet<u32>>,
    statuses: BTreeMap<JobId, JobStatus>,
    troubles: BTreeMap<Segment, Trouble>,
}

/// What may excuse a failed segment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trouble {
    /// Attempts that the model failed.
    pub failures: u32,
    /// Attempts whose input the model refused.
    pub rejected: u32,
    /// Attempts that nothing was heard of until their deadline.
    pub expired: u32,
    /// Attempts that left a whole result and say that they failed. Where another cut has had attempts
    /// at the index, nobody can tell whose result that is.
    pub contradicted: u32,
}

impl Watch {
    pub fn new(limit: usize, unreached: Option<Duration>, traced: bool) -> Self {
        Self {
            tally: Arc::default(),
            limit,
            unreached,
            start: Instant::now(),
            traced,
            state: Mutex::default(),
        }
    }

    pub fn violated(&self, text: String) {
        let mut state = self.state.lock().unwrap();
        self.note(&mut state, text);
    }

    pub fn violations(&self) -> Vec<String> {
        self.state.lock().unwrap().violations.clone()
    }

    fn note(&self, state: &mut State, text: String) {
        let at = self.start.elapsed().as_secs_f64();
        if self.traced {
            state.trace.push(format!("{at:.3} VIOLATION {text}"));
        }
        state.violations.push(format!("{at:.3} {text}"));
    }

    /// Keeps a line when this history is traced.
    pub fn trace(&self, text: impl FnOnce() -> String) {
        if self.traced {
            let at = self.start.elapsed().as_secs_f64();
            self.state.lock().unwrap().trace.push(format!("{at:.3} {}", text()));
        }
    }

    pub fn lines(&self) -> Vec<String> {
        self.state.lock().unwrap().trace.clone()
    }

    pub fn invocations(&self) -> u64 {
        self.state.lock().unwrap().started.len() as u64
    }

    pub fn running(&self) -> usize {
        self.state.lock().unwrap().running.len()
    }

    /// The model failed or refused an attempt.
    pub fn blame(&self, segment: &Segment, rejected: bool) {
        let mut state = self.state.lock().unwrap();
        let trouble = state.troubles.entry(segment.clone()).or_default();
        if rejected {
            trouble.rejected += 1;
        } else {
            trouble.failures += 1;
        }
    }

    /// An attempt has written a whole result and is going to say that it failed.
    pub fn contradict(&self, segment: &Segment) {
        let mut state = self.state.lock().unwrap();
        state.troubles.entry(segment.clone()).or_default().contradicted += 1;
    }

    pub fn trouble(&self, segment: &Segment) -> Trouble {
        self.state.lock().unwrap().troubles.get(segment).copied().unwrap_or_default()
    }

    /// The backend begins an attempt, or accepts it.
    pub fn started(&self, invocation: &Invocation) {
        let mut state = self.state.lock().unwrap();
        let work = (invocation.segment.clone(), invocation.attempt);
        if state.started.insert(work.clone(), Instant::now()).is_some() {
            self.note(&mut state, format!("{} attempt {} invoked twice", work.0, work.1));
        }
        if !state.permits.values().any(|held| *held == work) {
            self.note(&mut state, format!("{} attempt {} runs without a permit", work.0, work.1));
        }
        state.running.insert(work);
        let running = state.running.len();
        if running > self.limit {
            self.note(&mut state, format!("{running} run over a limit of {}", self.limit));
        }
    }

    /// The backend writes a whole result.
    pub fn wrote(&self, segment: &Segment) {
        let Segment { job_id, total, index, .. } = segment.clone();
        self.state.lock().unwrap().written.insert((job_id, total, index));
    }

    /// The backend will do nothing more for the attempt that it answers for.
    pub fn ended(&self, invocation: &Invocation) {
        let work = (invocation.segment.clone(), invocation.attempt);
        self.state.lock().unwrap().running.remove(&work);
    }

    /// Whether the backend is not done with an attempt.
    pub fn runs(&self, invocation: &Invocation) -> bool {
        let work = (invocation.segment.clone(), invocation.attempt);
        self.state.lock().unwrap().running.contains(&work)
    }

    /// Somebody joins a job's results; two at once would write over one another.
    pub fn assembling(self: &Arc<Self>, job_id: &JobId) -> Assembling {
        let mut state = self.state.lock().unwrap();
        if !state.assembling.insert(job_id.clone()) {
            self.note(&mut state, format!("{job_id} is assembled twice at once"));
        }
        Assembling(self.clone(), job_id.clone())
    }

    /// Follows the ledger.
    pub fn changed(&self, objects: &MemoryObjects, change: &Change) {
        // Idle replicas renew their reservations all the time: they would drown the rest.
        let idle = change.put_holder.as_ref().is_some_and(|holder| holder.work.is_none());
        if self.traced && *change != Change::default() && !idle {
            self.trace(|| format!("{change:?}"));
        }
        let mut state = self.state.lock().unwrap();
        let state = &mut *state;
        self.permits(state, objects, change);
        self.rows(state, objects, change);
        self.jobs(state, change);
    }

    fn permits(&self, state: &mut State, objects: &MemoryObjects, change: &Change) {
        if let Some(holder) = &change.put_holder
            && let Some(work) = &holder.work
        {
            let work = (work.segment.clone(), work.attempt);
            state.bound_at.entry(work.clone()).or_insert_with(Instant::now);
            state.permits.insert(holder.id.0.clone(), work);
            let held = state.permits.len();
            if held > self.limit {
                self.note(state, format!("{held} permits over a limit of {}", self.limit));
            }
        }
        for id in &change.remove_holders {
            if let Some(work) = state.permits.remove(&id.0) {
                self.permit_ended(state, objects, &work);
            }
        }
    }

    fn permit_ended(&self, state: &mut State, objects: &MemoryObjects, work: &Work) {
        let (segment, attempt) = work;
        let started = state.started.get(work).copied();
        if state.running.contains(work) {
            // What nothing is known of is waited for as long as it may run, not as long as it may
            // wait at the endpoint before.
            let unknown = !state.invoked.contains(work);
            if unknown && started.is_some_and(|at| at.elapsed() >= RUN_LIMIT) {
                self.tally.count("unanswered attempt outlived its bound");
                state.running.remove(work);
            } else {
                let text = format!("permit of {segment} attempt {attempt} ended while it runs");
                self.note(state, text);
            }
        }
        let asked = objects.noted(&request_at(segment)) == Some(request::mark(segment, *attempt));
        let held = state.bound_at.get(work).map(Instant::elapsed).unwrap_or_default();
        if started.is_none() && !asked && self.unreached.is_some_and(|most| held > most) {
            let text = format!("{segment} attempt {attempt} reached nobody, permit held {held:?}");
            self.note(state, text);
        }
    }

    fn rows(&self, state: &mut State, objects: &MemoryObjects, change: &Change) {
        if let Some(row) = &change.segment
            && row.state == SegmentState::Invoked
        {
            state.invoked.insert((row.segment.clone(), row.attempt));
        }
        if let Some(row) = &change.segment
            && row.state == SegmentState::RetryWait
            && row.last_error.as_ref().is_some_and(|error| error.class == "expired")
        {
            state.troubles.entry(row.segment.clone()).or_default().expired += 1;
        }
        if let Some(completion) = &change.completion {
            let key = (completion.job_id.clone(), completion.total_segments);
            if !state.completed.entry(key.clone()).or_default().insert(completion.segment_index) {
                let text = format!("{key:?} {} completed twice", completion.segment_index);
                self.note(state, text);
            }
            let whole = (key.0.clone(), key.1, completion.segment_index);
            if !objects.contains(&completion.output_s3_uri) || !state.written.contains(&whole) {
                let text = format!("{key:?} {} has no output", completion.segment_index);
                self.note(state, text);
            }
        }
    }

    fn jobs(&self, state: &mut State, change: &Change) {
        if let Some(job) = &change.job {
            let before = state.statuses.insert(job.job_id.clone(), job.status);
            let before = before.unwrap_or(JobStatus::Created);
            let anew =
                (before, job.status) == (JobStatus::Reassembling, JobStatus::ChunkingComplete);
            if before != job.status && !before.may_become(job.status) && !anew {
                self.note(state, format!("{} went from {before} to {}", job.job_id, job.status));
            }
        }
        if let Some(trigger) = &change.trigger {
            let of_job = |((id, total), done): (&(JobId, u32), &BTreeSet<u32>)| {
                *id == trigger.job_id
                    && done.len() == *total as usize
                    && trigger.total.is_none_or(|of| of == *total)
            };
            if !state.completed.iter().any(of_job) {
                self.note(state, format!("{} triggered before it was complete", trigger.job_id));
            }
        }
    }
}

/// Ends with the assembly, however that ends.
pub struct Assembling(Arc<Watch>, JobId);

impl Drop for Assembling {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().assembling.remove(&self.1);
    }
}
