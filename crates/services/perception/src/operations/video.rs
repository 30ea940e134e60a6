//! `process_video`: a film, frame by frame and as a whole.

use std::time::Duration;

use async_trait::async_trait;
use parallax_serving::{Call, Cost, Failure, NoParts, Operation, Progress};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::shared::Perception;
use crate::analysis::{Analysis, Parts, SQUASHED, maker};
use crate::captions::{Detail, METHOD, Teller, Wanted};
use crate::film::{Manner, look};
use crate::picture::Channels;
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
    /// Describes frames and the whole in words, where there is a model of them.
    #[serde(default = "yes")]
    generate_captions: bool,
    /// Gives the words of each frame, too.
    #[serde(default = "yes")]
    dense_captions: bool,
    /// Describes every so many-th of the frames that are looked at, from 1 on.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    caption_interval: usize,
    /// How much is said of each frame; without it `detailed`.
    #[serde(default)]
    caption_granularities: Option<Vec<Detail>>,
}

fn one() -> usize {
    1
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

/// Checks what is asked for in words.
fn wanted(interval: usize, details: Option<Vec<Detail>>) -> Result<Wanted, Failure> {
    if interval == 0 {
        return Err(Failure::field("caption_interval", "0: allowed is 1 and more"));
    }
    let mut details = details.filter(|d| !d.is_empty()).unwrap_or(vec![Detail::Detailed]);
    details.sort_unstable();
    details.dedup();
    Ok(Wanted { interval, details })
}

/// What is looked at, and how.
#[derive(Debug)]
pub(super) struct VideoPlan {
    source: Source,
    manner: Manner,
    embeddings: bool,
    details: bool,
    /// What is wanted in words, and whether each frame's are in the answer.
    words: Option<(Wanted, bool)>,
}

impl VideoPlan {
    fn identity(&self) -> Value {
        let Self { source, manner, embeddings, details, words } = self;
        json!([source.identity, manner.fps, embeddings, details, words])
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
        let words = request.generate_captions && self.0.captions().is_ok();
        let words = words.then(|| wanted(request.caption_interval, request.caption_granularities));
        Ok(VideoPlan {
            words: words.transpose()?.map(|wanted| (wanted, request.dense_captions)),
            source,
            manner: Manner { fps: rate("fps", request.fps)? },
            embeddings: request.include_frame_embeddings,
            details: request.include_frame_details,
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
        let words = plan.words.clone();
        let looked = self.0.with_models(call, words.is_some(), move |model, captioner, cancel| {
            let wanted = words.as_ref().map(|(wanted, _)| wanted);
            let mut teller =
                captioner.zip(wanted).map(|(model, wanted)| Teller::new(model, wanted, cancel));
            let mut each = |number, seconds, channels: &Channels| {
                if let Some(teller) = &mut teller {
                    teller.frame(number, seconds, channels)?;
                }
                report(Progress { done: number as u64 + 1, ..Progress::stage("looking") });
                Ok(())
            };
            let looks = look(&tools, &fetched.path, manner, model, cancel, &mut each)?;
            Ok((looks, teller.map(Teller::end).transpose()?))
        });
        let (looks, told) = looked.await?;
        let dense = plan.words.as_ref().is_some_and(|(_, dense)| *dense);
        let told = match told {
            Some(told) => Some((told, self.0.captions()?.made(METHOD), dense)),
            None => None,
        };
        Ok(Analysis::of(Parts {
            identity: plan.identity(),
            frames: &looks.frames,
            size: looks.size,
            details: plan.details,
            embeddings: plan.embeddings,
            dense: None,
            source_fps: Some(looks.source_fps),
            damage: looks.damage,
            made: &maker(&self.0.0.model),
            method: SQUASHED,
            told,
        }))
    }
}
