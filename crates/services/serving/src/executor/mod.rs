//! The one thread that owns the device, and the slots before it.
//!
//! A request holds a [`Slot`] from its admission to its end, so that everything it takes (disk,
//! memory, transfers) is bounded by the number of slots. Inputs are fetched while others run;
//! only the work itself waits for its turn. A task whose caller left is never begun.

mod fair_queue;
mod model_pool;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parallax_ports::MetricsSink;
use parallax_ports::health::Beat;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::metrics;
use crate::{Failure, FailureKind};
use fair_queue::FairQueue;
pub use model_pool::{Model, ModelBytes, ModelPool};

/// How many may be served at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutorSettings {
    /// Requests that are held at once: the one that runs and those that wait. Defaults to 8.
    pub slots: usize,
    /// Slots that one client may have. Defaults to all.
    pub slots_per_client: usize,
}

impl Default for ExecutorSettings {
    fn default() -> Self {
        Self { slots: 8, slots_per_client: 8 }
    }
}

/// Why there was no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overloaded {
    /// Every slot is taken.
    Full,
    /// The client has as many as one client may have.
    Client,
    /// No more work is taken.
    Closed,
}

type Work = Box<dyn FnOnce(&mut ModelPool) + Send>;

struct Task {
    id: u64,
    asked: Instant,
    cancel: CancellationToken,
    work: Work,
}

#[derive(Default)]
struct State {
    taken: BTreeMap<String, usize>,
    waiting: FairQueue<Task>,
    running: bool,
    closed: bool,
    ended: bool,
}

impl State {
    fn slots(&self) -> usize {
        self.taken.values().sum()
    }
}

struct Shared {
    settings: ExecutorSettings,
    metrics: Arc<dyn MetricsSink>,
    state: Mutex<State>,
    changed: Condvar,
    ids: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No panic happens under the lock; work runs outside of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, state: &State) {
        self.metrics.gauge(metrics::PLACES, &[], state.slots() as f64);
        self.metrics.gauge(metrics::DEPTH, &[], state.waiting.len() as f64);
    }
}

/// The executor thread. Ends when dropped, after the task at hand.
pub struct Executor {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl Executor {
    /// Starts the thread. `models` lives on it; `beat` is given before every task and while there
    /// is none, so its greatest age is to be more than the longest task.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        settings: ExecutorSettings,
        models: ModelPool,
        metrics: Arc<dyn MetricsSink>,
        beat: Beat,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            settings,
            metrics,
            state: Mutex::default(),
            changed: Condvar::new(),
            ids: AtomicU64::new(0),
        });
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("executor".to_owned())
            .spawn(move || serve(&of_thread, models, beat))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Takes a slot for `client`.
    ///
    /// # Errors
    /// Why there is none; nothing was begun.
    pub fn admit(&self, client: &str) -> Result<Slot, Overloaded> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(Overloaded::Closed);
        }
        if state.slots() >= self.shared.settings.slots {
            return Err(Overloaded::Full);
        }
        let own = state.taken.get(client).copied().unwrap_or_default();
        if own >= self.shared.settings.slots_per_client {
            return Err(Overloaded::Client);
        }
        state.taken.insert(client.to_owned(), own + 1);
        self.shared.show(&state);
        Ok(Slot { shared: self.shared.clone(), client: client.to_owned() })
    }

    /// Slots taken and slots there are.
    pub fn slots(&self) -> (usize, usize) {
        (self.shared.lock().slots(), self.shared.settings.slots)
    }

    /// Tasks that wait for their turn, and whether one runs.
    pub fn depth(&self) -> (usize, bool) {
        let state = self.shared.lock();
        (state.waiting.len(), state.running)
    }

    /// Gives no more slots and hands back every task that was not begun.
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        // Their callers hear of it when the work is dropped.
        let waiting = state.waiting.clear();
        self.shared.show(&state);
        drop(state);
        drop(waiting);
    }

    /// Runs `work` on the thread without a slot: for loading models at the start.
    ///
    /// # Errors
    /// As [`crate::Call::on_executor`].
    pub async fn run<T: Send + 'static>(
        &self,
        cancel: &CancellationToken,
        work: impl FnOnce(&mut ModelPool, &CancellationToken) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        run(&self.shared, "", cancel, work).await
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.closed = true;
            state.ended = true;
            drop(state.waiting.clear());
        }
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A slot, until dropped.
pub struct Slot {
    shared: Arc<Shared>,
    client: String,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Slot {
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        cancel: &CancellationToken,
        work: impl FnOnce(&mut ModelPool, &CancellationToken) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        run(&self.shared, &self.client, cancel, work).await
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Some(own) = state.taken.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                state.taken.remove(&self.client);
            }
        }
        self.shared.show(&state);
    }
}

