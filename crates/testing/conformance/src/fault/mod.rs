//! Ports that misbehave on purpose.
//!
//! [`Faults`] decides, call by call, what goes wrong for one process; [`Faulty`] passes every port
//! call through it. A call may fail before it had an effect, lose its reply after it had one, have
//! its effect when nobody waits for it any more, be delayed on either way, meet an outage, or be
//! the last thing its process does. Lists may be torn between pages and indices may lag, as they
//! are in a table store. What queues do without failing is in [`crate::weak`].

mod calls;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::{Future, pending};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use parallax_ports::{Error, Kind, Result};

pub use calls::Faulty;

/// How long a caller waits before it takes silence for an answer, as adapters' clients do.
const SILENCE: Duration = Duration::from_secs(10);
/// How long it waits in all when nothing is ever answered, its repetitions included.
const DEAD_SILENCE: Duration = Duration::from_secs(60);

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing goes wrong.
    None,
    /// The call fails and has no effect.
    Refuse(Kind),
    /// The call has no effect and is never answered: the caller gives up after a minute.
    Silent,
    /// The call has its effect and its reply is lost.
    LoseReply,
    /// The caller gives up; the effect follows after this time, even if the process has ended.
    Late(Duration),
    /// The call happens after a while.
    Delay(Duration),
    /// The call happens at once and its reply takes a while.
    SlowReply(Duration),
    /// Every call of the process stands still for a while, this one first.
    Pause(Duration),
    /// The process dies before the effect.
    CrashBefore,
    /// The process dies after the effect.
    CrashAfter,
}

/// How often things go wrong, each as a share of calls.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Errors without effect.
    pub refuse: f64,
    /// Effects without reply.
    pub lose_reply: f64,
    /// Effects that come up to `longest` after the caller gave up.
    pub late: f64,
    /// Delays of up to `longest`, half before the effect and half of the reply.
    pub delay: f64,
    /// The longest of these.
    pub longest: Duration,
    /// Stops of all calls of the process, as when it is suspended.
    pub pause: f64,
    /// The longest pause.
    pub longest_pause: Duration,
    /// Crashes, half before and half after the effect.
    pub crash: f64,
    /// Lists read in two pages with time between, and index reads that miss entries.
    pub torn: f64,
}

impl Rates {
    /// Nothing goes wrong.
    pub const NONE: Rates = Rates {
        refuse: 0.0,
        lose_reply: 0.0,
        late: 0.0,
        delay: 0.0,
        longest: Duration::ZERO,
        pause: 0.0,
        longest_pause: Duration::ZERO,
        crash: 0.0,
        torn: 0.0,
    };
}

/// A time in which every call to one port is refused, whoever asks; with `Timeout`, in which none is
/// answered.
#[derive(Debug, Clone)]
pub struct Outage {
    /// The beginning of the names of the calls concerned, for example `ledger.`.
    pub calls: &'static str,
    /// From then on,
    pub from: Instant,
    /// until then.
    pub until: Instant,
    /// What callers are told.
    pub kind: Kind,
}

/// Counts by name what went wrong, for everything that misbehaves together.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    /// One more of `what`.
    pub fn count(&self, what: &'static str) {
        *self.lock().entry(what).or_default() += 1;
    }

    /// All counts so far.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Decides what happens to the calls of one process.
#[derive(Debug)]
pub struct Faults {
    plan: Mutex<Plan>,
    paused: AtomicBool,
    tally: Arc<Tally>,
    /// Cancelled when a crash was decided: whoever runs the process drops it then.
    pub crashed: CancellationToken,
}

#[derive(Debug)]
struct Plan {
    rates: Rates,
    rng: StdRng,
    calls: u64,
    crash_at: Option<(u64, Fault)>,
    outages: Arc<[Outage]>,
    resumes: Option<Instant>,
    trace: Option<Vec<&'static str>>,
}

