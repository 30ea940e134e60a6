//! `health`: whether work can be taken, and how much is there.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Call, Cost, Failure, NoParts, Operation};

/// The operation.
#[derive(Debug, Clone)]
pub struct Health {
    engine: &'static str,
    device: &'static str,
}

/// Nothing.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct HealthRequest {}

/// The server's state.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HealthResponse {
    /// `ready` or `not ready`.
    status: &'static str,
    /// What is missing, by condition.
    reasons: BTreeMap<String, String>,
    /// The stereo engine.
    engine: &'static str,
    /// `cpu` or `cuda`.
    device: &'static str,
    /// Version of the server.
    version: &'static str,
    /// Requests that hold a slot.
    places_taken: usize,
    /// Places there are.
    places: usize,
    /// Requests that wait for the executor.
    waiting: usize,
    /// Whether the executor works.
    running: bool,
    /// Seconds since the start.
    uptime_seconds: f64,
}

impl Health {
    /// The operation of a server with this engine on this device.
    pub fn new(engine: &'static str, device: &'static str) -> Self {
        Self { engine, device }
    }
}

#[async_trait]
impl Operation for Health {
    type Request = HealthRequest;
    type Plan = ();
    type Part = NoParts;
    type Response = HealthResponse;

    fn name(&self) -> &'static str {
        "health"
    }

    fn summary(&self) -> &'static str {
        "Says whether work can be taken, what is missing, and how much is being done."
    }

    fn plan(&self, _: HealthRequest) -> Result<(), Failure> {
        Ok(())
    }

    fn cost(&self, (): &()) -> Cost {
        Cost::LIGHT
    }

    async fn run(&self, (): (), call: &Call) -> Result<HealthResponse, Failure> {
        let server = call.status();
        let reasons: BTreeMap<_, _> = server.readiness().reasons().into_iter().collect();
        let (places_taken, places) = server.executor().slots();
        let (waiting, running) = server.executor().depth();
        Ok(HealthResponse {
            status: if reasons.is_empty() { "ready" } else { "not ready" },
            reasons,
            engine: self.engine,
            device: self.device,
            version: env!("CARGO_PKG_VERSION"),
            places_taken,
            places,
            waiting,
            running,
            uptime_seconds: server.started().elapsed().as_secs_f64(),
        })
    }
}
