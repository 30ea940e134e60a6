//! From a request to an outcome, whichever front it came through.
//!
//! Identical requests share one run. The run belongs to those who wait for it: when the last of
//! them leaves, it is cancelled and its slot is free. Outcomes of finished runs are remembered
//! within a bound and given again only after the operation found their products still in place.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use parallax_ports::{Ids, MetricsSink};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, info_span, warn};

use crate::executor::{Executor, Overloaded, Slot};
use crate::metrics;
use crate::operation::{Call, Cost};
use crate::registry::{Ready, Registry};
use crate::weight::weight;
use crate::{Failure, FailureKind, Parts, Progress, Readiness, Status};

/// Large bodies in memory at once: so much may strangers take who have no slot yet.
pub(crate) const LARGE_BODIES: usize = 16;
/// The longest name of a request that is kept.
const LONGEST_ID: usize = 128;
/// The longest and the shortest wait that a refused caller is told.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// A request, as a front hands it over.
#[derive(Clone)]
pub struct Request {
    /// Name of the operation.
    pub operation: String,
    /// The JSON object that it takes.
    pub input: Value,
    /// The caller's own name for the request, for logs. Defaults to a random one.
    pub id: Option<String>,
    /// Who asks, for fairness: an address or a platform.
    pub client: String,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The input may hold credentials.
        let mut shown = f.debug_struct("Request");
        shown.field("operation", &self.operation).field("id", &self.id);
        shown.field("client", &self.client).finish_non_exhaustive()
    }
}

/// Limits of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Longest time from admission to outcome. Defaults to an hour, the longest that SageMaker
    /// waits.
    pub run_limit: Duration,
    /// Outcomes that are remembered, each of at most 64 KiB. Defaults to 1000.
    pub remembered: usize,
    /// Bytes of what one run tells before its answer. Defaults to 4 MiB.
    pub part_bytes: usize,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self { run_limit: Duration::from_secs(3600), remembered: 1000, part_bytes: 4 << 20 }
    }
}

/// The largest outcome that is remembered, in bytes: where things are is short, what was seen is not.
const LARGEST: usize = 64 << 10;

type Outcome = Result<Value, Failure>;

/// Operations over one executor.
#[derive(Debug)]
pub struct Service {
    registry: Registry,
    status: Arc<Status>,
    settings: ServiceSettings,
    metrics: Arc<dyn MetricsSink>,
    ids: Ids,
    runs: TaskTracker,
    /// Bodies of more than a usual size that are in memory before their requests are admitted,
    /// whichever front reads them.
    pub(crate) large_bodies: Arc<Semaphore>,
    stop: CancellationToken,
    table: Mutex<Table>,
}

/// Runs that can be shared, and outcomes that can be given again, by what identifies a request.
#[derive(Debug, Default)]
struct Table {
    running: BTreeMap<String, Arc<Run>>,
    done: BTreeMap<String, Value>,
    order: VecDeque<String>,
}

/// A run and those who wait for it.
#[derive(Debug)]
struct Run {
    id: String,
    cancel: CancellationToken,
    progress: watch::Receiver<Progress>,
    parts: Parts,
    outcome: watch::Receiver<Option<Outcome>>,
    /// Changed under the table's lock only.
    waiting: Mutex<usize>,
}

/// One who waits for a run. Dropped before the outcome, it leaves.
#[derive(Debug)]
pub struct Handle {
    service: Arc<Service>,
    run: Arc<Run>,
    cost: Cost,
}

impl Table {
    fn join(&self, identity: &str) -> Option<Arc<Run>> {
        let run = self.running.get(identity).filter(|run| !run.cancel.is_cancelled())?;
        *lock(&run.waiting) += 1;
        Some(run.clone())
    }

    /// Keeps an outcome, at most `most` of them.
    fn remember(&mut self, identity: &str, response: &Value, most: usize) {
        if weight(response, LARGEST) > LARGEST {
            return;
        }
        if self.done.insert(identity.to_owned(), response.clone()).is_none() {
            self.order.push_back(identity.to_owned());
        }
        while self.done.len() > most {
            let Some(oldest) = self.order.pop_front() else { break };
            self.done.remove(&oldest);
        }
    }

    fn forget(&mut self, identity: &str) {
        self.done.remove(identity);
        self.order.retain(|other| other != identity);
    }
}

impl Service {
    /// A service over `registry` and `executor`.
    pub fn new(
        registry: Registry,
        executor: Executor,
        readiness: Readiness,
        metrics: Arc<dyn MetricsSink>,
        settings: ServiceSettings,
    ) -> Arc<Self> {
        Arc::new(Self {
            registry,
            status: Arc::new(Status { executor, readiness, started: Instant::now() }),
            settings,
            metrics,
            ids: Ids::random(),
            runs: TaskTracker::new(),
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
            stop: CancellationToken::new(),
            table: Mutex::default(),
        })
    }

    /// The operations.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The executor.
    pub fn executor(&self) -> &Executor {
        &self.status.executor
    }

    /// Whether work can be taken.
    pub fn readiness(&self) -> &Readiness {
        &self.status.readiness
    }

