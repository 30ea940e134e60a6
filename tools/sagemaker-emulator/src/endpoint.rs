//! The queue, the instances and the outcome.
//!
//! A request counts as in flight from when it is accepted until its last object is written, which
//! is what a caller's permit stands for. A dropped request is over when it is dropped: nothing of
//! it will ever run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use parallax_job::Uri;
use parallax_ports::{Ids, ObjectStore};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::faults::{Fate, Faults};
use crate::instances::Instances;
use crate::stats::Stats;

/// How an endpoint behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name; calls for others are refused.
    pub name: String,
    /// Containers, by base address. Each is an instance.
    pub containers: Vec<String>,
    /// Requests that one instance runs at once.
    pub per_instance: usize,
    /// Where responses go: an address that ends in `/`.
    pub responses: String,
    /// Where failures go: an address that ends in `/`.
    pub failures: String,
    /// What goes wrong.
    pub faults: Faults,
}

/// One endpoint.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) settings: Settings,
    objects: Arc<dyn ObjectStore>,
    client: reqwest::Client,
    instances: Instances,
    ids: Ids,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stats: Stats,
    asked: BTreeMap<String, u64>,
    accepted: BTreeMap<String, u64>,
}

/// A request that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) inference_id: String,
    pub(crate) content_type: String,
    pub(crate) body: Body,
    pub(crate) run_limit: Duration,
    pub(crate) queue_limit: Duration,
    pub(crate) response: Uri,
    pub(crate) failure: Uri,
}

/// Where a request's payload is.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Object(Uri),
    Inline(Bytes),
}

impl Endpoint {
    /// An endpoint whose objects are in `objects`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(settings: Settings, objects: Arc<dyn ObjectStore>) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let instances = Instances::new(settings.containers.len(), settings.per_instance);
        let ids = Ids::random();
        Ok(Self { settings, objects, client, instances, ids, state: Mutex::default() })
    }

    /// Counts so far.
    pub fn stats(&self) -> Stats {
        let state = self.lock();
        let mut stats = state.stats.clone();
        stats.repeated = state.accepted.clone();
        stats.repeated.retain(|_, count| *count > 1);
        stats
    }

    /// What goes wrong with the next request under this name.
    pub(crate) fn fate(&self, name: &str) -> Fate {
        let mut state = self.lock();
        let count = state.asked.entry(name.to_owned()).or_default();
        let n = *count;
        *count += 1;
        drop(state);
        self.settings.faults.fate(name, n)
    }

    pub(crate) fn refused(&self) {
        self.lock().stats.refused += 1;
    }

    /// A name for an outcome that the caller did not name.
    pub(crate) fn some_name(&self) -> String {
        self.ids.next()
    }

    /// Takes a request into the queue. Its outcome follows.
    pub(crate) fn accept(self: &Arc<Self>, request: Request, fate: Fate) {
        {
            let mut state = self.lock();
            *state.accepted.entry(request.inference_id.clone()).or_default() += 1;
            state.stats.accepted += 1;
            if fate.drop {
                state.stats.dropped += 1;
                info!(id = %request.inference_id, "accepted and dropped");
                return;
            }
            state.stats.in_flight += 1;
            state.stats.max_in_flight = state.stats.max_in_flight.max(state.stats.in_flight);
        }
        let (endpoint, began) = (self.clone(), Instant::now());
        // Ends with the process, like the instances that it plays.
        tokio::spawn(async move {
            let outcome = endpoint.outcome(&request, fate).await;
            endpoint.publish(&request, fate, outcome).await;
            let mut state = endpoint.lock();
            state.stats.in_flight -= 1;
            state.stats.busy_ms += began.elapsed().as_millis() as u64;
        });
    }

    /// Waits for an instance and runs the request there.
    async fn outcome(&self, request: &Request, fate: Fate) -> Result<Bytes, String> {
        let queued = Instant::now();
        let Some(place) = self.instances.place().await else {
            return Err("the endpoint has no instances".to_owned());
        };
        if queued.elapsed() > request.queue_limit {
            return Err("the request expired in the queue".to_owned());
        }
        sleep(Duration::from_millis(fate.delay_ms)).await;
        if fate.fail {
            return Err("the model failed, as it was told to".to_owned());
        }
        if fate.hollow {
            return Ok(Bytes::from_static(b"{}"));
        }
        let payload = match &request.body {
            Body::Inline(bytes) => bytes.clone(),
            Body::Object(uri) => match self.objects.read(uri, 1 << 20).await {
                Ok(bytes) => bytes.into(),
                Err(error) => return Err(format!("download of the input: {}", error.chain())),
            },
        };
        {
            let mut state = self.lock();
            state.stats.running += 1;
            state.stats.max_running = state.stats.max_running.max(state.stats.running);
        }
        let run = self.run(&self.settings.containers[place.instance], request, payload);
        let outcome = match timeout(request.run_limit, run).await {
            Ok(outcome) => outcome,
            Err(_) => Err("the container took longer than the invocation timeout".to_owned()),
        };
        self.lock().stats.running -= 1;
        outcome
    }

    async fn run(&self, base: &str, request: &Request, body: Bytes) -> Result<Bytes, String> {
        let call = self
            .client
            .post(format!("{}/invocations", base.trim_end_matches('/')))
            .header("content-type", &request.content_type)
            .header("x-amzn-sagemaker-inference-id", &request.inference_id)
            .body(body);
        let answer = call.send().await.map_err(|error| format!("container: {error}"))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| format!("container: {error}"))?;
        if status.is_success() {
            return Ok(body);
        }
        let text: String = String::from_utf8_lossy(&body).chars().take(1000).collect();
        Err(format!("the container answered {status}: {text}"))
    }

    async fn publish(&self, request: &Request, fate: Fate, outcome: Result<Bytes, String>) {
        let (uri, bytes) = match &outcome {
            Ok(body) => (&request.response, body.clone()),
            Err(text) => (&request.failure, Bytes::copy_from_slice(text.as_bytes())),
        };
        let counted = |stats: &mut Stats| match &outcome {
            Ok(_) => stats.succeeded += 1,
            Err(_) => stats.failed += 1,
        };
        counted(&mut self.lock().stats);
        info!(id = %request.inference_id, %uri, failed = outcome.is_err(), "over");
        if fate.silent && outcome.is_ok() {
            return;
        }
        for _ in 0..if fate.duplicate { 2 } else { 1 } {
            if let Err(error) = self.objects.write(uri, &bytes).await {
                warn!(%uri, error = %error.chain(), "could not write an outcome");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
