//! `compare_frames`: how alike two pictures are, and where they are not.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use parallax_qwen3_vl::{Choice, Sampling};
use parallax_serving::{Call, Cost, Failure, NoParts, Operation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{Perception, invalid};
use crate::captioner::Subject;
use crate::embedder::Made;
use crate::picture::Channels;
use crate::source::{Fetched, Source};
use crate::vectors;

const LACKING: &str = "Both frames required";
/// What the model of words is asked.
const WORDS: &str = "These are two frames. Describe what differs between the first and the second.";
/// Tokens of its answer.
const TOKENS: usize = 256;
/// As the earlier service chose tokens, from one seed: the same frames have the same description.
const SAMPLING: Sampling = Sampling { temperature: 0.3, ..Sampling::PUBLISHED };
const METHOD: &str =
    "sampled from seed 0: temperature 0.3, top k 20, top p 0.8; longer sides at most 512 pixels";

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
    /// What changed, in words; null where there is no model of them.
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

impl CompareFrames {
    async fn describe(&self, sources: &[Source; 2], call: &Call) -> Result<String, Failure> {
        let around = &self.0.0.around;
        let fetched =
            [around.fetch(&sources[0], call).await?, around.fetch(&sources[1], call).await?];
        let tools = around.tools.clone();
        let said = self.0.with_captioner(call, move |model, cancel| {
            let one = |one: &Fetched| model.picture(&Channels::read(&tools, &one.path, cancel)?);
            let subject = Subject::Pictures(fetched.iter().map(one).collect::<Result<_, _>>()?);
            let manner = (TOKENS, Choice::Sampled(SAMPLING));
            model.describe(&subject, WORDS, manner, &mut |_| Ok(()), cancel)
        });
        Ok(said.await?.text.trim().to_owned())
    }
}

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

    async fn run(&self, sources: [Source; 2], call: &Call) -> Result<Comparison, Failure> {
        let [first, second] = &sources;
        let blame = |failure: Failure, field| match failure.field {
            None if failure.kind == parallax_serving::FailureKind::Invalid => failure.of(field),
            _ => failure,
        };
        let first = self.0.see(first, None, call).await;
        let (first, _) = first.map_err(|failure| blame(failure, "frame1_base64"))?;
        let second = self.0.see(second, None, call).await;
        let (second, _) = second.map_err(|failure| blame(failure, "frame2_base64"))?;
        let nothing = || Failure::internal("a vector of zeros");
        let similarity = vectors::cosine(&first.class, &second.class).ok_or_else(nothing)?;
        let width = first.class.len();
        let patches = vectors::cosines(&first.patches, &second.patches, width);
        let patches = patches.ok_or_else(nothing)?;
        let model = &self.0.0.model;
        let description = match &self.0.0.captions {
            Some(_) => Some(self.describe(&sources, call).await?),
            None => None,
        };
        let described = self.0.0.captions.as_ref().map(|captions| captions.made(METHOD));
        Ok(Comparison {
            description,
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
            .into_iter()
            .chain(described.map(|made| ("description", made)))
            .collect(),
        })
    }
}
