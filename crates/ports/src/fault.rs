//! Ports that misbehave on purpose.
//!
//! [`Faults`] decides, call by call, what goes wrong; the wrappers pass every port call through
//! it. A call may fail before it had an effect, lose its reply after it had one, be delayed, or be
//! the last thing its process does (before or after the effect). The queue wrapper also plays the
//! weaknesses that queues have without failing: duplicates, lost and reordered messages.

use std::fmt::Debug;
use std::future::{Future, pending};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::{JobId, JobStatus, Segment, SegmentCompletion, Timestamp, Uri};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::ledger::{
    Advance, AttemptError, Completed, Ended, Fence, Holder, HolderId, Intent, IntentOutcome, Job,
    Lock, Resend, Reserve, SegmentRow, TriggerOutcome,
};
use crate::{
    Error, Kind, Ledger, Locations, Message, ObjectMeta, ObjectStore, Queue, Receipt, Result,
};

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing goes wrong.
    None,
    /// The call fails and has no effect.
    Refuse(Kind),
    /// The call has its effect and its reply is lost.
    LoseReply,
    /// The call happens after a while.
    Delay(Duration),
    /// The process dies before the effect.
    CrashBefore,
    /// The process dies after the effect.
    CrashAfter,
}

/// How often things go wrong, each as a share of calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Errors without effect.
    pub refuse: f64,
    /// Effects without reply.
    pub lose_reply: f64,
    /// Delays, and the longest one.
    pub delay: f64,
    /// The longest delay.
    pub longest: Duration,
    /// Crashes, half before and half after the effect.
    pub crash: f64,
    /// Messages sent that never arrive.
    pub lose_message: f64,
    /// Messages delivered that are delivered again at once.
    pub duplicate: f64,
}

impl Rates {
    /// Nothing goes wrong.
    pub const NONE: Rates = Rates {
        refuse: 0.0,
        lose_reply: 0.0,
        delay: 0.0,
        longest: Duration::ZERO,
        crash: 0.0,
        lose_message: 0.0,
        duplicate: 0.0,
    };
}

/// Decides what happens to the calls of one process.
#[derive(Debug)]
pub struct Faults {
    plan: Mutex<Plan>,
    /// Cancelled when a crash was decided: whoever runs the process drops it then.
    pub crashed: CancellationToken,
}

#[derive(Debug)]
struct Plan {
    rates: Rates,
    rng: StdRng,
    calls: u64,
    crash_at: Option<(u64, Fault)>,
    trace: Option<Vec<&'static str>>,
}

impl Faults {
    /// Random faults, the same for the same seed and calls.
    pub fn seeded(seed: u64, rates: Rates) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let plan = Plan { rates, rng, calls: 0, crash_at: None, trace: None };
        Self { plan: Mutex::new(plan), crashed: CancellationToken::new() }
    }

    /// No fault but one crash, at call `at` (from 0), before or after its effect.
    pub fn crash_at(at: u64, after: bool) -> Self {
        let faults = Self::seeded(0, Rates::NONE);
        let fault = if after { Fault::CrashAfter } else { Fault::CrashBefore };
        faults.plan().crash_at = Some((at, fault));
        faults
    }

    /// Keeps the names of all calls, for [`Faults::trace`].
    #[must_use]
    pub fn traced(self) -> Self {
        self.plan().trace = Some(Vec::new());
        self
    }

    /// The names of all calls so far, when traced.
    pub fn trace(&self) -> Vec<&'static str> {
        self.plan().trace.clone().unwrap_or_default()
    }

    /// Stops all faults from now on.
    pub fn heal(&self) {
        self.plan().rates = Rates::NONE;
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, call: &'static str) -> Fault {
        let mut plan = self.plan();
        let number = plan.calls;
        plan.calls += 1;
        if let Some(trace) = &mut plan.trace {
            trace.push(call);
        }
        if let Some((at, fault)) = plan.crash_at
            && at == number
        {
            return fault;
        }
        let Rates { refuse, lose_reply, delay, longest, crash, .. } = plan.rates;
        let mut roll: f64 = plan.rng.random();
        let mut hit = |rate: f64| {
            roll -= rate;
            roll < 0.0
        };
        if hit(refuse) {
            const KINDS: [Kind; 3] = [Kind::Throttled, Kind::Unavailable, Kind::Internal];
            let which = plan.rng.random_range(0..KINDS.len());
            Fault::Refuse(KINDS[which])
        } else if hit(lose_reply) {
            Fault::LoseReply
        } else if hit(delay) {
            Fault::Delay(longest.mul_f64(plan.rng.random()))
        } else if hit(crash / 2.0) {
            Fault::CrashBefore
        } else if hit(crash / 2.0) {
            Fault::CrashAfter
        } else {
            Fault::None
        }
    }

    fn hits(&self, rate: impl Fn(&Rates) -> f64) -> bool {
        let mut plan = self.plan();
        let rate = rate(&plan.rates);
        rate > 0.0 && plan.rng.random::<f64>() < rate
    }

    /// Runs one call under the plan.
    ///
    /// # Errors
    /// The call's own, or the injected one.
    pub async fn around<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match self.next(name) {
            Fault::None => call.await,
            Fault::Refuse(kind) => Err(Error::new(kind, format!("{name}: injected"))),
            Fault::LoseReply => {
                call.await?;
                Err(Error::new(Kind::Timeout, format!("{name}: reply lost")))
            }
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                call.await
            }
            Fault::CrashBefore => self.crash().await,
            Fault::CrashAfter => {
                let _ = call.await;
                self.crash().await
            }
        }
    }

    async fn crash<T>(&self) -> T {
        self.crashed.cancel();
        pending().await
    }
}

