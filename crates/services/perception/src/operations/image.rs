//! `process_image`: a picture on every level that there is a model for.

use std::time::Duration;

use async_trait::async_trait;
use parallax_serving::{Call, Cost, Failure, NoParts, Operation};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::shared::{Perception, edge, method};
use crate::analysis::{Analysis, Parts, maker};
use crate::film::Look;
use crate::source::{PictureSource, Source};

const LACKING: &str = "No image provided";

/// A picture, and what is wanted of it.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ImageRequest {
    #[serde(flatten)]
    picture: PictureSource,
    /// As `embed_image` has it.
    #[serde(default)]
    shortest_edge: Option<usize>,
    /// Gives the vector of each patch, too.
    #[serde(default)]
    include_dense_embeddings: bool,
    /// Gives the picture's class token at unit length as a frame's.
    #[serde(default)]
    include_frame_embeddings: bool,
    /// Gives the details of the one frame.
    #[serde(default = "yes")]
    include_frame_details: bool,
}

fn yes() -> bool {
    true
}

/// What is looked at, and how.
#[derive(Debug)]
pub(super) struct ImagePlan {
    source: Source,
    shortest_edge: Option<usize>,
    dense: bool,
    embeddings: bool,
    details: bool,
}

impl ImagePlan {
    fn identity(&self) -> Value {
        let Self { source, shortest_edge, dense, embeddings, details } = self;
        json!([source.identity, shortest_edge, dense, embeddings, details])
    }
}

/// `process_image`.
#[derive(Debug)]
pub(super) struct ProcessImage(pub(super) Perception);

#[async_trait]
impl Operation for ProcessImage {
    type Request = ImageRequest;
    type Plan = ImagePlan;
    type Part = NoParts;
    type Response = Analysis;

    fn name(&self) -> &'static str {
        "process_image"
    }

    fn summary(&self) -> &'static str {
        "Says what is known of a picture: its vector and, where that is asked for, those of its patches."
    }

    fn plan(&self, request: ImageRequest) -> Result<ImagePlan, Failure> {
        Ok(ImagePlan {
            source: self.0.0.around.picture(request.picture, LACKING)?,
            shortest_edge: edge(request.shortest_edge)?,
            dense: request.include_dense_embeddings,
            embeddings: request.include_frame_embeddings,
            details: request.include_frame_details,
        })
    }

    fn cost(&self, _: &ImagePlan) -> Cost {
        Cost::queued(Duration::from_secs(1))
    }

    fn identity(&self, plan: &ImagePlan) -> Option<Value> {
        Some(plan.identity())
    }

    async fn run(&self, plan: ImagePlan, call: &Call) -> Result<Analysis, Failure> {
        let (seen, size) = self.0.see(&plan.source, plan.shortest_edge, call).await?;
        let frame = Look { source_frame: 0, seconds: 0.0, class: seen.class };
        Ok(Analysis::of(Parts {
            identity: plan.identity(),
            frames: &[frame],
            size,
            details: plan.details,
            embeddings: plan.embeddings,
            dense: plan.dense.then_some((&seen.patches[..], seen.grid.1)),
            source_fps: None,
            damage: Vec::new(),
            made: &maker(&self.0.0.model),
            method: method(plan.shortest_edge),
        }))
    }
}