    /// Checks a request and begins it, or joins an identical one that runs already.
    ///
    /// # Errors
    /// By kind: `Invalid` and `NotFound` name the field; `Overloaded` and `Unavailable` mean that
    /// nothing was begun and say when to ask again.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn submit(self: &Arc<Self>, request: Request) -> Result<Handle, Failure> {
        let label = self.registry.name(&request.operation).unwrap_or("unknown");
        let submitted = self.begin(request).await;
        if let Err(failure) = &submitted {
            self.count(label, failure.kind.as_str());
            let detail = failure.detail.as_deref();
            info!(operation = label, kind = failure.kind.as_str(), error = %failure, detail, "refused");
        }
        submitted
    }

    async fn begin(self: &Arc<Self>, request: Request) -> Result<Handle, Failure> {
        let ready = self.registry.read(&request.operation, request.input)?;
        let cost = ready.cost();
        if cost.queued
            && let Some((name, why)) = self.readiness().reasons().into_iter().next()
        {
            let failure =
                Failure::new(FailureKind::Unavailable, format!("not ready: {name}: {why}"));
            return Err(failure.after(Duration::from_secs(5)));
        }
        let identity = ready.identity().map(|identity| {
            let text = format!("{} {identity}", ready.name());
            Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>()
        });
        if let Some(identity) = &identity {
            if let Some(handle) = self.join(identity, cost) {
                self.metrics.count(metrics::SHARED, &[("operation", ready.name())], 1);
                return Ok(handle);
            }
            if let Some(response) = self.earlier(&*ready, identity).await {
                self.metrics.count(metrics::SHARED, &[("operation", ready.name())], 1);
                self.count(ready.name(), "ok");
                return Ok(self.finished(response, cost));
            }
        }
        let slot = match cost.queued {
            true => Some(
                self.executor()
                    .admit(&request.client)
                    .map_err(|why| self.overloaded(why, cost.expected))?,
            ),
            false => None,
        };
        let id = match request.id {
            Some(id) => id.chars().filter(|c| !c.is_control()).take(LONGEST_ID).collect(),
            None => self.ids.next(),
        };
        Ok(self.start(ready, id, identity, slot, cost))
    }

    /// What an earlier run answered, if its products are still there: one of this process, or of
    /// another one that noted it beside them.
    async fn earlier(&self, ready: &dyn Ready, identity: &str) -> Option<Value> {
        let known = self.lock().done.get(identity).cloned();
        if let Some(response) = known {
            if ready.still_holds(&response).await {
                return Some(response);
            }
            self.lock().forget(identity);
        }
        let response = ready.recall().await?;
        self.lock().remember(identity, &response, self.settings.remembered);
        Some(response)
    }

    /// Joins the run of an identical request, unless it is about to end for want of callers.
    fn join(self: &Arc<Self>, identity: &str, cost: Cost) -> Option<Handle> {
        let run = self.lock().join(identity)?;
        info!(request_id = run.id, "an identical request joins the run");
        Some(Handle { service: self.clone(), run, cost })
    }

    fn finished(self: &Arc<Self>, response: Value, cost: Cost) -> Handle {
        let (_, outcome) = watch::channel(Some(Ok(response)));
        let (_, progress) = watch::channel(Progress::stage("done"));
        let parts = Parts::new(0);
        parts.close();
        let run = Run {
            id: self.ids.next(),
            cancel: CancellationToken::new(),
            progress,
            parts,
            outcome,
            waiting: Mutex::new(1),
        };
        Handle { service: self.clone(), run: Arc::new(run), cost }
    }

    fn start(
        self: &Arc<Self>,
        ready: Box<dyn Ready>,
        id: String,
        identity: Option<String>,
        slot: Option<Slot>,
        cost: Cost,
    ) -> Handle {
        let name = ready.name();
        let cancel = self.stop.child_token();
        let (progress, progress_seen) = watch::channel(Progress::stage(Progress::WAITING));
        let (tell, outcome) = watch::channel(None);
        let parts = Parts::new(self.settings.part_bytes);
        let run = Arc::new(Run {
            id: id.clone(),
            cancel: cancel.clone(),
            progress: progress_seen,
            parts: parts.clone(),
            outcome,
            waiting: Mutex::new(1),
        });
        if let Some(identity) = &identity {
            let mut table = self.lock();
            // An identical request may have been quicker.
            if let Some(run) = table.join(identity) {
                return Handle { service: self.clone(), run, cost };
            }
            table.running.insert(identity.clone(), run.clone());
        }
        let span = info_span!("run", request_id = id, operation = name);
        let service = self.clone();
        let call = Call {
            id,
            cancel: cancel.clone(),
            metrics: self.metrics.clone(),
            status: self.status.clone(),
            progress,
            parts: parts.clone(),
            slot,
        };
        let of_task = run.clone();
        let work = async move {
            let started = Instant::now();
            let limit = service.settings.run_limit;
            let work = AssertUnwindSafe(limited(ready.run(&call), &cancel, limit)).catch_unwind();
            let outcome = work.await.unwrap_or_else(|_| Err(Failure::internal("it panicked")));
            // The slot is free before anybody hears of it.
            drop(call);
            service.settle(identity, &of_task, &outcome);
            match &outcome {
                Ok(_) => {
                    service.count(name, "ok");
                    info!(seconds = started.elapsed().as_secs_f64(), "done");
                }
                Err(failure) => {
                    service.count(name, failure.kind.as_str());
                    let (kind, detail) = (failure.kind.as_str(), failure.detail.as_deref());
                    warn!(kind, error = %failure, detail, "failed");
                }
            }
            // Whoever has heard of the end has had every part.
            parts.close();
            tell.send_replace(Some(outcome));
        };
        self.runs.spawn(work.instrument(span));
        Handle { service: self.clone(), run, cost }
    }

    /// Takes a run out of the table, and remembers a good outcome.
    fn settle(&self, identity: Option<String>, run: &Arc<Run>, outcome: &Outcome) {
        let Some(identity) = identity else { return };
        let mut table = self.lock();
        // Another run may have taken the name of one that was cancelled.
        if table.running.get(&identity).is_some_and(|other| Arc::ptr_eq(other, run)) {
            table.running.remove(&identity);
        }
        if let Ok(response) = outcome {
            table.remember(&identity, response, self.settings.remembered);
        }
    }

    fn overloaded(&self, why: Overloaded, expected: Duration) -> Failure {
        let (taken, slots) = self.executor().slots();
        // One slot is free when the run at hand ends; half of it is over on average.
        let wait = (expected / 2).clamp(WAITS.0, WAITS.1);
        match why {
            Overloaded::Full => {
                let message = format!("all {slots} places are taken");
                Failure::new(FailureKind::Overloaded, message).after(wait)
            }
            Overloaded::Client => {
                let message =
                    format!("{taken} of {slots} places are taken, and no more by one client");
                Failure::new(FailureKind::Overloaded, message).after(wait)
            }
            Overloaded::Closed => {
                let message = "the server is stopping";
                Failure::new(FailureKind::Unavailable, message).after(WAITS.0)
            }
        }
    }

    /// Takes no more work, hands back what has not begun, lets what runs finish for `grace`, then
    /// ends it.
    pub async fn drain(&self, grace: Duration) {
        self.readiness().close();
        self.executor().close();
        self.runs.close();
        if tokio::time::timeout(grace, self.runs.wait()).await.is_err() {
            warn!(runs = self.runs.len(), "the time to drain is over; ending what still runs");
            self.stop.cancel();
            self.runs.wait().await;
        }
    }

    fn count(&self, operation: &'static str, outcome: &'static str) {
        self.metrics.count(metrics::REQUESTS, &[("operation", operation), ("outcome", outcome)], 1);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is a few assignments: a panic elsewhere leaves them whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends work at its deadline, and waits until it has ended.
async fn limited(
    work: impl Future<Output = Outcome>,
    cancel: &CancellationToken,
    limit: Duration,
) -> Outcome {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        outcome = &mut work => return outcome,
        () = tokio::time::sleep(limit) => {}
    }
    cancel.cancel();
    match work.await {
        Err(failure) if failure.kind == FailureKind::Cancelled => {
            let message = format!("it took longer than {} s, which is allowed", limit.as_secs());
            Err(Failure::new(FailureKind::Deadline, message))
        }
        outcome => outcome,
    }
}

