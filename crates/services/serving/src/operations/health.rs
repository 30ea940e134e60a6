//! `health`: whether work can be taken, and how much is there.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Call, Cost, Failure, Operation, Service};

/// The operation. It is made before the service that it tells of, and told of it afterwards.
#[derive(Debug, Clone, Default)]
pub struct Health {
    service: Arc<OnceLock<Weak<Service>>>,
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
    /// Requests that hold a place.
    places_taken: usize,
    /// Places there are.
    places: usize,
    /// Requests that wait for the engine.
    waiting: usize,
    /// Whether the engine works.
    running: bool,
    /// Seconds since the start.
    uptime_seconds: f64,
}

impl Health {
    /// The operation of a server with this engine on this device.
    pub fn new(engine: &'static str, device: &'static str) -> Self {
        Self { service: Arc::default(), engine, device }
    }

    /// Tells of this service from now on.
    pub fn tell_of(&self, service: &Arc<Service>) {
        // Told twice, the first is kept.
        let _ = self.service.set(Arc::downgrade(service));
    }
}

#[async_trait]
impl Operation for Health {
    type Request = HealthRequest;
    type Response = HealthResponse;

    fn name(&self) -> &'static str {
        "health"
    }

    fn summary(&self) -> &'static str {
        "Says whether work can be taken, what is missing, and how much is being done."
    }

    fn cost(&self, _: &HealthRequest) -> Cost {
        Cost::LIGHT
    }

    async fn run(&self, _: HealthRequest, _: &Call) -> Result<HealthResponse, Failure> {
        let service = self.service.get().and_then(Weak::upgrade);
        let Some(service) = service else {
            return Err(Failure::internal("health was asked before there was a service"));
        };
        let reasons: BTreeMap<_, _> = service.readiness().reasons().into_iter().collect();
        let (places_taken, places) = service.engine().places();
        let (waiting, running) = service.engine().depth();
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
            uptime_seconds: service.started().elapsed().as_secs_f64(),
        })
    }
}
