//! What an operation is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parallax_ports::MetricsSink;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::executor::{ModelPool, Slot};
use crate::metrics;
use crate::parts::Parts;
use crate::{Failure, Progress, Status};

/// What a request is expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Whether it takes a slot in the queue. What does not must answer at once.
    pub queued: bool,
    /// Time from its turn to its end.
    pub expected: Duration,
}

impl Cost {
    /// Answered at once, without a slot.
    pub const LIGHT: Self = Self { queued: false, expected: Duration::ZERO };

    /// Takes a slot for about this long.
    pub fn queued(expected: Duration) -> Self {
        Self { queued: true, expected }
    }
}

/// One thing that the server does.
///
/// A run is cancelled through its [`Call`]: everything that waits must give up when the token is
/// cancelled, and work on the executor's thread must look at it at least once in every step.
#[async_trait]
pub trait Operation: Send + Sync + 'static {
    /// What is asked. Unknown fields are ignored unless the type says otherwise.
    type Request: DeserializeOwned + JsonSchema + Send + 'static;
    /// What was read of a request: addresses that were checked, options with their defaults.
    type Plan: Send + Sync + 'static;
    /// What is told before the answer, piece by piece; [`NoParts`](crate::NoParts) where the answer comes whole.
    type Part: Serialize + JsonSchema + Send + 'static;
    /// What is answered; an object.
    type Response: Serialize + JsonSchema + Send + 'static;

    /// The name by which it is asked for: `[a-z_]+`.
    fn name(&self) -> &'static str;

    /// One sentence for the list of operations.
    fn summary(&self) -> &'static str;

    /// Reads a request once: checks what its type does not say, and settles everything that the
    /// other methods need, so that none of them parses it again.
    ///
    /// # Errors
    /// Names the field, what was found and what is allowed.
    fn plan(&self, request: Self::Request) -> Result<Self::Plan, Failure>;

    /// What it is expected to take.
    fn cost(&self, plan: &Self::Plan) -> Cost;

    /// What makes two requests the same, so that they may share a run and its outcome; `None` when
    /// each request is its own. Must not hold secrets as they are.
    fn identity(&self, _plan: &Self::Plan) -> Option<Value> {
        None
    }

    /// Whether what an earlier run of the same request made is still there, so that its response
    /// may be given again.
    async fn still_holds(&self, _plan: &Self::Plan, _response: &Value) -> bool {
        false
    }

    /// The response to a request whose products are there already, made by an earlier process or
    /// by another one: only what it itself noted beside them for this very request is believed.
    async fn recall(&self, _plan: &Self::Plan) -> Option<Self::Response> {
        None
    }

    /// Does it.
    ///
    /// # Errors
    /// Classified by what the caller does next.
    async fn run(&self, plan: Self::Plan, call: &Call) -> Result<Self::Response, Failure>;
}

/// What a run is given besides its request.
#[derive(Debug)]
pub struct Call {
    /// Names the request in logs.
    pub id: String,
    /// Cancelled when nobody waits for the outcome any more.
    pub cancel: CancellationToken,
    /// Where numbers go.
    pub metrics: Arc<dyn MetricsSink>,
    pub(crate) status: Arc<Status>,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) parts: Parts,
    pub(crate) slot: Option<Slot>,
}

impl Call {
    /// The server that runs this.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Tells whoever waits how far the run is. Cheap; may be called for every frame.
    pub fn report(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    /// Tells whoever waits a part of the answer before the whole of it. An answer that is given
    /// again comes without parts, so it has to hold what they said.
    ///
    /// # Errors
    /// `Internal` when the parts of this run are larger together than is allowed: end the run.
    pub fn emit<O: Operation>(&self, part: &O::Part) -> Result<(), Failure> {
        self.parts.push(part)
    }

    /// [`Call::emit`] for other threads.
    pub fn emitter<O: Operation>(
        &self,
    ) -> impl Fn(&O::Part) -> Result<(), Failure> + Send + Sync + use<O> {
        let parts = self.parts.clone();
        move |part| parts.push(part)
    }

    /// A reporter for other threads.
    pub fn reporter(&self) -> impl Fn(Progress) + Send + Sync + 'static {
        let progress = self.progress.clone();
        move |now| {
            progress.send_replace(now);
        }
    }

    /// Runs one stage: reports its beginning and counts its time.
    pub async fn stage<T>(&self, name: &'static str, work: impl Future<Output = T>) -> T {
        self.report(Progress::stage(name));
        let started = Instant::now();
        let outcome = work.await;
        let seconds = started.elapsed().as_secs_f64();
        self.metrics.observe(metrics::STAGE, &[("stage", name)], seconds);
        outcome
    }

    /// Waits for the executor and runs `work` on its thread. The token that `work` is given ends
    /// with the call's, and when this future is dropped.
    ///
    /// # Errors
    /// `Cancelled` or `Unavailable` when the turn never came; `Internal` when `work` panicked.
    pub async fn on_executor<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut ModelPool, &CancellationToken) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        match &self.slot {
            Some(slot) => slot.run(&self.cancel, work).await,
            None => Err(Failure::internal("an operation without a slot asked for the executor")),
        }
    }
}
