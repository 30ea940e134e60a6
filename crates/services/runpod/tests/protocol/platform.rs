//! A platform that answers as a scenario says and remembers every call.
//!
//! It has a thread and a runtime of its own: a test may block its runtime, and the platform still
//! answers. `tools/runpod-record` has the same in Python; what a scenario means is defined by both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use parallax_runpod::{Options, Settings, Timing};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

pub(crate) const KEY: &str = "canary-key";

#[derive(Clone)]
pub(crate) struct Platform(Arc<Inner>);

struct Inner {
    scenario: Value,
    address: Mutex<String>,
    calls: Mutex<Vec<(&'static str, Value)>>,
    counts: watch::Sender<BTreeMap<String, u64>>,
    last_ping: Mutex<Value>,
}

impl Platform {
    pub(crate) fn start(scenario: Value) -> Self {
        let platform = Self(Arc::new(Inner {
            scenario,
            address: Mutex::default(),
            calls: Mutex::default(),
            counts: watch::Sender::default(),
            last_ping: Mutex::default(),
        }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        *platform.0.address.lock().unwrap() = listener.local_addr().unwrap().to_string();
        let routes = platform.routes();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, routes).await.unwrap();
            });
        });
        platform
    }

    fn routes(&self) -> Router {
        Router::new()
            .route("/v2/ep/job-take/{pod}", get(take))
            .route("/v2/ep/job-take-batch/{pod}", get(take))
            .route("/v2/ep/job-stop/{pod}", get(stop))
            .route("/v2/ep/job-done/{pod}/{job}", post(done))
            .route("/v2/ep/job-stream/{pod}/{job}", post(stream))
            .route("/v2/ep/ping/{pod}", get(ping))
            .with_state(self.clone())
    }

    pub(crate) fn scenario(&self) -> &Value {
        &self.0.scenario
    }

    /// What the real platform would put into a worker's environment.
    pub(crate) fn settings(&self) -> Settings {
        let base = format!("http://{}/v2/ep", self.0.address.lock().unwrap());
        let mut settings = Settings::from_env(|name| {
            Some(match name {
                "RUNPOD_WEBHOOK_GET_JOB" => format!("{base}/job-take/$ID?gpu=RTX+4090"),
                "RUNPOD_WEBHOOK_POST_OUTPUT" => {
                    format!("{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=RTX+4090")
                }
                "RUNPOD_WEBHOOK_POST_STREAM" => {
                    format!("{base}/job-stream/$RUNPOD_POD_ID/$ID?gpu=RTX+4090")
                }
                "RUNPOD_WEBHOOK_PING" => format!("{base}/ping/$RUNPOD_POD_ID?gpu=RTX+4090"),
                "RUNPOD_AI_API_KEY" => KEY.to_owned(),
                "RUNPOD_POD_ID" => "pod-abc".to_owned(),
                "RUNPOD_POD_HOSTNAME" => "host-abc".to_owned(),
                _ => return None,
            })
        });
        let settings = settings.as_mut().unwrap().as_mut().unwrap();
        settings.ping_interval = Duration::from_millis(20);
        settings.clone()
    }

    pub(crate) fn happened(&self, event: &str) {
        self.0.counts.send_modify(|counts| *counts.entry(event.to_owned()).or_default() += 1);
    }

    pub(crate) fn count(&self, event: &str) -> u64 {
        self.0.counts.borrow().get(event).copied().unwrap_or(0)
    }

    /// Returns once `event` happened `count` times; fails a test that would wait for ever.
    pub(crate) async fn reached(&self, event: &str, count: u64) {
        let mut counts = self.0.counts.subscribe();
        let enough = |counts: &BTreeMap<String, u64>| counts.get(event) >= Some(&count);
        let waiting = counts.wait_for(enough);
        let reached = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        if reached.is_err() {
            panic!("{event} did not happen {count} times: {:#?}", self.calls());
        }
    }

    pub(crate) async fn condition(&self, condition: &Value) {
        let event = condition["event"].as_str().unwrap();
        self.reached(event, condition["count"].as_u64().unwrap()).await;
    }

    /// The calls so far, each with its channel.
    pub(crate) fn calls(&self) -> Vec<(&'static str, Value)> {
        self.0.calls.lock().unwrap().clone()
    }

    /// The bodies posted about `job`, in order.
    pub(crate) fn posted(&self, job: &str) -> Vec<Value> {
        let calls = self.calls().into_iter().map(|(_, call)| call);
        let about = calls.filter(|call| {
            call["method"] == "POST" && call["path"].as_str().unwrap().ends_with(&format!("/{job}"))
        });
        about.map(|call| call["body"].clone()).collect()
    }

    /// The calls by channel, as they are recorded.
    pub(crate) fn transcript(&self) -> Value {
        let mut polls = BTreeMap::from([("take", Vec::new()), ("stop", Vec::new())]);
        let mut posts: Map<String, Value> = Map::new();
        if self.0.scenario["heartbeats"] == true {
            polls.insert("ping", Vec::new());
        }
        for (channel, call) in self.calls() {
            match channel {
                "done" | "stream" => {
                    let job = call["path"].as_str().unwrap().rsplit('/').next().unwrap();
                    let about = posts.entry(job).or_insert_with(|| json!([]));
                    about.as_array_mut().unwrap().push(call);
                }
                "ping" => {
                    let Some(pings) = polls.get_mut("ping") else { continue };
                    if pings.last() != Some(&call) {
                        pings.push(call);
                    }
                }
                _ => polls.get_mut(channel).unwrap().push(call),
            }
        }
        let mut calls = json!(polls);
        calls["posts"] = posts.into();
        calls
    }

    async fn record(&self, request: Request, channel: &'static str) -> Value {
        let (head, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let names = ["authorization", "content-type", "charset", "x-request-id"];
        let names = if head.method == "POST" { &names[..] } else { &names[..1] };
        let query: reqwest::Url =
            format!("http://x/?{}", head.uri.query().unwrap()).parse().unwrap();
        let query: Vec<_> = query.query_pairs().map(|(name, value)| json!([name, value])).collect();
        let present = names.iter().filter_map(|name| Some((name, head.headers.get(*name)?)));
        let headers: BTreeMap<_, _> = present.map(|(n, v)| (*n, v.to_str().unwrap())).collect();
        let call = json!({
            "method": head.method.as_str(),
            "path": head.uri.path(),
            "query": query,
            "headers": headers,
            "body": plain(body),
        });
        self.0.calls.lock().unwrap().push((channel, call.clone()));
        call
    }

    /// A long poll: the scenario's answers in turn, then none.
    async fn poll(&self, request: Request, channel: &'static str) -> Response {
        self.record(request, channel).await;
        let turn = self.count(channel) as usize;
        self.happened(channel);
        let Some(answer) = self.0.scenario[channel].get(turn) else {
            return std::future::pending().await;
        };
        if let Some(condition) = answer.get("after") {
            self.condition(condition).await;
            if condition["event"] == "done" {
                // A post is counted when it arrives, and the job is over when the worker has read the
                // answer: its heartbeats tell.
                self.reached("idle-ping", self.count("idle-ping") + 1).await;
            }
        }
        let status = StatusCode::from_u16(answer["status"].as_u64().unwrap() as u16).unwrap();
        let text = match answer.get("json") {
            Some(value) => value.to_string(),
            None => answer["text"].as_str().unwrap_or("").to_owned(),
        };
        let kind = answer["type"].as_str().unwrap_or("application/json").to_owned();
        let elsewhere = answer["location"].as_str().unwrap_or("").to_owned();
        (status, [(CONTENT_TYPE, kind), (LOCATION, elsewhere)], text).into_response()
    }

    async fn post(&self, request: Request, channel: &'static str) -> Response {
        self.record(request, channel).await;
        let turn = self.count(channel) as usize;
        self.happened(channel);
        let status = self.0.scenario[channel].get(turn).and_then(Value::as_u64).unwrap_or(200);
        StatusCode::from_u16(status as u16).unwrap().into_response()
    }
}