/// Takes a task out of the queue when whoever asked for it is gone.
struct Queued<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Queued<'_> {
    /// Whether the task was still waiting.
    fn leave(&self) -> bool {
        let mut state = self.shared.lock();
        let left = state.waiting.remove(|task| task.id == self.id);
        self.shared.show(&state);
        drop(state);
        left.is_some()
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

async fn run<T: Send + 'static>(
    shared: &Shared,
    client: &str,
    cancel: &CancellationToken,
    work: impl FnOnce(&mut ModelPool, &CancellationToken) -> T + Send + 'static,
) -> Result<T, Failure> {
    let token = cancel.child_token();
    let _stop_with_us = token.clone().drop_guard();
    let (reply, answer) = oneshot::channel();
    let of_work = token.clone();
    let work: Work = Box::new(move |models| {
        let done = catch_unwind(AssertUnwindSafe(|| work(models, &of_work)));
        if done.is_err() {
            // Whatever the device holds is in doubt now.
            models.forget();
        }
        // Nobody may wait any more.
        let _ = reply.send(done.map_err(|panic| said(&*panic)));
    });
    let id = shared.ids.fetch_add(1, Ordering::Relaxed);
    {
        let mut state = shared.lock();
        if state.closed {
            return Err(closed());
        }
        state.waiting.push(client, Task { id, asked: Instant::now(), cancel: token.clone(), work });
        shared.show(&state);
    }
    shared.changed.notify_all();
    let queued = Queued { shared, id };
    let mut answer = answer;
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        () = cancel.cancelled() => {
            // What has begun ends by itself, and its slot is taken until then.
            if queued.leave() {
                return Err(Failure::cancelled());
            }
            answer.await
        }
    };
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(panic)) => {
            error!(panic, "work on the executor thread panicked; its models are loaded anew");
            Err(Failure::internal(format!("panic: {panic}")))
        }
        Err(_) if cancel.is_cancelled() => Err(Failure::cancelled()),
        Err(_) => Err(closed()),
    }
}

fn closed() -> Failure {
    Failure::new(FailureKind::Unavailable, "the server is stopping").after(Duration::from_secs(1))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no words".to_owned())
}

/// Between two looks at whether the first in the queue has left.
const LOOK: Duration = Duration::from_millis(200);

