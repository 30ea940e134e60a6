//! An operation that answers in parts.

use std::sync::Arc;

use async_trait::async_trait;
use parallax_serving::{Call, Cost, Failure, Operation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Tells one part for each permit.
#[derive(Debug)]
pub(crate) struct Steps(pub(crate) Arc<Semaphore>);

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct StepsRequest {
    parts: u32,
    /// Fails after the last part.
    #[serde(default)]
    fails: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Part {
    number: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StepsResponse {
    parts: u32,
}

#[async_trait]
impl Operation for Steps {
    type Request = StepsRequest;
    type Plan = StepsRequest;
    type Part = Part;
    type Response = StepsResponse;

    fn name(&self) -> &'static str {
        "steps"
    }

    fn summary(&self) -> &'static str {
        "Counts."
    }

    fn plan(&self, request: StepsRequest) -> Result<StepsRequest, Failure> {
        Ok(request)
    }

    fn cost(&self, _: &StepsRequest) -> Cost {
        Cost::queued(Duration::from_secs(1))
    }

    fn identity(&self, plan: &StepsRequest) -> Option<Value> {
        Some(json!([plan.parts, plan.fails]))
    }

    async fn run(&self, plan: StepsRequest, call: &Call) -> Result<StepsResponse, Failure> {
        for number in 0..plan.parts {
            let step = call.cancel.run_until_cancelled(self.0.acquire()).await;
            let step = step.ok_or_else(Failure::cancelled)?;
            step.map_err(|error| Failure::internal(error.to_string()))?.forget();
            call.emit::<Self>(&Part { number })?;
        }
        match plan.fails {
            true => Err(Failure::internal("asked for")),
            false => Ok(StepsResponse { parts: plan.parts }),
        }
    }
}
