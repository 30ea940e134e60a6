//! Health over HTTP: `/livez`, `/readyz` and `/metrics`.
//!
//! Liveness asks whether every loop still gives its beat, and nothing else: a dependency that is
//! down must not get the process killed. Readiness asks whether work can be taken.
//!
//! A probe is one short request, so few connections are taken and none of them for long; one that asks for
//! nothing soon makes room for a probe.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use parallax_listener::{HostName, Hosts, Limits, Listener};
use parallax_telemetry_api::health::{Beats, Flags};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::PrometheusMetrics;

/// How often observations are folded where nobody scrapes.
const FOLD: Duration = Duration::from_secs(30);
/// Probes, scrapers and a person beside them.
const LIMITS: Limits =
    Limits { connections: 64, head: Duration::from_secs(10), stall: Duration::from_secs(10) };
/// How long answers in progress may take once the server is to stop.
const GRACE: Duration = Duration::from_secs(1);

/// A bound health server.
#[derive(Debug)]
pub struct HealthServer {
    listener: Listener,
    state: Health,
    /// The names by which it is asked where only this machine reaches it; elsewhere any.
    hosts: Option<Hosts>,
}

#[derive(Debug, Clone)]
struct Health {
    beats: Beats,
    flags: Flags,
    metrics: Arc<PrometheusMetrics>,
}

impl HealthServer {
    /// Listens on `address`; port 0 is any free port.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(
        address: SocketAddr,
        beats: Beats,
        flags: Flags,
        metrics: Arc<PrometheusMetrics>,
    ) -> io::Result<Self> {
        let listener = Listener::bind(address, LIMITS).await?;
        let hosts = address.ip().is_loopback().then(Hosts::default);
        Ok(Self { listener, state: Health { beats, flags, metrics }, hosts })
    }

    /// Further names by which it may be asked where only this machine reaches it. Elsewhere it answers to
    /// any.
    #[must_use]
    pub fn with_hosts(self, names: &[HostName]) -> Self {
        Self { hosts: self.hosts.map(|_| Hosts::new(names)), ..self }
    }

    /// Changes what connections may take: by default 64 at once, and 10 s for a request's head,
    /// between two requests and without taking anything of an answer.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { listener: self.listener.with_limits(limits), ..self }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.address()
    }

    /// Answers until `stop` is cancelled, then lets answers in progress finish for a moment.
    pub async fn serve(self, stop: CancellationToken) {
        let metrics = self.state.metrics.clone();
        let routes = Router::new()
            .route("/livez", get(live))
            .route("/readyz", get(ready))
            .route("/metrics", get(numbers))
            .with_state(self.state);
        let routes = match self.hosts {
            Some(hosts) => hosts.guard(routes),
            None => routes,
        };
        let fold = async {
            loop {
                tokio::time::sleep(FOLD).await;
                metrics.fold();
            }
        };
        tokio::select! {
            () = self.listener.serve(routes, stop, GRACE) => {}
            () = fold => {}
        }
    }
}

async fn live(State(health): State<Health>) -> Response {
    let overdue = health.beats.overdue();
    if overdue.is_empty() {
        return Json(json!({"status": "live", "loops": health.beats.len()})).into_response();
    }
    let loops = overdue.into_iter().map(|late| {
        let why = json!({
            "last_beat_seconds_ago": late.age.as_secs_f64(),
            "allowed_seconds": late.max_age.as_secs_f64(),
        });
        (late.name, why)
    });
    unavailable("stuck", "loops", loops.collect())
}

async fn ready(State(health): State<Health>) -> Response {
    let lowered = health.flags.lowered();
    if lowered.is_empty() {
        return Json(json!({"status": "ready"})).into_response();
    }
    let reasons = lowered.into_iter().map(|(name, why)| (name, why.into()));
    unavailable("not ready", "reasons", reasons.collect())
}

fn unavailable(status: &str, what: &str, details: Map<String, Value>) -> Response {
    let body = Json(json!({"status": status, what: details}));
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

async fn numbers(State(health): State<Health>) -> Response {
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, health.metrics.render()).into_response()
}