impl Handle {
    /// The run's name; of a joined run, the first caller's.
    pub fn id(&self) -> &str {
        &self.run.id
    }

    /// How far the run is.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.run.progress.clone()
    }

    /// What the run tells before its answer.
    pub fn parts(&self) -> Parts {
        self.run.parts.clone()
    }

    /// What the run was expected to take.
    pub fn expected(&self) -> Duration {
        self.cost.expected
    }

    /// Whether the request took a slot, or would have; otherwise its outcome is at hand at once.
    pub fn is_queued(&self) -> bool {
        self.cost.queued
    }

    /// Ends the run for everybody who waits for it.
    pub fn cancel(&self) {
        self.run.cancel.cancel();
    }

    /// Bytes of the outcome in memory, about, and not counted further than `most`; `None` before there is one.
    pub(crate) fn weight(&self, most: usize) -> Option<usize> {
        let outcome = self.run.outcome.borrow();
        outcome.as_ref().map(|outcome| outcome.as_ref().map_or(0, |answer| weight(answer, most)))
    }

    /// Waits for the outcome.
    ///
    /// # Errors
    /// As the operation says.
    ///
    /// # Cancel safety
    /// May be dropped and called again; the run goes on until the handle is dropped.
    pub async fn outcome(&self) -> Outcome {
        let mut outcome = self.run.outcome.clone();
        match outcome.wait_for(Option::is_some).await {
            Ok(known) => known.clone().unwrap_or_else(|| Err(Failure::cancelled())),
            // The run's task was ended with the runtime.
            Err(_) => Err(Failure::internal("the run ended without an outcome")),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _table = self.service.lock();
        let mut waiting = lock(&self.run.waiting);
        *waiting -= 1;
        if *waiting == 0 {
            // Without effect when the run is over.
            self.run.cancel.cancel();
        }
    }
}
