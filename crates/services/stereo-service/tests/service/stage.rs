//! A server in this process, with an engine that can be held.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use parallax_conformance::memory::MemoryObjects;
use parallax_frame::Frame;
use parallax_job::Uri;
use parallax_listener::Listener;
use parallax_media::{EncodeSettings, Tools};
use parallax_ports::health::{Beats, Flags};
use parallax_ports::{MetricsSink, NoMetrics, ObjectStore, SystemClock};
use parallax_serving::front::{Limits, Tokens, http, sagemaker};
use parallax_serving::net::{Fetcher, Outside};
use parallax_serving::operations::{Health, LoadedModels, MemoryStats};
use parallax_serving::{
    Access, Executor, ExecutorSettings, Model, ModelPool, Readiness, Registry, Service,
    ServiceSettings, Storage, Stores,
};
use parallax_stereo::{Capabilities, Clip, Error, Layout, Run, Session, StereoPair};
use parallax_stereo_service::{
    Effects, Interpolate, Loop, NoConversions, Recipe, STEREO_MODEL, Stereo, StereoModel,
    StereoSettings,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::steps::Steps;

/// What a test may set.
pub(crate) struct Options {
    pub(crate) places: usize,
    pub(crate) limits: Limits,
    pub(crate) tokens: Tokens,
    pub(crate) outside: Outside,
    pub(crate) run_limit: Duration,
    pub(crate) retention: http::Retention,
    /// What another server left.
    pub(crate) objects: Option<Arc<MemoryObjects>>,
    /// What makes results what they are.
    pub(crate) recipe: &'static str,
    /// Bytes of an input within a request.
    pub(crate) inline: usize,
    /// What the engine refuses.
    pub(crate) check: fn(&Run) -> Result<(), Error>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            places: 8,
            limits: Limits::default(),
            tokens: Tokens::default(),
            outside: Outside::default(),
            run_limit: Duration::from_secs(600),
            retention: http::Retention::default(),
            objects: None,
            recipe: "gate",
            inline: 0,
            check: |_| Ok(()),
        }
    }
}

/// What was counted, over all labels.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<BTreeMap<&'static str, u64>>);

