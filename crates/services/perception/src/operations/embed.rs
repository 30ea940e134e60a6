//! `embed_image` and `process_frame`: the vector of a picture.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use parallax_serving::{Call, Cost, Failure, NoParts, Operation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{Perception, edge, method};
use crate::embedder::Made;
use crate::source::{PictureSource, Source};
use crate::vectors;

const LACKING: &str = "No image provided. Use image_base64 or image_url";
/// Until it is known better.
const EXPECTED: Duration = Duration::from_secs(1);

/// A picture.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct EmbedRequest {
    #[serde(flatten)]
    picture: PictureSource,
    /// Looks at the picture in its own shape with this shorter side, 32 to 1024 pixels, in place of squashing it to
    /// the size that the model was published with.
    #[serde(default)]
    shortest_edge: Option<usize>,
}

/// What is looked at, and how.
#[derive(Debug)]
pub(super) struct EmbedPlan {
    source: Source,
    shortest_edge: Option<usize>,
}

/// The vector of a picture.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Embedding {
    /// One vector.
    dinov3_embedding: [Vec<f32>; 1],
    /// Its width.
    embedding_dim: usize,
    /// What made it.
    models: BTreeMap<&'static str, Made>,
}

impl EmbedRequest {
    fn plan(self, perception: &Perception) -> Result<EmbedPlan, Failure> {
        let source = perception.0.around.picture(self.picture, LACKING)?;
        Ok(EmbedPlan { source, shortest_edge: edge(self.shortest_edge)? })
    }
}

impl EmbedPlan {
    fn identity(&self) -> Option<Value> {
        Some(json!([self.source.identity, self.shortest_edge]))
    }
}

async fn embed(
    perception: &Perception,
    plan: &EmbedPlan,
    call: &Call,
) -> Result<Embedding, Failure> {
    let (seen, _) = perception.see(&plan.source, plan.shortest_edge, call).await?;
    let made = perception.0.model.made(method(plan.shortest_edge));
    Ok(Embedding {
        embedding_dim: seen.class.len(),
        dinov3_embedding: [seen.class],
        models: [("dinov3_embedding", made)].into(),
    })
}

/// `embed_image`.
#[derive(Debug)]
pub(super) struct EmbedImage(pub(super) Perception);

#[async_trait]
impl Operation for EmbedImage {
    type Request = EmbedRequest;
    type Plan = EmbedPlan;
    type Part = NoParts;
    type Response = Embedding;

    fn name(&self) -> &'static str {
        "embed_image"
    }

    fn summary(&self) -> &'static str {
        "Gives the vector of a picture, as the network has it."
    }

    fn plan(&self, request: EmbedRequest) -> Result<EmbedPlan, Failure> {
        request.plan(&self.0)
    }

    fn cost(&self, _: &EmbedPlan) -> Cost {
        Cost::queued(EXPECTED)
    }

    fn identity(&self, plan: &EmbedPlan) -> Option<Value> {
        plan.identity()
    }

    async fn run(&self, plan: EmbedPlan, call: &Call) -> Result<Embedding, Failure> {
        embed(&self.0, &plan, call).await
    }
}

/// `process_frame`.
#[derive(Debug)]
pub(super) struct ProcessFrame(pub(super) Perception);

#[async_trait]
impl Operation for ProcessFrame {
    type Request = EmbedRequest;
    type Plan = EmbedPlan;
    type Part = NoParts;
    type Response = Embedding;

    fn name(&self) -> &'static str {
        "process_frame"
    }

    fn summary(&self) -> &'static str {
        "Gives the vector of a picture at unit length."
    }

    fn plan(&self, request: EmbedRequest) -> Result<EmbedPlan, Failure> {
        request.plan(&self.0)
    }

    fn cost(&self, _: &EmbedPlan) -> Cost {
        Cost::queued(EXPECTED)
    }

    fn identity(&self, plan: &EmbedPlan) -> Option<Value> {
        plan.identity()
    }

    async fn run(&self, plan: EmbedPlan, call: &Call) -> Result<Embedding, Failure> {
        let mut embedding = embed(&self.0, &plan, call).await?;
        embedding.dinov3_embedding = embedding.dinov3_embedding.map(|v| vectors::unit(&v));
        Ok(embedding)
    }
}