impl Faults {
    /// Random faults, the same for the same seed and calls, counted in `tally`.
    pub fn seeded(seed: u64, rates: Rates, tally: Arc<Tally>) -> Self {
        let plan = Plan {
            rates,
            rng: StdRng::seed_from_u64(seed),
            calls: 0,
            crash_at: None,
            outages: Arc::default(),
            resumes: None,
            trace: None,
        };
        Self {
            plan: Mutex::new(plan),
            paused: AtomicBool::new(false),
            tally,
            crashed: CancellationToken::new(),
        }
    }

    /// No fault but one crash, at call `at` (from 0), before or after its effect.
    pub fn crash_at(at: u64, after: bool) -> Self {
        let faults = Self::seeded(0, Rates::NONE, Arc::default());
        let fault = if after { Fault::CrashAfter } else { Fault::CrashBefore };
        faults.plan().crash_at = Some((at, fault));
        faults
    }

    /// Adds outages.
    #[must_use]
    pub fn with_outages(self, outages: Arc<[Outage]>) -> Self {
        self.plan().outages = outages;
        self
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

    /// Number of calls so far.
    pub fn calls(&self) -> u64 {
        self.plan().calls
    }

    /// Stops all faults from now on.
    pub fn heal(&self) {
        let mut plan = self.plan();
        plan.rates = Rates::NONE;
        plan.outages = Arc::default();
        plan.resumes = None;
        self.paused.store(false, Ordering::Relaxed);
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
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
        if !plan.outages.is_empty() {
            let now = Instant::now();
            let hit = |o: &&Outage| o.from <= now && now < o.until && call.starts_with(o.calls);
            if let Some(outage) = plan.outages.iter().find(hit) {
                return match outage.kind {
                    Kind::Timeout => Fault::Silent,
                    kind => Fault::Refuse(kind),
                };
            }
        }
        // Without rates nothing is drawn: a crash at a call is not to change what comes after.
        if plan.rates == Rates::NONE {
            return Fault::None;
        }
        plan.draw(call)
    }

    /// Whether something with `rate` happens now; counted as `what`.
    fn hits(&self, what: &'static str, rate: impl Fn(&Rates) -> f64) -> bool {
        let mut plan = self.plan();
        let rate = rate(&plan.rates);
        let hit = rate > 0.0 && plan.rng.random::<f64>() < rate;
        if hit {
            self.tally.count(what);
        }
        hit
    }

    fn random(&self) -> f64 {
        self.plan().rng.random()
    }

    /// Waits until a suspended process goes on.
    async fn awake(&self) {
        while self.paused.load(Ordering::Relaxed) {
            let resumes = self.plan().resumes;
            match resumes.filter(|at| *at > Instant::now()) {
                Some(at) => sleep_until(at).await,
                None => self.paused.store(false, Ordering::Relaxed),
            }
        }
    }

    fn pause(&self, time: Duration) {
        self.tally.count("process paused");
        self.plan().resumes = Some(Instant::now() + time);
        self.paused.store(true, Ordering::Relaxed);
    }

    /// Runs one call under the plan. A call that can come late is better run by
    /// [`Faults::effect`].
    ///
    /// # Errors
    /// The call's own, or the injected one.
    pub async fn around<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.run(name, call, None::<fn() -> BoxFuture<'static, ()>>).await
    }

    /// Runs one call that changes something. `later` makes the same call without its caller.
    ///
    /// # Errors
    /// The call's own, or the injected one.
    pub async fn effect<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T>>,
        later: impl FnOnce() -> BoxFuture<'static, ()>,
    ) -> Result<T> {
        self.run(name, call, Some(later)).await
    }