impl Counts {
    pub(crate) fn of(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

impl MetricsSink for Counts {
    fn count(&self, name: &'static str, _: &[(&'static str, &'static str)], by: u64) {
        *self.0.lock().unwrap().entry(name).or_default() += by;
    }

    fn gauge(&self, _: &'static str, _: &[(&'static str, &'static str)], _: f64) {}
    fn observe(&self, _: &'static str, _: &[(&'static str, &'static str)], _: f64) {}
}

/// A running server.
pub(crate) struct Stage {
    pub(crate) url: String,
    pub(crate) address: String,
    pub(crate) objects: Arc<MemoryObjects>,
    pub(crate) gate: Arc<Gate>,
    /// What the operation `steps` waits for before every part.
    pub(crate) steps: Arc<Semaphore>,
    pub(crate) service: Arc<Service>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) client: reqwest::Client,
    _scratch: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn start(options: Options) -> Self {
        let new = || Arc::new(MemoryObjects::new(Arc::new(SystemClock), Vec::new()));
        let objects = options.objects.unwrap_or_else(new);
        let store: Arc<dyn ObjectStore> = objects.clone();
        let web = Fetcher::new(options.outside).unwrap();
        let stores = Stores { s3: Some(store), web: Some(web), ..Stores::default() };
        let place = |text: &str| vec![text.parse().unwrap()];
        let access = Access { read: place("s3://input"), write: place("s3://output/jobs") };
        let scratch = tempfile::tempdir().unwrap();
        let settings = StereoSettings {
            tools: Tools::find().unwrap(),
            scratch: scratch.path().to_owned(),
            side_by_side: Layout::FullSbs,
            encode: EncodeSettings { preset: "ultrafast".to_owned(), ..EncodeSettings::default() },
            capabilities: Arc::new(Refuses(options.check)),
            conversions: Arc::new(NoConversions),
            recipe: Recipe(Arc::new(move || Some(options.recipe.to_owned()))),
        };
        let storage = Storage::new(stores, access, 1 << 20).with_inline(options.inline as u64);
        let limits = Limits { inline_bytes: options.inline, ..options.limits };
        let (tools, encode) = (settings.tools.clone(), settings.encode.clone());
        let effects = Effects::new(storage.clone(), tools, settings.scratch.clone(), encode);
        let gate = Arc::new(Gate::default());
        let steps = Arc::new(Semaphore::new(0));
        let loaded = LoadedModels::default();
        let of_model = gate.clone();
        let model =
            Model::new(STEREO_MODEL, 7, move || Ok(StereoModel(Arc::new(Gated(of_model.clone())))));
        let models = ModelPool::new(100).with_listener(loaded.listener()).with(model);
        let places = ExecutorSettings { slots: options.places, slots_per_client: options.places };
        let beat = Beats::default().register("engine", Duration::from_secs(600));
        let engine = Executor::start(places, models, Arc::new(NoMetrics), beat).unwrap();
        let registry = Registry::default()
            .with(Stereo::new(storage, settings))
            .with(Interpolate(effects.clone()))
            .with(Loop(effects))
            .with(Health::new("gate", "cpu"))
            .with(MemoryStats::new(loaded))
            .with(Steps(steps.clone()));
        let settings =
            ServiceSettings { run_limit: options.run_limit, ..ServiceSettings::default() };
        let readiness = Readiness::new(Flags::default());
        let counts = Arc::new(Counts::default());
        let service = Service::new(registry, engine, readiness, counts.clone(), settings);
        let listener =
            Listener::bind("127.0.0.1:0".parse().unwrap(), limits.listener).await.unwrap();
        let address = listener.address().unwrap().to_string();
        let contract = sagemaker::routes(service.clone(), options.tokens.clone(), limits);
        let clock = Arc::new(SystemClock);
        let retention = options.retention;
        let rest = http::routes(service.clone(), options.tokens, limits, retention, clock);
        let stop = CancellationToken::new();
        tokio::spawn(listener.serve(contract.merge(rest), stop, Duration::from_secs(1)));
        let url = format!("http://{address}");
        let client = client();
        Self { url, address, objects, gate, steps, service, counts, client, _scratch: scratch }
    }

    /// Puts a clip of `frames` where `name` says, and returns a request for it.
    pub(crate) async fn request(&self, name: &str, frames: u32) -> Value {
        let input = format!("s3://input/segments/{name}.mp4");
        self.objects.write(&input.parse().unwrap(), &clip(frames)).await.unwrap();
        json!({ "input_uri": input, "output_uri": output(name), "mode": "sbs" })
    }

    pub(crate) async fn invoke(&self, request: &Value) -> (u16, Value) {
        self.post("/invocations", request).await
    }

    pub(crate) async fn post(&self, page: &str, request: &Value) -> (u16, Value) {
        let call = self.client.post(format!("{}{page}", self.url)).body(request.to_string());
        answer(call.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, page: &str) -> (u16, Value) {
        answer(self.client.get(format!("{}{page}", self.url)).send().await.unwrap()).await
    }

    pub(crate) async fn has(&self, name: &str) -> bool {
        self.objects.head(&output(name).parse::<Uri>().unwrap()).await.unwrap().is_some()
    }

    /// Waits until so many places are taken.
    pub(crate) async fn until_taken(&self, places: usize) {
        until(|| self.service.executor().slots().0 == places).await;
    }
}

pub(crate) fn output(name: &str) -> String {
    format!("s3://output/jobs/{name}/segments/0.mp4")
}

pub(crate) async fn answer(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

pub(crate) async fn until(done: impl Fn() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it comes about");
}

fn client() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
    client.redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// A small clip, made once for each length.
pub(crate) fn clip(frames: u32) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let source = format!("testsrc2=s=32x32:r=25:d={}", f64::from(frames) / 25.0);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", &source]);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]).arg(&path);
    assert!(command.status().expect("ffmpeg is needed").success());
    std::fs::read(path).unwrap()
}

/// An engine that shows both eyes the source, and waits before every frame while it is shut.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
    /// Clips begun.
    pub(crate) starts: AtomicUsize,
    /// Frames taken.
    pub(crate) frames: AtomicUsize,
    /// Frames taken although the run was cancelled.
    pub(crate) late: AtomicUsize,
    /// What the last clip was begun with.
    pub(crate) run: Mutex<Option<Run>>,
}

impl Gate {
    pub(crate) fn shut(&self) {
        *self.shut.lock().unwrap() = true;
    }

    pub(crate) fn open(&self) {
        *self.shut.lock().unwrap() = false;
        self.opened.notify_all();
    }

    pub(crate) fn starts(&self) -> usize {
        self.starts.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Held {
    gate: Arc<Gate>,
    cancel: CancellationToken,
}

/// What is known of the engine before it is loaded.
#[derive(Debug)]
struct Refuses(fn(&Run) -> Result<(), Error>);

impl Capabilities for Refuses {
    fn check(&self, run: &Run) -> Result<(), Error> {
        (self.0)(run)
    }
}

/// The engine as the model pool holds it.
#[derive(Debug)]
struct Gated(Arc<Gate>);

impl Capabilities for Gated {}

impl parallax_stereo::Engine for Gated {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn start(&self, _: &Clip, run: &Run) -> Result<Box<dyn Session>, Error> {
        self.0.starts.fetch_add(1, Ordering::SeqCst);
        *self.0.run.lock().unwrap() = Some(run.clone());
        Ok(Box::new(Held { gate: self.0.clone(), cancel: run.cancel.clone() }))
    }
}

impl Session for Held {
    fn push(&mut self, frame: Frame) -> Result<Vec<StereoPair>, Error> {
        if self.cancel.is_cancelled() {
            self.gate.late.fetch_add(1, Ordering::SeqCst);
        }
        self.gate.frames.fetch_add(1, Ordering::SeqCst);
        let mut shut = self.gate.shut.lock().unwrap();
        while *shut && !self.cancel.is_cancelled() {
            shut = self.gate.opened.wait_timeout(shut, Duration::from_millis(5)).unwrap().0;
        }
        Ok(vec![StereoPair { left: frame.clone(), right: frame }])
    }

    fn finish(&mut self) -> Result<Vec<StereoPair>, Error> {
        Ok(Vec::new())
    }
}