/// A body without what differs from run to run.
fn plain(mut body: Value) -> Value {
    let Some(text) = body["error"].as_str() else { return body };
    if let Ok(mut inner @ Value::Object(_)) = serde_json::from_str::<Value>(text) {
        inner["error_traceback"] = "".into();
        body["error"] = inner;
    } else if let Some((head, _)) = text.split_once("\ntraceback: ") {
        body["error"] = format!("{head}\ntraceback: ").into();
    }
    body
}

async fn take(State(platform): State<Platform>, request: Request) -> Response {
    platform.poll(request, "take").await
}

async fn stop(State(platform): State<Platform>, request: Request) -> Response {
    platform.poll(request, "stop").await
}

async fn done(State(platform): State<Platform>, request: Request) -> Response {
    platform.post(request, "done").await
}

async fn stream(State(platform): State<Platform>, request: Request) -> Response {
    platform.post(request, "stream").await
}

async fn ping(State(platform): State<Platform>, request: Request) -> Response {
    let call = platform.record(request, "ping").await;
    let turn = platform.count("ping") as usize;
    platform.happened("ping");
    let query = call["query"].as_array().unwrap();
    if !query.iter().any(|pair| pair[0] == "job_id") {
        platform.happened("idle-ping");
    }
    let last = std::mem::replace(&mut *platform.0.last_ping.lock().unwrap(), call.clone());
    if last != call {
        platform.happened("ping-change");
    }
    let status = platform.0.scenario["ping"].get(turn).and_then(Value::as_u64).unwrap_or(200);
    StatusCode::from_u16(status as u16).unwrap().into_response()
}

/// Options whose waits are short.
pub(crate) fn quick() -> Options {
    let short = Duration::from_millis(10);
    let timing = Timing {
        throttled: short,
        pause: short,
        backoff: short,
        retries: vec![short, short],
        last_poll: Duration::from_millis(50),
        ..Timing::default()
    };
    Options { timing, stop_grace: Duration::from_millis(100), ..Options::default() }
}