fn serve(shared: &Shared, mut models: ModelPool, beat: Beat) {
    loop {
        let mut state = shared.lock();
        let task = loop {
            beat.tick();
            if state.ended {
                drop(state);
                beat.finish();
                return;
            }
            let gone = state.waiting.remove_all(|task| task.cancel.is_cancelled());
            if !gone.is_empty() {
                drop(state);
                drop(gone);
                state = shared.lock();
                continue;
            }
            if let Some(task) = state.waiting.next() {
                break task;
            }
            state =
                shared.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        };
        state.running = true;
        shared.show(&state);
        drop(state);
        shared.metrics.observe(metrics::WAIT, &[], task.asked.elapsed().as_secs_f64());
        (task.work)(&mut models);
        shared.lock().running = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_ports::NoMetrics;
    use parallax_ports::health::Beats;
    use std::sync::mpsc;

    fn executor(slots: usize, slots_per_client: usize) -> Arc<Executor> {
        let settings = ExecutorSettings { slots, slots_per_client };
        let beat = Beats::default().register("engine", Duration::from_secs(60));
        let models = ModelPool::new(u64::MAX);
        Arc::new(Executor::start(settings, models, Arc::new(NoMetrics), beat).unwrap())
    }

    #[test]
    fn places_are_bounded_in_all_and_by_client_and_come_back() {
        let executor = executor(3, 2);
        let first = executor.admit("a").unwrap();
        let second = executor.admit("a").unwrap();
        assert_eq!(executor.admit("a").unwrap_err(), Overloaded::Client);
        let third = executor.admit("b").unwrap();
        assert_eq!(executor.admit("c").unwrap_err(), Overloaded::Full);
        drop((first, second));
        assert_eq!(executor.slots(), (1, 3));
        executor.close();
        assert_eq!(executor.admit("c").unwrap_err(), Overloaded::Closed);
        drop(third);
    }

    /// Holds the executor until told to let go.
    fn hold(executor: &Arc<Executor>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (go, wait) = mpsc::channel::<()>();
        let (began, begun) = mpsc::channel();
        let executor = executor.clone();
        let held = tokio::spawn(async move {
            let cancel = CancellationToken::new();
            let work = move |_: &mut ModelPool, _: &CancellationToken| {
                began.send(()).unwrap();
                let _ = wait.recv();
            };
            executor.run(&cancel, work).await.unwrap();
        });
        begun.recv().unwrap();
        (go, held)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn clients_take_turns() {
        let executor = executor(10, 10);
        let (go, held) = hold(&executor);
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (n, client) in ["a", "a", "a", "b", "b", "c"].into_iter().enumerate() {
            let (of_task, order) = (executor.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let slot = of_task.admit(client).unwrap();
                let cancel = CancellationToken::new();
                slot.run(&cancel, move |_, _| order.lock().unwrap().push(client)).await.unwrap();
            }));
            while executor.depth().0 <= n {
                tokio::task::yield_now().await;
            }
        }
        go.send(()).unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        held.await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["a", "b", "c", "a", "b", "a"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_leaves_is_not_served_and_a_closed_engine_hands_back() {
        let executor = executor(4, 4);
        let (go, held) = hold(&executor);
        let leaves = CancellationToken::new();
        let never = |_: &mut ModelPool, _: &CancellationToken| panic!("not to be begun");
        let waiting = {
            let (executor, leaves) = (executor.clone(), leaves.clone());
            tokio::spawn(async move { executor.run(&leaves, never).await })
        };
        let dropped = {
            let executor = executor.clone();
            tokio::spawn(async move { executor.run(&CancellationToken::new(), never).await })
        };
        let stays = {
            let executor = executor.clone();
            tokio::spawn(async move { executor.run(&CancellationToken::new(), never).await })
        };
        while executor.depth().0 < 3 {
            tokio::task::yield_now().await;
        }
        dropped.abort();
        leaves.cancel();
        let _ = dropped.await;
        assert_eq!(waiting.await.unwrap().unwrap_err().kind, FailureKind::Cancelled);
        assert_eq!(executor.depth(), (1, true));
        executor.close();
        assert_eq!(stays.await.unwrap().unwrap_err().kind, FailureKind::Unavailable);
        go.send(()).unwrap();
        held.await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_and_the_thread_goes_on() {
        let executor = executor(1, 1);
        let cancel = CancellationToken::new();
        let failed = executor.run(&cancel, |_, _| panic!("canary")).await;
        let failure: Failure = failed.map(|(): ()| ()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Internal);
        assert!(!failure.to_string().contains("canary"), "{failure}");
        assert_eq!(executor.run(&cancel, |_, _| 7).await.unwrap(), 7);
    }
}