/// A port seen by a process whose calls go wrong.
#[derive(Debug, Clone)]
pub struct Faulty<P: ?Sized> {
    faults: Arc<Faults>,
    inner: Arc<P>,
}

impl<P: ?Sized> Faulty<P> {
    /// `inner` as seen through `faults`.
    pub fn new(inner: Arc<P>, faults: Arc<Faults>) -> Self {
        Self { faults, inner }
    }
}

#[async_trait]
impl<Q: Queue + ?Sized> Queue for Faulty<Q> {
    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>> {
        let call = self.inner.receive(max, wait, visibility);
        let mut messages = self.faults.around("queue.receive", call).await?;
        for message in &messages {
            if self.faults.hits(|r| r.duplicate) {
                self.inner.change_visibility(&message.receipt, Duration::ZERO).await?;
            }
        }
        if messages.len() > 1 && self.faults.hits(|r| r.duplicate) {
            messages.reverse();
        }
        Ok(messages)
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        self.faults.around("queue.delete", self.inner.delete(receipt)).await
    }

    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<()> {
        let call = self.inner.change_visibility(receipt, visibility);
        self.faults.around("queue.change_visibility", call).await
    }

    async fn send(&self, body: &str, attributes: &[(&str, &str)]) -> Result<()> {
        if self.faults.hits(|r| r.lose_message) {
            return Ok(());
        }
        self.faults.around("queue.send", self.inner.send(body, attributes)).await
    }
}

#[async_trait]
impl<O: ObjectStore + ?Sized> ObjectStore for Faulty<O> {
    async fn head(&self, uri: &Uri) -> Result<Option<ObjectMeta>> {
        self.faults.around("objects.head", self.inner.head(uri)).await
    }

    async fn read(&self, uri: &Uri, limit: u64) -> Result<Vec<u8>> {
        self.faults.around("objects.read", self.inner.read(uri, limit)).await
    }

    async fn write(&self, uri: &Uri, bytes: &[u8]) -> Result<()> {
        self.faults.around("objects.write", self.inner.write(uri, bytes)).await
    }

    async fn download(&self, uri: &Uri, to: &Path) -> Result<()> {
        self.faults.around("objects.download", self.inner.download(uri, to)).await
    }

    async fn upload(&self, from: &Path, uri: &Uri) -> Result<()> {
        self.faults.around("objects.upload", self.inner.upload(from, uri)).await
    }

    async fn delete(&self, uri: &Uri) -> Result<()> {
        self.faults.around("objects.delete", self.inner.delete(uri)).await
    }
}

/// Writes the ledger's wrapper: every verb is passed through `around` under its own name.
macro_rules! faulty_ledger {
    ($($verb:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl<L: Ledger + ?Sized> Ledger for Faulty<L> {
            $(async fn $verb(&self, $($arg: $type),*) -> Result<$out> {
                let call = self.inner.$verb($($arg),*);
                self.faults.around(concat!("ledger.", stringify!($verb)), call).await
            })*
        }
    };
}

faulty_ledger! {
    reserve(holder: &HolderId, limit: u32, until: Timestamp, now: Timestamp) -> Reserve;
    unreserve(holder: &HolderId) -> ();
    holders() -> Vec<Holder>;
    record_intent(intent: &Intent) -> IntentOutcome;
    record_invoked(fence: &Fence, locations: &Locations, deadline: Timestamp) -> Ended;
    renew(fence: &Fence, deadline: Timestamp) -> Ended;
    complete(fence: &Fence, release: bool, now: Timestamp) -> Completed;
    complete_and_reserve(fence: &Fence, next: &HolderId, until: Timestamp, now: Timestamp) -> (Completed, Reserve);
    release(fence: &Fence) -> Ended;
    retry(fence: &Fence, at: Timestamp, error: &AttemptError, count: bool) -> Ended;
    fail(fence: &Fence, error: &AttemptError, now: Timestamp) -> Ended;
    reopen(segment: &Segment, now: Timestamp) -> Ended;
    segment(segment: &Segment) -> Option<SegmentRow>;
    segments_at(job_id: &JobId, index: u32) -> Vec<SegmentRow>;
    segments(job_id: &JobId) -> Vec<SegmentRow>;
    by_location(location: &Uri) -> Option<Segment>;
    due(now: Timestamp, limit: usize) -> Vec<SegmentRow>;
    create_job(job: &Job) -> bool;
    job(job_id: &JobId) -> Option<Job>;
    jobs(status: JobStatus) -> Vec<Job>;
    advance(job_id: &JobId, to: JobStatus, total: Option<u32>, reason: Option<&str>, now: Timestamp) -> Advance;
    completions(job_id: &JobId, total: u32) -> Vec<SegmentCompletion>;
    trigger(job_id: &JobId, nonce: &str, resend: Resend, now: Timestamp) -> TriggerOutcome;
    triggered(job_id: &JobId, now: Timestamp) -> ();
    lock_reassembly(job_id: &JobId, nonce: &str, until: Timestamp, now: Timestamp) -> Lock;
    unlock_reassembly(job_id: &JobId, nonce: &str) -> ();
}
