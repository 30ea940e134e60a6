//! A server in this process with a tiny random model, and what is shown to it.

use std::io::Write;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parallax_listener::Listener;
use parallax_media::Tools;
use parallax_nn::device::Choice;
use parallax_perception::{
    Captions, Choosable, ENVELOPE, KEEPING, Perception, Shelf, Surroundings,
};
use parallax_ports::health::{Beats, Flags};
use parallax_ports::{NoMetrics, SystemClock};
use parallax_serving::front::{Limits, Tokens, envelope, http};
use parallax_serving::operations::LoadedModels;
use parallax_serving::{
    Access, Executor, ExecutorSettings, ModelPool, Readiness, Registry, Service, ServiceSettings,
    Storage, Stores,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Bytes of an input within a request.
const INLINE: usize = 1 << 20;

/// The folder of tiny models.
pub(crate) fn weights() -> &'static std::path::Path {
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        parallax_tiny_weights::write_perception(folder.path(), 3).unwrap();
        parallax_tiny_weights::write_captions(folder.path(), 3).unwrap();
        folder
    });
    FOLDER.path()
}

/// A running server.
pub(crate) struct Stage {
    url: String,
    client: reqwest::Client,
    _scratch: tempfile::TempDir,
}

impl Stage {
    /// With the model of vectors alone.
    pub(crate) async fn start() -> Self {
        Self::with(None, None).await
    }

    /// With the model of words beside it.
    pub(crate) async fn of_words() -> Self {
        Self::with(Some(Captions::find(weights(), None, Choice::Cpu).unwrap()), None).await
    }

    /// One that keeps its analyses.
    pub(crate) async fn keeping(shelf: Shelf) -> Self {
        Self::with(None, Some(shelf)).await
    }

    async fn with(captions: Option<Captions>, shelf: Option<Shelf>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let access = Access { read: Vec::new(), write: Vec::new() };
        let storage = Storage::new(Stores::default(), access, 1 << 30);
        let around = Surroundings {
            storage: storage.with_inline(INLINE as u64),
            tools: Tools::find().unwrap(),
            scratch: scratch.path().to_owned(),
        };
        let asked = if shelf.is_some() { KEEPING } else { ENVELOPE };
        let model = Choosable::find(weights(), None, Choice::Cpu).unwrap();
        let perception = Perception::new(around, model, captions, shelf);
        let loaded = LoadedModels::default();
        let models = ModelPool::new(u64::MAX).with_listener(loaded.listener());
        let beat = Beats::default().register("engine", Duration::from_secs(600));
        let places = ExecutorSettings::default();
        let models = perception.models().into_iter().fold(models, ModelPool::with);
        let engine = Executor::start(places, models, Arc::new(NoMetrics), beat).unwrap();
        let registry = perception.register(Registry::default(), loaded);
        let readiness = Readiness::new(Flags::default());
        let settings = ServiceSettings::default();
        let service = Service::new(registry, engine, readiness, Arc::new(NoMetrics), settings);
        let limits = Limits { inline_bytes: INLINE, ..Limits::default() };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), limits.listener);
        let listener = listener.await.unwrap();
        let url = format!("http://{}", listener.address().unwrap());
        let (tokens, clock) = (Tokens::default(), Arc::new(SystemClock));
        let retention = http::Retention::default();
        let rest = http::routes(service.clone(), tokens.clone(), limits, retention, clock);
        let routes = rest.merge(envelope::routes(service, tokens, limits, asked));
        tokio::spawn(listener.serve(routes, CancellationToken::new(), Duration::from_secs(1)));
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { url, client: reqwest::Client::new(), _scratch: scratch }
    }

    pub(crate) async fn get(&self, page: &str) -> (u16, Value) {
        answer(self.client.get(format!("{}{page}", self.url))).await
    }

    pub(crate) async fn post(&self, page: &str, request: &Value) -> (u16, Value) {
        answer(self.client.post(format!("{}{page}", self.url)).body(request.to_string())).await
    }

    /// The text of a page, as it comes to its end.
    pub(crate) async fn text(&self, page: &str) -> String {
        let response = self.client.get(format!("{}{page}", self.url)).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        response.text().await.unwrap()
    }

    /// Asks by the envelope.
    pub(crate) async fn ask(&self, operation: &str, data: &Value) -> (u16, Value) {
        self.post("/", &json!({ "input": { "operation": operation, "data": data } })).await
    }

    /// What is answered well.
    pub(crate) async fn output(&self, operation: &str, data: &Value) -> Value {
        let (status, answer) = self.ask(operation, data).await;
        assert_eq!(status, 200, "{operation}: {answer}");
        answer["output"].clone()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Rows of numbers.
pub(crate) fn vector(value: &Value) -> Vec<Vec<f64>> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Makes a file of `kind` by ffmpeg.
pub(crate) fn made(arguments: &[&str], kind: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("made.{kind}"));
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y"]).args(arguments).arg(&path);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(path).unwrap()
}

/// A PNG of 96x64 by one of ffmpeg's sources.
pub(crate) fn picture(source: &str) -> Vec<u8> {
    made(&["-f", "lavfi", "-i", &format!("{source}=size=96x64"), "-frames:v", "1"], "png")
}

/// A ZIP archive in base64.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> String {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, data) in files {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(data).unwrap();
    }
    STANDARD.encode(archive.finish().unwrap().into_inner())
}
