//! `health` and `memory_stats` as the earlier service answered them.

use async_trait::async_trait;
use parallax_serving::operations::LoadedModels;
use parallax_serving::{Call, Cost, Failure, NoParts, Operation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::Perception;
use crate::captioner::QWEN3_VL;
use crate::embedder::DINOV3;

/// The registry's name of the earlier `health`.
pub(super) const HEALTH: &str = "perception_health";
/// The registry's name of the earlier `memory_stats`.
pub(super) const MEMORY: &str = "perception_memory_stats";
const GIB: f64 = (1u64 << 30) as f64;

/// Nothing.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Nothing {}

/// Whether it is well.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct HealthResponse {
    /// Always `healthy`: who cannot answer is not.
    status: &'static str,
    /// Whether models run on a GPU.
    cuda_available: bool,
    /// `cuda` or `cpu`.
    device_name: String,
    /// The model, by the name of `parallax weights fetch`.
    model: &'static str,
    /// Width of its vectors.
    embedding_dim: usize,
    /// The model that describes pictures and films in words; null where there is none.
    caption_model: Option<&'static str>,
}

/// The earlier `health`.
#[derive(Debug)]
pub(super) struct Health(pub(super) Perception);

#[async_trait]
impl Operation for Health {
    type Request = Nothing;
    type Plan = ();
    type Part = NoParts;
    type Response = HealthResponse;

    fn name(&self) -> &'static str {
        HEALTH
    }

    fn summary(&self) -> &'static str {
        "Says which model looks at pictures, and where it runs."
    }

    fn plan(&self, _: Nothing) -> Result<(), Failure> {
        Ok(())
    }

    fn cost(&self, (): &()) -> Cost {
        Cost::LIGHT
    }

    async fn run(&self, (): (), _: &Call) -> Result<HealthResponse, Failure> {
        let model = &self.0.0.model;
        Ok(HealthResponse {
            status: "healthy",
            cuda_available: model.is_on_a_gpu(),
            device_name: model.device().to_string(),
            model: model.model,
            embedding_dim: model.embedding_dim,
            caption_model: self.0.0.captions.as_ref().map(|captions| captions.model),
        })
    }
}

/// Memory of the GPU; of the processor `memory_stats` of the server tells.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct MemoryResponse {
    /// What the models take there.
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated_gb: Option<f64>,
    /// `cuda`.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// Why there is nothing to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// The earlier `memory_stats`.
#[derive(Debug)]
pub(super) struct MemoryStats(pub(super) Perception, pub(super) LoadedModels);

#[async_trait]
impl Operation for MemoryStats {
    type Request = Nothing;
    type Plan = ();
    type Part = NoParts;
    type Response = MemoryResponse;

    fn name(&self) -> &'static str {
        MEMORY
    }

    fn summary(&self) -> &'static str {
        "Says what the models take of a GPU's memory."
    }

    fn plan(&self, _: Nothing) -> Result<(), Failure> {
        Ok(())
    }

    fn cost(&self, (): &()) -> Cost {
        Cost::LIGHT
    }

    async fn run(&self, (): (), _: &Call) -> Result<MemoryResponse, Failure> {
        let loaded = [DINOV3, QWEN3_VL].into_iter().filter_map(|name| self.1.bytes_of(name));
        let loaded = loaded.reduce(|all, bytes| all + bytes);
        let model = &self.0.0.model;
        Ok(match loaded {
            None => MemoryResponse::default(),
            Some(_) if !model.is_on_a_gpu() => {
                MemoryResponse { error: Some("CUDA not available"), ..MemoryResponse::default() }
            }
            Some(bytes) => MemoryResponse {
                allocated_gb: Some(bytes as f64 / GIB),
                device: Some(model.device().to_string()),
                error: None,
            },
        })
    }
}
