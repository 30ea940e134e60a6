//! The backend of the simulation: knows exactly what runs, and so when a promise is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::{JobId, Segment, Uri};
use parallax_ports::fault::Faults;
use parallax_ports::ledger::rules::Change;
use parallax_ports::memory::MemoryObjects;
use parallax_ports::{
    Custody, Error, InferenceBackend, Invocation, Invoked, Kind, Locations, ObjectStore, Result,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;

/// How often the model itself goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moods {
    /// The model fails.
    pub fail: f64,
    /// The input is beyond it.
    pub reject: f64,
    /// It says that it succeeded and wrote nothing.
    pub lie: f64,
    /// It never says anything.
    pub vanish: f64,
}

#[derive(Debug)]
pub struct Gpu {
    pub limit: usize,
    pub custody: Custody,
    pub violations: Mutex<Vec<String>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    moods: Moods,
    running: BTreeMap<(Segment, u32), Uri>,
    permits: BTreeMap<String, (Segment, u32)>,
    started: BTreeSet<(Segment, u32)>,
    invocations: u64,
    /// Jobs whose failure is the model's fault.
    blamed: BTreeMap<JobId, u32>,
}

impl Gpu {
    pub fn new(seed: u64, limit: usize, custody: Custody, moods: Moods) -> Self {
        let state = State {
            rng: StdRng::seed_from_u64(seed),
            moods,
            running: BTreeMap::new(),
            permits: BTreeMap::new(),
            started: BTreeSet::new(),
            invocations: 0,
            blamed: BTreeMap::new(),
        };
        Self { limit, custody, violations: Mutex::default(), state: Mutex::new(state) }
    }

    pub fn heal(&self) {
        self.state.lock().unwrap().moods = Moods::default();
    }

    pub fn invocations(&self) -> u64 {
        self.state.lock().unwrap().invocations
    }

    pub fn running(&self) -> usize {
        self.state.lock().unwrap().running.len()
    }

    /// Failures that the model caused for a job.
    pub fn blamed(&self, job: &JobId) -> u32 {
        self.state.lock().unwrap().blamed.get(job).copied().unwrap_or(0)
    }

    pub fn violated(&self, text: String) {
        self.violations.lock().unwrap().push(text);
    }

    /// Follows the ledger: permits bound and ended, checked against what really runs.
    pub fn watch(&self, change: &Change) {
        let mut state = self.state.lock().unwrap();
        if let Some(holder) = &change.put_holder
            && let Some(work) = &holder.work
        {
            let work = (work.segment.clone(), work.attempt);
            state.permits.insert(holder.id.0.clone(), work);
        }
        for id in &change.remove_holders {
            if let Some(work) = state.permits.remove(&id.0)
                && state.running.contains_key(&work)
            {
                self.violated(format!(
                    "permit of {} attempt {} ended while it runs",
                    work.0, work.1
                ));
            }
        }
        if state.permits.len() > self.limit {
            self.violated(format!(
                "{} permits over a limit of {}",
                state.permits.len(),
                self.limit
            ));
        }
    }

    fn start(&self, invocation: &Invocation) {
        let mut state = self.state.lock().unwrap();
        let work = (invocation.segment.clone(), invocation.attempt);
        state.invocations += 1;
        if !state.started.insert(work.clone()) {
            self.violated(format!("{} attempt {} invoked twice", work.0, work.1));
        }
        if !state.permits.values().any(|held| *held == work) {
            self.violated(format!("{} attempt {} runs without a permit", work.0, work.1));
        }
        state.running.insert(work, invocation.output.clone());
        if state.running.len() > self.limit {
            self.violated(format!("{} run over a limit of {}", state.running.len(), self.limit));
        }
    }

    fn end(&self, segment: &Segment, attempt: u32) {
        self.state.lock().unwrap().running.remove(&(segment.clone(), attempt));
    }

