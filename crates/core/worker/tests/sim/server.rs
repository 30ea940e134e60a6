//! A backend that works inside its call, as the HTTP one does: the caller keeps the attempt alive.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use parallax_conformance::fault::Faults;
use parallax_conformance::memory::MemoryObjects;
use parallax_job::Segment;
use parallax_ports::{
    Custody, Error, InferenceBackend, Invocation, Invoked, Kind, ObjectStore, Result,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::watch::Watch;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1200);

/// How often the model itself goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moods {
    /// The model fails.
    pub fail: f64,
    /// The input is beyond it.
    pub reject: f64,
    /// It says that it succeeded and wrote nothing, or an empty object.
    pub lie: f64,
    /// It never says anything.
    pub vanish: f64,
    /// It is busy.
    pub busy: f64,
}

/// The server that all replicas call.
#[derive(Debug)]
pub struct Server {
    watch: Arc<Watch>,
    objects: Arc<MemoryObjects>,
    longest_run: Duration,
    state: Mutex<(StdRng, Moods)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Succeed,
    Fail,
    Reject,
    Lie,
    Empty,
    Vanish,
    Busy,
}

/// Mostly short.
pub fn run_time(longest: Duration, rng: &mut StdRng) -> Duration {
    Duration::from_secs(1) + longest.mul_f64(rng.random::<f64>().powi(3))
}

/// What a run at a segment writes.
pub fn result_of(segment: &Segment) -> String {
    format!("piece {} of a cut into {}", segment.index, segment.total)
}

/// What a run leaves that breaks off while it writes.
pub const FRAGMENT: &str = "ten  bytes";

/// Ends a run that is dropped with its process.
struct Running<'a>(&'a Watch, &'a Invocation);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.ended(self.1);
    }
}

impl Server {
    pub fn new(
        seed: u64,
        watch: Arc<Watch>,
        objects: Arc<MemoryObjects>,
        longest_run: Duration,
        moods: Moods,
    ) -> Self {
        let state = Mutex::new((StdRng::seed_from_u64(seed), moods));
        Self { watch, objects, longest_run, state }
    }

    pub fn heal(&self) {
        self.state.lock().unwrap().1 = Moods::default();
    }

    fn fate(&self) -> (Duration, Fate) {
        let (rng, moods) = &mut *self.state.lock().unwrap();
        let time = run_time(self.longest_run, rng);
        let mut roll: f64 = rng.random();
        let mut hit = |rate: f64| {
            roll -= rate;
            roll < 0.0
        };
        let fate = if hit(moods.fail) {
            Fate::Fail
        } else if hit(moods.reject) {
            Fate::Reject
        } else if hit(moods.lie / 2.0) {
            Fate::Lie
        } else if hit(moods.lie / 2.0) {
            Fate::Empty
        } else if hit(moods.vanish) {
            Fate::Vanish
        } else if hit(moods.busy) {
            Fate::Busy
        } else {
            Fate::Succeed
        };
        (time, fate)
    }

    async fn work(&self, invocation: &Invocation) -> Result<Invoked> {
        let (time, fate) = self.fate();
        let failed = |text: &str| {
            self.watch.blame(&invocation.segment, false);
            Err(Error::new(Kind::Internal, text))
        };
        if fate == Fate::Busy {
            self.watch.tally.count("server busy");
            let kind =
                if time.as_secs().is_multiple_of(2) { Kind::Throttled } else { Kind::Unavailable };
            return Err(Error::new(kind, "busy").with_retry_after(time.min(PATIENCE / 20)));
        }
        self.watch.started(invocation);
        let running = Running(&self.watch, invocation);
        sleep(if fate == Fate::Vanish { PATIENCE } else { time }).await;
        match fate {
            Fate::Succeed => {
                let result = result_of(&invocation.segment);
                self.watch.wrote(&invocation.segment);
                self.objects.write(&invocation.output, result.as_bytes()).await?;
            }
            Fate::Lie | Fate::Empty => {
                self.watch.tally.count("success without a result");
                if fate == Fate::Empty {
                    self.objects.write(&invocation.output, FRAGMENT.as_bytes()).await?;
                }
                self.watch.blame(&invocation.segment, false);
            }
            Fate::Reject => {
                self.watch.tally.count("input refused");
                self.watch.blame(&invocation.segment, true);
                return Err(Error::new(Kind::Rejected, "undecodable"));
            }
            Fate::Vanish => {
                self.watch.tally.count("no answer at all");
                return Err(Error::new(Kind::Timeout, "no answer"));
            }
            Fate::Fail | Fate::Busy => {
                self.watch.tally.count("model failed");
                return failed("model failed");
            }
        }
        drop(running);
        Ok(Invoked::Finished)
    }
}

/// The server as one process reaches it.
#[derive(Debug)]
pub struct ServerReach {
    pub server: Arc<Server>,
    pub faults: Arc<Faults>,
}

#[async_trait]
impl InferenceBackend for ServerReach {
    fn custody(&self) -> Custody {
        Custody::Caller
    }

    async fn invoke(&self, invocation: &Invocation, cancel: &CancellationToken) -> Result<Invoked> {
        let call = async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Error::new(Kind::Cancelled, "cancelled")),
                done = self.server.work(invocation) => done,
            }
        };
        let answer = self.faults.around("backend.invoke", call).await;
        if let Err(error) = &answer
            && error.kind() == Kind::Internal
            && error.to_string().contains("injected")
        {
            self.server.watch.blame(&invocation.segment, false);
        }
        answer
    }
}
