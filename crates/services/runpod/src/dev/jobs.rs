//! All jobs: waiting, running, ended; and what runs them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use serde_json::{Map, Value, json};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use super::Limits;
use super::job::{Entry, Status};
use super::refused::Refused;
use super::request::Submission;
use crate::body::{self, Reporter};
use crate::execute::{Ending, Listener, execute};
use crate::{Handler, Job, JobError};

/// The longest update that is kept, in bytes.
const LONGEST_UPDATE: usize = 1 << 20;

/// A place among those that run, or the wait for one.
type Slot = BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>;

/// The jobs.
#[derive(Debug)]
pub(super) struct Jobs {
    pub(super) limits: Limits,
    handler: Arc<dyn Handler>,
    reporter: Reporter,
    slots: Arc<Semaphore>,
    shutdown: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<String, Entry>,
    /// Ended jobs, the oldest first.
    ended: VecDeque<String>,
    bytes: usize,
    waiting: usize,
    completed: u64,
    failed: u64,
}

impl Jobs {
    pub(super) fn new(
        handler: Arc<dyn Handler>,
        limits: Limits,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            handler,
            reporter: Reporter::new("localhost", "local"),
            slots: Arc::new(Semaphore::new(limits.concurrency.max(1))),
            shutdown,
            state: Mutex::default(),
            limits,
        }
    }

    /// Takes a job, which then runs by itself; its id, and what is cancelled at its end.
    pub(super) fn submit(
        self: &Arc<Self>,
        submission: Submission,
        keep: Duration,
    ) -> Result<(String, CancellationToken), Refused> {
        if self.shutdown.is_cancelled() {
            return Err(Refused::Shutdown);
        }
        let id = format!("test-{:032x}", rand::random::<u128>());
        let stop = self.shutdown.child_token();
        let entry = Entry::new(submission.bytes, keep, stop);
        let over = entry.over.clone();
        // Asked for here and not in the job's task, so that jobs run in the order they came in.
        let mut slot: Slot = self.slots.clone().acquire_owned().boxed();
        {
            let mut state = self.lock();
            if state.waiting >= self.limits.queue + self.slots.available_permits() {
                return Err(Refused::Queue);
            }
            if !state.make_room(self.limits.memory.saturating_sub(submission.bytes)) {
                return Err(Refused::Memory);
            }
            state.waiting += 1;
            state.bytes += submission.bytes;
            state.entries.insert(id.clone(), entry);
            if let Some(Ok(had)) = (&mut slot).now_or_never() {
                state.begin(&id);
                slot = ready(Ok(had)).boxed();
            }
        }
        let job = Job { id: id.clone(), input: submission.input, rest: submission.rest };
        let execution = submission.execution.unwrap_or(self.limits.execution);
        let span = info_span!("runpod_job", request_id = id);
        tokio::spawn(self.clone().run(job, slot, execution).instrument(span));
        Ok((id, over))
    }

    async fn run(self: Arc<Self>, job: Job, slot: Slot, execution: Duration) {
        let id = job.id.clone();
        let Some(stop) = self.lock().entries.get(&id).map(|entry| entry.stop.clone()) else {
            return;
        };
        let slot = stop.run_until_cancelled(slot).await;
        let Some(Ok(_slot)) = slot.filter(|_| self.lock().begin(&id)) else {
            self.finish(&id, Status::Cancelled, Map::new());
            return;
        };
        let keeper = Keeper { jobs: &self, id: &id };
        let work = execute(self.handler.clone(), job, &stop, self.limits.stop_grace, &keeper);
        tokio::pin!(work);
        let ending = tokio::select! {
            ending = &mut work => ending,
            () = tokio::time::sleep(execution) => {
                let why = format!("job ran longer than {execution:?}");
                let why = Map::from_iter([("error".to_owned(), why.into())]);
                self.finish(&id, Status::TimedOut, why);
                // The slot is free when the handler is.
                stop.cancel();
                work.await;
                return;
            }
        };
        let (mut result, failed) = match ending {
            Ending::Stopped => return self.finish(&id, Status::Cancelled, Map::new()),
            Ending::Whole(output) => {
                let failed = output.error.is_some();
                (body::whole(output), failed)
            }
            Ending::Failed(error) => (self.reporter.failure(&error), true),
            Ending::Parts => (Map::new(), false),
            Ending::PartsFailed(error) => (body::parts_failed(error), true),
        };
        // There is no other worker to refresh with.
        result.remove("stopPod");
        let status = if failed { Status::Failed } else { Status::Completed };
        self.finish(&id, status, result);
    }

    /// Ends a job, unless it has ended already.
    fn finish(&self, id: &str, mut status: Status, mut result: Map<String, Value>) {
        let mut bytes = text_len(&result);
        if bytes > self.limits.output {
            let why = format!("output of {bytes} bytes: at most {} are kept", self.limits.output);
            result = Map::from_iter([("error".to_owned(), why.into())]);
            bytes = text_len(&result);
            status = Status::Failed;
        }
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(id) else { return };
        if entry.status.is_final() {
            return;
        }
        let waited = entry.status == Status::InQueue;
        entry.status = status;
        entry.result = result;
        entry.progress = None;
        entry.ended = Some(Instant::now());
        // Its input is with the handler, which is done with it.
        let before = std::mem::replace(&mut entry.bytes, entry.parts_bytes + bytes);
        let now = entry.bytes;
        entry.over.cancel();
        state.bytes = state.bytes - before + now;
        state.waiting -= usize::from(waited);
        match status {
            Status::Completed => state.completed += 1,
            Status::Failed | Status::TimedOut => state.failed += 1,
            _ => {}
        }
        state.ended.push_back(id.to_owned());
        state.forget(self.limits.kept);
        state.make_room(self.limits.memory);
    }

    /// What is known of a job.
    pub(super) fn describe(&self, id: &str) -> Option<Value> {
        self.swept().entries.get(id).map(|entry| entry.describe(id))
    }

    /// The parts of a job that have not been read.
    pub(super) fn describe_parts(&self, id: &str) -> Option<Value> {
        self.swept().entries.get_mut(id).map(|entry| entry.describe_parts(id))
    }

    /// Cancels a job, unless it has ended; how it stands then.
    pub(super) fn cancel(&self, id: &str) -> Option<Value> {
        let stop = self.swept().entries.get(id)?.stop.clone();
        self.finish(id, Status::Cancelled, Map::new());
        stop.cancel();
        self.describe(id)
    }

    /// Cancels what waits; how many jobs that were.
    pub(super) fn purge(&self) -> usize {
        let waiting: Vec<String> = {
            let state = self.lock();
            let waiting = state.entries.iter().filter(|(_, entry)| entry.status == Status::InQueue);
            waiting.map(|(id, _)| id.clone()).collect()
        };
        waiting.iter().filter_map(|id| self.cancel(id)).count()
    }

    /// How many jobs there are in which state.
    pub(super) fn health(&self) -> Value {
        let state = self.swept();
        let slots = self.limits.concurrency.max(1);
        let running = slots - self.slots.available_permits().min(slots);
        json!({
            "jobs": {
                "completed": state.completed,
                "failed": state.failed,
                "inProgress": running,
                "inQueue": state.waiting,
                "retried": 0,
            },
            "workers": {"idle": slots - running, "running": running, "throttled": 0},
        })
    }

    fn swept(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.forget(self.limits.kept);
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counters and entries are changed together, without anything between that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets a job run; whether it is still wanted.
    fn begin(&mut self, id: &str) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        if entry.status == Status::InQueue {
            entry.status = Status::InProgress;
            entry.started = Some(Instant::now());
            self.waiting -= 1;
        }
        entry.status == Status::InProgress
    }

    /// Forgets the oldest ended jobs until at most `limit` bytes are held; whether they are.
    fn make_room(&mut self, limit: usize) -> bool {
        while self.bytes > limit {
            let Some(id) = self.ended.pop_front() else { return false };
            self.remove(&id);
        }
        true
    }

    /// Forgets ended jobs beyond `kept` and those whose time is over.
    fn forget(&mut self, kept: usize) {
        while self.ended.len() > kept {
            let Some(id) = self.ended.pop_front() else { return };
            self.remove(&id);
        }
        let entries = &self.entries;
        let over = |id: &String| {
            let entry = entries.get(id);
            entry.is_none_or(|e| e.ended.is_some_and(|ended| ended.elapsed() >= e.keep))
        };
        let (over, rest): (VecDeque<_>, VecDeque<_>) = self.ended.drain(..).partition(over);
        self.ended = rest;
        for id in over {
            self.remove(&id);
        }
    }

    fn remove(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id) {
            self.bytes -= entry.bytes;
        }
    }
}

/// Keeps what a job says while it runs.
struct Keeper<'a> {
    jobs: &'a Jobs,
    id: &'a str,
}

#[async_trait]
impl Listener for Keeper<'_> {
    async fn progress(&self, update: Value) {
        if text_len(&update) > LONGEST_UPDATE {
            return;
        }
        if let Some(entry) = self.jobs.lock().entries.get_mut(self.id) {
            entry.progress = Some(update);
        }
    }

    async fn part(&self, part: Value) -> Result<(), JobError> {
        let bytes = text_len(&part);
        let most = self.jobs.limits.output;
        let mut state = self.jobs.lock();
        let Some(entry) = state.entries.get_mut(self.id) else { return Ok(()) };
        if entry.status.is_final() {
            return Ok(());
        }
        if entry.parts_bytes + bytes > most {
            let why = format!("parts of more than {most} bytes are not kept");
            return Err(JobError::new("OutputTooLarge", why));
        }
        entry.bytes += bytes;
        entry.parts_bytes += bytes;
        entry.parts.push(part);
        state.bytes += bytes;
        let memory = self.jobs.limits.memory;
        state.make_room(memory);
        Ok(())
    }
}

/// The bytes of JSON text that a value takes, counted without making it.
fn text_len(value: &impl serde::Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}