    async fn run<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T>>,
        later: Option<impl FnOnce() -> BoxFuture<'static, ()>>,
    ) -> Result<T> {
        self.awake().await;
        let answer = match (self.next(name), later) {
            (Fault::None, _) => call.await,
            (Fault::Refuse(kind), _) => {
                self.tally.count(refused(kind));
                Err(Error::new(kind, format!("{name}: injected")))
            }
            (Fault::Silent, _) => {
                self.tally.count("call never answered");
                sleep(DEAD_SILENCE).await;
                Err(Error::new(Kind::Timeout, format!("{name}: no answer")))
            }
            (Fault::Late(time), Some(later)) => {
                self.tally.count("effect after the caller gave up");
                let work = later();
                tokio::spawn(async move {
                    sleep(time).await;
                    work.await;
                });
                sleep(SILENCE).await;
                Err(Error::new(Kind::Timeout, format!("{name}: no answer")))
            }
            (Fault::LoseReply | Fault::Late(_), _) => {
                self.tally.count("reply lost");
                call.await?;
                Err(Error::new(Kind::Timeout, format!("{name}: reply lost")))
            }
            (Fault::Delay(time), _) => {
                self.tally.count("call delayed");
                sleep(time).await;
                call.await
            }
            (Fault::SlowReply(time), _) => {
                self.tally.count("reply delayed");
                let answer = call.await;
                sleep(time).await;
                answer
            }
            (Fault::Pause(time), _) => {
                self.pause(time);
                self.awake().await;
                call.await
            }
            (Fault::CrashBefore, _) => self.crash("crash before a call").await,
            (Fault::CrashAfter, _) => {
                let _ = call.await;
                self.crash("crash after a call").await
            }
        };
        self.awake().await;
        answer
    }

    /// Reads a list, sometimes in two pages between which things may change. `key` is what the
    /// store sorts by.
    async fn pages<T, K: Ord, F: Future<Output = Result<Vec<T>>>>(
        &self,
        name: &'static str,
        read: impl Fn() -> F,
        key: impl Fn(&T) -> K,
    ) -> Result<Vec<T>> {
        let mut first = self.around(name, read()).await?;
        if first.len() < 2 || !self.hits("list read in pages", |r| r.torn) {
            return Ok(first);
        }
        sleep(Duration::from_secs(5).mul_f64(self.random())).await;
        first.sort_by_key(&key);
        let rest = first.split_off(first.len() / 2);
        let from = rest.first().map(&key);
        let second = self.around(name, read()).await?;
        first.extend(second.into_iter().filter(|item| Some(key(item)) >= from));
        Ok(first)
    }

    async fn crash<T>(&self, what: &'static str) -> T {
        self.tally.count(what);
        self.crashed.cancel();
        pending().await
    }
}

impl Plan {
    fn draw(&mut self, call: &'static str) -> Fault {
        let Rates { refuse, lose_reply, late, delay, longest, pause, longest_pause, crash, .. } =
            self.rates;
        let mut roll: f64 = self.rng.random();
        let mut hit = |rate: f64| {
            roll -= rate;
            roll < 0.0
        };
        if hit(refuse) {
            let kinds = refusals(call);
            Fault::Refuse(kinds[self.rng.random_range(0..kinds.len())])
        } else if hit(lose_reply) {
            Fault::LoseReply
        } else if hit(late) {
            Fault::Late(longest.mul_f64(self.rng.random()))
        } else if hit(delay / 2.0) {
            Fault::Delay(longest.mul_f64(self.rng.random()))
        } else if hit(delay / 2.0) {
            Fault::SlowReply(longest.mul_f64(self.rng.random()))
        } else if hit(pause) {
            Fault::Pause(longest_pause.mul_f64(self.rng.random()))
        } else if hit(crash / 2.0) {
            Fault::CrashBefore
        } else if hit(crash / 2.0) {
            Fault::CrashAfter
        } else {
            Fault::None
        }
    }
}

/// The refusals that a service is known to give.
fn refusals(call: &str) -> &'static [Kind] {
    use Kind::{Conflict, Internal, Throttled, Unauthorized, Unavailable};
    match call.split('.').next() {
        // Transactions are also cancelled by one another.
        Some("ledger") => &[Throttled, Conflict, Conflict, Unavailable, Internal],
        Some("objects") => &[Throttled, Unavailable, Internal, Unauthorized],
        _ => &[Throttled, Unavailable, Internal],
    }
}

fn refused(kind: Kind) -> &'static str {
    match kind {
        Kind::Throttled => "refused: throttled",
        Kind::Conflict => "refused: conflict",
        Kind::Unavailable => "refused: unavailable",
        Kind::Internal => "refused: internal",
        Kind::Unauthorized => "refused: unauthorized",
        _ => "refused: other",
    }
}