    /// How long a run takes and what comes of it.
    fn fate(&self, job: &JobId) -> (Duration, Fate) {
        let mut state = self.state.lock().unwrap();
        let seconds = 1.0 + 599.0 * state.rng.random::<f64>().powi(3);
        let mut roll: f64 = state.rng.random();
        let mut hit = |rate: f64| {
            roll -= rate;
            roll < 0.0
        };
        let Moods { fail, reject, lie, vanish } = state.moods;
        let fate = if hit(fail) {
            Fate::Fail
        } else if hit(reject) {
            Fate::Reject
        } else if hit(lie) {
            Fate::Lie
        } else if hit(vanish) {
            Fate::Vanish
        } else {
            Fate::Succeed
        };
        if fate != Fate::Succeed {
            *state.blamed.entry(job.clone()).or_default() += 1;
        }
        (Duration::from_secs_f64(seconds), fate)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Succeed,
    Fail,
    Reject,
    Lie,
    Vanish,
}

/// The backend as one process reaches it.
#[derive(Debug)]
pub struct Reach {
    pub gpu: Arc<Gpu>,
    pub objects: Arc<MemoryObjects>,
    pub faults: Arc<Faults>,
}

/// Ends a run that is dropped with its process.
struct Running<'a>(&'a Gpu, &'a Invocation);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.end(&self.1.segment, self.1.attempt);
    }
}

impl Reach {
    fn locations(invocation: &Invocation) -> Locations {
        let name = invocation.request_id().replace('/', "-");
        let uri = |dir: &str| {
            format!("s3://result-bucket/sagemaker-async-{dir}/{name}.out").parse().unwrap()
        };
        Locations { response: Some(uri("responses")), failure: Some(uri("failures")) }
    }

    async fn in_process(&self, invocation: &Invocation) -> Result<Invoked> {
        self.gpu.start(invocation);
        let running = Running(&self.gpu, invocation);
        let (time, fate) = self.gpu.fate(&invocation.segment.job_id);
        tokio::time::sleep(time).await;
        match fate {
            Fate::Succeed => self.objects.write(&invocation.output, b"result").await?,
            Fate::Lie => {}
            Fate::Reject => return Err(Error::new(Kind::Rejected, "undecodable")),
            Fate::Fail | Fate::Vanish => return Err(Error::new(Kind::Internal, "model failed")),
        }
        drop(running);
        Ok(Invoked::Finished)
    }

    fn hand_over(&self, invocation: &Invocation) -> Invoked {
        self.gpu.start(invocation);
        let (gpu, objects, invocation) =
            (self.gpu.clone(), self.objects.clone(), invocation.clone());
        let locations = Self::locations(&invocation);
        let (response, failure) = (locations.response.clone(), locations.failure.clone());
        tokio::spawn(async move {
            let (time, fate) = gpu.fate(&invocation.segment.job_id);
            tokio::time::sleep(time).await;
            if fate == Fate::Succeed {
                objects.write(&invocation.output, b"result").await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            gpu.end(&invocation.segment, invocation.attempt);
            let (uri, text) = match fate {
                Fate::Vanish => return,
                Fate::Succeed | Fate::Lie => (response, "{}"),
                Fate::Fail | Fate::Reject => (failure, "model failed"),
            };
            objects.write(&uri.unwrap(), text.as_bytes()).await.unwrap();
        });
        Invoked::Accepted(locations)
    }
}

#[async_trait]
impl InferenceBackend for Reach {
    fn custody(&self) -> Custody {
        self.gpu.custody
    }

    async fn invoke(&self, invocation: &Invocation, cancel: &CancellationToken) -> Result<Invoked> {
        let call = async {
            match self.gpu.custody {
                Custody::Backend => Ok(self.hand_over(invocation)),
                Custody::Caller => tokio::select! {
                    biased;
                    () = cancel.cancelled() => Err(Error::new(Kind::Cancelled, "cancelled")),
                    done = self.in_process(invocation) => done,
                },
            }
        };
        let answer = self.faults.around("backend.invoke", call).await;
        if let Err(error) = &answer
            && error.kind() == Kind::Internal
        {
            let job = invocation.segment.job_id.clone();
            *self.gpu.state.lock().unwrap().blamed.entry(job).or_default() += 1;
        }
        answer
    }
}
