//! `compare_frames`: how alike two pictures are, and where they are not.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use parallax_serving::{Call, Cost, Failure, NoParts, Operation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{Perception, invalid};
use crate::embedder::Made;
use crate::source::Source;
use crate::vectors;

const LACKING: &str = "Both frames required";

/// Two pictures.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CompareRequest {
    /// One, in base64 or as a `data:` URL: JPEG, PNG or WebP.
    #[serde(default)]
    frame1_base64: Option<String>,
    /// The other.
    #[serde(default)]
    frame2_base64: Option<String>,
}

/// How alike two pictures are.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Comparison {
    /// Null: nothing here describes pictures in words.
    description: Option<String>,
    /// Cosine of the pictures' vectors, -1 to 1.
    similarity: f64,
    /// The mean of `patch_similarities`.
    mean_patch_similarity: f64,
    /// Cosine of the vectors of each patch, row by row, of both pictures squashed to one size.
    patch_similarities: Vec<Vec<f64>>,
    /// Width of the vectors.
    embedding_dim: usize,
    /// What made what.
    models: BTreeMap<&'static str, Made>,
}

/// `compare_frames`.
#[derive(Debug)]
pub(super) struct CompareFrames(pub(super) Perception);

#[async_trait]
impl Operation for CompareFrames {
    type Request = CompareRequest;
    type Plan = [Source; 2];
    type Part = NoParts;
    type Response = Comparison;

    fn name(&self) -> &'static str {
        "compare_frames"
    }

    fn summary(&self) -> &'static str {
        "Says how alike two pictures are, as a whole and patch by patch."
    }

    fn plan(&self, request: CompareRequest) -> Result<[Source; 2], Failure> {
        let source = |base64: Option<String>, field| {
            let none = || (None, "frames");
            self.0.0.around.source((base64, field), none(), none(), LACKING)
        };
        let is_there = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if !is_there(&request.frame1_base64) || !is_there(&request.frame2_base64) {
            return Err(invalid(LACKING));
        }
        Ok([
            source(request.frame1_base64, "frame1_base64")?,
            source(request.frame2_base64, "frame2_base64")?,
        ])
    }

    fn cost(&self, _: &[Source; 2]) -> Cost {
        Cost::queued(Duration::from_secs(2))
    }

    fn identity(&self, [first, second]: &[Source; 2]) -> Option<Value> {
        Some(json!([first.identity, second.identity]))
    }

    async fn run(&self, [first, second]: [Source; 2], call: &Call) -> Result<Comparison, Failure> {
        let blame = |failure: Failure, field| match failure.field {
            None if failure.kind == parallax_serving::FailureKind::Invalid => failure.of(field),
            _ => failure,
        };
        let first = self.0.see(&first, None, call).await;
        let (first, _) = first.map_err(|failure| blame(failure, "frame1_base64"))?;
        let second = self.0.see(&second, None, call).await;
        let (second, _) = second.map_err(|failure| blame(failure, "frame2_base64"))?;
        let nothing = || Failure::internal("a vector of zeros");
        let similarity = vectors::cosine(&first.class, &second.class).ok_or_else(nothing)?;
        let width = first.class.len();
        let patches = vectors::cosines(&first.patches, &second.patches, width);
        let patches = patches.ok_or_else(nothing)?;
        let model = &self.0.0.model;
        Ok(Comparison {
            description: None,
            similarity,
            mean_patch_similarity: patches.iter().sum::<f64>() / patches.len().max(1) as f64,
            patch_similarities: patches.chunks(first.grid.1.max(1)).map(<[f64]>::to_vec).collect(),
            embedding_dim: width,
            models: [
                ("similarity", model.made("cosine of the class tokens after the last norm")),
                (
                    "patch_similarities",
                    model.made("cosine of the patch tokens after the last norm"),
                ),
            ]
            .into(),
        })
    }
}
