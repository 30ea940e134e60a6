//! A backend that accepts and answers later, as an asynchronous SageMaker endpoint does, and with
//! no more than that one promises.
//!
//! What is accepted waits in the endpoint's own queue for an instance, or expires there. A run may
//! succeed, fail, outlast its limit, say nothing, or be given to the container again because its
//! instance died; it leaves a response object, a failure object, both or neither, and its result
//! may come after either. The reply to the call may be lost before or after acceptance, and the
//! acceptance may come minutes after the caller has given up.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use parallax_conformance::fault::Faults;
use parallax_conformance::memory::MemoryObjects;
use parallax_job::{ObjectKey, Segment, Uri};
use parallax_ports::{
    Custody, Error, InferenceBackend, Invocation, Invoked, Kind, Locations, ObjectStore, Queue,
    Result, request,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::server::{FRAGMENT, Moods, result_of, run_time};
use super::watch::Watch;

/// Longest wait in the endpoint's queue, as the adapter asks for.
const QUEUE_LIMIT: Duration = Duration::from_secs(1800);
/// Longest run, as the adapter asks for.
pub const RUN_LIMIT: Duration = Duration::from_secs(1200);
/// A signed request is taken this long after it was signed.
const LATEST_ACCEPTANCE: Duration = Duration::from_secs(300);

/// How often the endpoint, not the model, goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weakness {
    /// Calls refused as too many.
    pub throttle: f64,
    /// Calls that break before acceptance; the caller cannot tell.
    pub break_before: f64,
    /// Calls that break after acceptance.
    pub break_after: f64,
    /// Calls accepted after the caller has given up.
    pub late: f64,
    /// Replies that do not say where a failure would be written.
    pub no_failure_location: f64,
    /// Runs whose instance dies; the work is given to another.
    pub die: f64,
    /// Work given to the container twice.
    pub double: f64,
    /// Runs past the limit; half of them write their result all the same.
    pub overrun: f64,
    /// Results whose response could not be written: a failure object, or nothing.
    pub half: f64,
    /// Work that finds no instance for minutes.
    pub cold: f64,
}

#[derive(Debug)]
pub struct Endpoint {
    watch: Arc<Watch>,
    objects: Arc<MemoryObjects>,
    longest_run: Duration,
    instances: Semaphore,
    backlog: usize,
    told: Told,
    state: Mutex<State>,
}

/// By what outcomes become known.
#[derive(Debug, Default)]
pub struct Told {
    /// The way of what the topics say.
    pub topics: Option<Arc<dyn Queue>>,
    /// In place of objects about failures.
    pub instead: bool,
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    moods: Moods,
    weakness: Weakness,
    waiting: usize,
}

impl State {
    fn hit(&mut self, rate: impl Fn(&Self) -> f64) -> bool {
        let rate = rate(self);
        rate > 0.0 && self.rng.random::<f64>() < rate
    }

    fn part(&mut self, time: Duration) -> Duration {
        time.mul_f64(self.rng.random())
    }
}

