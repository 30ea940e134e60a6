//! `process_video`: a film, frame by frame and as a whole.

use std::time::Duration;

use async_trait::async_trait;
use parallax_serving::{Call, Cost, Failure, NoParts, Operation, Progress};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::shared::Perception;
use crate::analysis::{Analysis, Asked};
use crate::film::{Manner, look};
use crate::source::Source;

const LACKING: &str = "No video provided. Use video_url or video_base64";
/// The most frames a second that may be asked for.
const MOST_FPS: f64 = 240.0;

/// A film, and what is wanted of it.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct VideoRequest {
    /// The film in base64 or as a `data:` URL.
    #[serde(default)]
    video_base64: Option<String>,
    /// Its address: `https://` where allowed, `s3://`, `gs://`, `file://`.
    #[serde(default)]
    video_url: Option<String>,
    /// A file of the server, in a folder that `SERVER_FILE_ROOTS` allows.
    #[serde(default)]
    video_path: Option<String>,
    /// Frames a second that are looked at, more than 0 and up to 240; never more than the film has.
    #[serde(default = "two")]
    #[schemars(range(min = 0.0, max = 240.0))]
    fps: f64,
    /// Gives the vector of each frame, too.
    #[serde(default)]
    include_frame_embeddings: bool,
    /// Gives what is known of each frame.
    #[serde(default = "yes")]
    include_frame_details: bool,
}

fn two() -> f64 {
    2.0
}

fn yes() -> bool {
    true
}

/// Checks how many frames a second are asked for.
pub(super) fn rate(field: &str, fps: f64) -> Result<f64, Failure> {
    if fps > 0.0 && fps <= MOST_FPS {
        return Ok(fps);
    }
    Err(Failure::field(field, format!("{fps}: allowed is more than 0 and up to {MOST_FPS}")))
}

/// What is looked at, and how.
#[derive(Debug)]
pub(super) struct VideoPlan {
    source: Source,
    manner: Manner,
    asked: Asked,
}

impl VideoPlan {
    fn identity(&self) -> Value {
        self.asked.identity(&self.source.identity, self.manner.fps)
    }
}

/// `process_video`.
#[derive(Debug)]
pub(super) struct ProcessVideo(pub(super) Perception);

#[async_trait]
impl Operation for ProcessVideo {
    type Request = VideoRequest;
    type Plan = VideoPlan;
    type Part = NoParts;
    type Response = Analysis;

    fn name(&self) -> &'static str {
        "process_video"
    }

    fn summary(&self) -> &'static str {
        "Says what is known of a film: one vector for all of it and, where asked for, one for each frame looked at."
    }

    fn plan(&self, request: VideoRequest) -> Result<VideoPlan, Failure> {
        let source = self.0.0.around.source(
            (request.video_base64, "video_base64"),
            (request.video_url, "video_url"),
            (request.video_path, "video_path"),
            LACKING,
        )?;
        Ok(VideoPlan {
            source,
            manner: Manner { fps: rate("fps", request.fps)? },
            asked: Asked {
                embeddings: request.include_frame_embeddings,
                details: request.include_frame_details,
            },
        })
    }

    fn cost(&self, _: &VideoPlan) -> Cost {
        Cost::queued(Duration::from_secs(30))
    }

    fn identity(&self, plan: &VideoPlan) -> Option<Value> {
        Some(plan.identity())
    }

    async fn run(&self, plan: VideoPlan, call: &Call) -> Result<Analysis, Failure> {
        let fetched = self.0.0.around.fetch(&plan.source, call).await?;
        let (tools, manner, report) = (self.0.0.around.tools.clone(), plan.manner, call.reporter());
        call.report(Progress::stage(Progress::WAITING));
        let looks = self.0.with_model(call, move |model, cancel| {
            look(&tools, &fetched.path, manner, model, cancel, &|done| {
                report(Progress { done, ..Progress::stage("looking") });
            })
        });
        let looks = looks.await?;
        Ok(Analysis::of_film(plan.identity(), plan.asked, &looks, &self.0.0.model))
    }
}