impl Endpoint {
    pub fn new(
        seed: u64,
        watch: Arc<Watch>,
        objects: Arc<MemoryObjects>,
        longest_run: Duration,
        instances: usize,
        told: Told,
        (moods, weakness): (Moods, Weakness),
    ) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let state = State { rng, moods, weakness, waiting: 0 };
        Self {
            watch,
            objects,
            longest_run,
            instances: Semaphore::new(instances),
            backlog: instances * 3,
            told,
            state: Mutex::new(state),
        }
    }

    pub fn heal(&self) {
        let mut state = self.state();
        state.moods = Moods::default();
        state.weakness = Weakness::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Draws whether something happens, and counts it.
    fn hit(&self, what: &'static str, rate: impl Fn(&Weakness) -> f64) -> bool {
        let hit = self.state().hit(|s| rate(&s.weakness));
        if hit {
            self.watch.tally.count(what);
        }
        hit
    }

    fn accept(self: &Arc<Self>, invocation: &Invocation) {
        self.watch.started(invocation);
        self.state().waiting += 1;
        let (endpoint, invocation) = (self.clone(), invocation.clone());
        tokio::spawn(async move { endpoint.process(&invocation).await });
    }

    /// Accepted work from the endpoint's queue to its end.
    async fn process(self: Arc<Self>, invocation: &Invocation) {
        let cold = self.hit("endpoint cold", |w| w.cold);
        let instance = timeout(QUEUE_LIMIT, async {
            if cold {
                let wait = self.state().part(QUEUE_LIMIT);
                sleep(wait).await;
            }
            self.instances.acquire().await.unwrap()
        })
        .await;
        self.state().waiting -= 1;
        let Ok(instance) = instance else {
            self.watch.tally.count("expired in the endpoint's queue");
            self.watch.blame(&invocation.segment, false);
            self.fail(invocation, "expired").await;
            return;
        };
        if self.hit("instance died", |w| w.die) {
            let time = self.state().part(Duration::from_secs(600));
            sleep(time).await;
        }
        if self.hit("work given out twice", |w| w.double) {
            let (endpoint, again) = (self.clone(), invocation.clone());
            tokio::spawn(async move {
                let time = endpoint.state().part(RUN_LIMIT);
                sleep(time).await;
                endpoint.succeed(&again).await;
                // An outcome is told when the endpoint is done with the invocation.
                if !endpoint.watch.runs(&again) {
                    endpoint.tell(&again, None).await;
                }
            });
        }
        self.work(invocation).await;
        drop(instance);
    }

    async fn work(self: &Arc<Self>, invocation: &Invocation) {
        let (time, fate) = self.fate();
        if self.hit("run past its limit", |w| w.overrun) {
            sleep(RUN_LIMIT).await;
            self.watch.blame(&invocation.segment, false);
            let also = self.state().hit(|_| 0.5);
            self.fail(invocation, "timed out").await;
            if also {
                self.watch.tally.count("result after a failure object");
                let late = self.state().part(RUN_LIMIT);
                sleep(late).await;
                self.succeed(invocation).await;
            }
            return;
        }
        sleep(time).await;
        match fate {
            Fate::Succeed => {
                self.succeed(invocation).await;
                sleep(Duration::from_secs(1)).await;
                if !self.hit("result without a response", |w| w.half) {
                    self.respond(invocation).await;
                } else if self.state().hit(|_| 0.5) {
                    self.watch.contradict(&invocation.segment);
                    self.fail(invocation, "timed out uploading object").await;
                } else {
                    self.watch.ended(invocation);
                }
            }
            Fate::Lie | Fate::Empty => {
                self.watch.tally.count("success without a result");
                self.watch.blame(&invocation.segment, false);
                if fate == Fate::Empty {
                    self.put(&invocation.output, FRAGMENT).await;
                }
                self.respond(invocation).await;
            }
            Fate::Fail => {
                self.watch.tally.count("model failed");
                self.watch.blame(&invocation.segment, false);
                self.fail(invocation, "model failed").await;
            }
            Fate::Vanish => {
                self.watch.tally.count("no answer at all");
                self.watch.ended(invocation);
            }
        }
    }

    fn fate(&self) -> (Duration, Fate) {
        let mut state = self.state();
        let time = run_time(self.longest_run, &mut state.rng);
        let mut roll: f64 = state.rng.random();
        let mut hit = |rate: f64| {
            roll -= rate;
            roll < 0.0
        };
        let Moods { fail, reject, lie, vanish, busy: _ } = state.moods;
        let fate = if hit(fail + reject) {
            Fate::Fail
        } else if hit(lie / 2.0) {
            Fate::Lie
        } else if hit(lie / 2.0) {
            Fate::Empty
        } else if hit(vanish) {
            Fate::Vanish
        } else {
            Fate::Succeed
        };
        (time, fate)
    }

    async fn respond(&self, invocation: &Invocation) {
        self.watch.ended(invocation);
        self.put(&location("responses", invocation), "{}").await;
        self.tell(invocation, None).await;
    }

    async fn fail(&self, invocation: &Invocation, text: &str) {
        self.watch.ended(invocation);
        if !self.told.instead {
            self.put(&location("failures", invocation), text).await;
        }
        self.tell(invocation, Some(text)).await;
    }

    /// What the topics say of an outcome, half of it in their envelope.
    async fn tell(&self, invocation: &Invocation, failure: Option<&str>) {
        let Some(topics) = &self.told.topics else { return };
        let Invocation { segment, attempt, .. } = invocation;
        let (status, more) = match failure {
            Some(text) => ("Failed", format!(r#","failureReason":"{text}""#)),
            None => {
                let uri = location("responses", invocation);
                ("Completed", format!(r#","responseParameters":{{"outputLocation":"{uri}"}}"#))
            }
        };
        let (input, id) = (request_at(segment), name(segment, *attempt));
        let message = format!(
            r#"{{"eventName":"InferenceResult","invocationStatus":"{status}","inferenceId":"{id}","requestParameters":{{"inputLocation":"{input}"}}{more}}}"#
        );
        let body = match self.state().hit(|_| 0.5) {
            // Nothing in it needs another escape in JSON than in Rust.
            true => format!(r#"{{"Type":"Notification","Message":{message:?}}}"#),
            false => message,
        };
        self.watch.tally.count("told by a topic");
        topics.send(&body, &[]).await.unwrap();
    }

    /// A whole result is written.
    async fn succeed(&self, invocation: &Invocation) {
        self.watch.wrote(&invocation.segment);
        self.put(&invocation.output, &result_of(&invocation.segment)).await;
    }

    async fn put(&self, uri: &Uri, text: &str) {
        self.objects.write(uri, text.as_bytes()).await.unwrap();
    }

    /// A call that was signed `since` a while.
    async fn call(self: &Arc<Self>, invocation: &Invocation, signed: Instant) -> Result<Invoked> {
        let silence = || Err(Error::new(Kind::Timeout, "no answer"));
        if signed.elapsed() > LATEST_ACCEPTANCE {
            self.watch.tally.count("call too old to be taken");
            return silence();
        }
        let full = self.state().waiting >= self.backlog;
        if full || self.hit("endpoint throttled", |w| w.throttle) {
            return Err(Error::new(Kind::Throttled, "too many"));
        }
        if self.hit("call broke before acceptance", |w| w.break_before) {
            return silence();
        }
        if self.hit("accepted after the caller gave up", |w| w.late) {
            let (endpoint, invocation) = (self.clone(), invocation.clone());
            let wait = self.state().part(LATEST_ACCEPTANCE - signed.elapsed());
            tokio::spawn(async move {
                sleep(wait).await;
                endpoint.accept(&invocation);
            });
            sleep(Duration::from_secs(10)).await;
            return silence();
        }
        self.accept(invocation);
        if self.hit("call broke after acceptance", |w| w.break_after) {
            return silence();
        }
        let unnamed = self.hit("no failure location", |w| w.no_failure_location);
        Ok(Invoked::Accepted(Locations {
            response: Some(location("responses", invocation)),
            failure: (!unnamed).then(|| location("failures", invocation)),
        }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Succeed,
    Fail,
    Lie,
    Empty,
    Vanish,
}

fn location(kind: &str, invocation: &Invocation) -> Uri {
    let name = invocation.request_id().replace('/', "-");
    format!("s3://result-bucket/sagemaker-async-{kind}/{name}.out").parse().unwrap()
}

/// Under what name the endpoint tells of an attempt.
fn name(segment: &Segment, attempt: u32) -> String {
    format!("{}-{}-{}-{attempt}", segment.job_id, segment.total, segment.index)
}

/// The endpoint as one process reaches it.
#[derive(Debug)]
pub struct EndpointReach {
    pub endpoint: Arc<Endpoint>,
    /// A process of the previous release leaves requests without a mark, and rows without a lease.
    pub previous: bool,
    pub faults: Arc<Faults>,
    /// The objects as this process reaches them.
    pub reach: Arc<dyn ObjectStore>,
}

/// Where the requests of a segment's attempts are written.
pub fn request_at(segment: &Segment) -> Uri {
    let Segment { job_id, index, .. } = segment.clone();
    let key = ObjectKey::InvocationRequest { job_id, index };
    format!("s3://result-bucket/{key}").parse().unwrap()
}

#[async_trait]
impl InferenceBackend for EndpointReach {
    fn custody(&self) -> Custody {
        Custody::Backend
    }

    fn request_at(&self, segment: &Segment) -> Option<Uri> {
        (!self.previous).then(|| request_at(segment))
    }

    fn attempt_name(&self, segment: &Segment, attempt: u32) -> Option<String> {
        Some(name(segment, attempt))
    }

    async fn prepare(&self, invocation: &Invocation, _: &CancellationToken) -> Result<()> {
        let Invocation { segment, attempt, .. } = invocation;
        let (uri, mark) = (request_at(segment), request::mark(segment, *attempt));
        let written = match self.previous {
            true => self.reach.write(&uri, b"{}").await,
            false => self.reach.write_noted(&uri, b"{}", &mark).await,
        };
        // As the adapter says of whatever goes wrong before the endpoint is asked.
        written.map_err(|error| match error.kind() {
            Kind::Unauthorized | Kind::Throttled => error,
            _ => Error::new(Kind::Unavailable, error.to_string()),
        })
    }

    async fn invoke(&self, invocation: &Invocation, _: &CancellationToken) -> Result<Invoked> {
        let call = self.endpoint.call(invocation, Instant::now());
        match self.faults.around("backend.invoke", call).await {
            // The adapter reports a call that broke as silence.
            Err(error) if error.kind() == Kind::Internal => {
                Err(Error::new(Kind::Timeout, error.to_string()))
            }
            answer => answer,
        }
    }
}
