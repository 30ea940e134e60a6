//! `process_video`: a film, frame by frame and as a whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use parallax_media::Tools;
use parallax_serving::{Call, Cost, Failure, FailureKind, NoParts, Operation, Progress};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::shared::Perception;
use crate::analysis::{Analysis, Asked, digest};
use crate::embedder::Embedder;
use crate::film::{Looks, Manner, look, look_with};
use crate::jpeg::jpeg;
use crate::keeper::{Far, Keeper, Kept, Pictures};
use crate::picture::Channels;
use crate::record::{Of, Record};
use crate::report::THUMBNAIL;
use crate::shelf::Shelf;
use crate::source::{Fetched, Source};

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

/// What is known of a film, and where it is kept.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VideoResponse {
    #[serde(flatten)]
    analysis: Analysis,
    /// Where analyses are kept.
    #[serde(flatten)]
    kept: Option<KeptAt>,
}

/// Where it is kept: all of it, or the request fails.
#[derive(Debug, Serialize, JsonSchema)]
struct KeptAt {
    /// A JPEG of each frame that was looked at.
    frame_urls: Vec<String>,
    /// A small JPEG of the first.
    thumbnail_url: Option<String>,
    /// The analysis with the vectors of all frames, shots, and frames that look alike.
    analysis_url: String,
}

/// `process_video`.
#[derive(Debug)]
pub(super) struct ProcessVideo(pub(super) Perception);

#[async_trait]
impl Operation for ProcessVideo {
    type Request = VideoRequest;
    type Plan = VideoPlan;
    type Part = NoParts;
    type Response = VideoResponse;

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

    async fn run(&self, plan: VideoPlan, call: &Call) -> Result<VideoResponse, Failure> {
        let fetched = self.0.0.around.fetch(&plan.source, call).await?;
        call.report(Progress::stage(Progress::WAITING));
        let Some(shelf) = &self.0.0.shelf else {
            let (tools, manner, report) =
                (self.0.0.around.tools.clone(), plan.manner, call.reporter());
            let looks = self.0.with_model(call, move |model, cancel| {
                look(&tools, &fetched.path, manner, model, cancel, &|done| {
                    report(Progress { done, ..Progress::stage("looking") });
                })
            });
            let analysis =
                Analysis::of_film(plan.identity(), plan.asked, &looks.await?, &self.0.0.model);
            return Ok(VideoResponse { analysis, kept: None });
        };
        self.keep(&plan, &fetched, shelf, call).await
    }
}

/// A JPEG of each frame that was looked at, and a small one of the first.
struct Frames {
    files: Vec<PathBuf>,
    thumbnail: Option<PathBuf>,
}

impl ProcessVideo {
    /// Looks at the film and keeps what is known of it.
    async fn keep(
        &self,
        plan: &VideoPlan,
        fetched: &Fetched,
        shelf: &Shelf,
        call: &Call,
    ) -> Result<VideoResponse, Failure> {
        let (tools, manner, report) = (self.0.0.around.tools.clone(), plan.manner, call.reporter());
        let path = fetched.path.clone();
        let looks = self.0.with_model(call, move |model, cancel| {
            let mut report = |far: Far| {
                report(Progress { done: far.looked, ..Progress::stage("looking") });
            };
            looked(&tools, &path, manner, model, (cancel, &mut report))
        });
        let (looks, kept, frames) = looks.await?;
        let model = &self.0.0.model;
        let analysis = Analysis::of_film(plan.identity(), plan.asked, &looks, model);
        let name = plan.source.name();
        let of = Of { name: &name, source: &plan.source.identity, model };
        let mut record = Record::of_film(&of, manner.fps, &looks, kept);
        record.analysis.video_id.clone_from(&analysis.video_id);
        let json = record.json()?;
        let thumbnail = frames.thumbnail.as_deref();
        let name = (analysis.video_id.as_str(), digest(&plan.identity()));
        let keep = shelf.keep((name.0, &name.1), &frames.files, (thumbnail, &json));
        let keep = call.cancel.run_until_cancelled(call.stage("storing", keep)).await;
        let places = keep.unwrap_or_else(|| Err(Failure::cancelled()))?;
        let kept = KeptAt {
            frame_urls: places.frames,
            thumbnail_url: places.thumbnail,
            analysis_url: places.analysis,
        };
        Ok(VideoResponse { analysis, kept: Some(kept) })
    }
}

/// Looks at the film at `path`, and writes its frames beside it.
fn looked(
    tools: &Tools,
    path: &Path,
    manner: Manner,
    model: &Embedder,
    (cancel, report): (&CancellationToken, &mut dyn FnMut(Far)),
) -> Result<(Looks, Kept, Frames), Failure> {
    let write = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).map_err(|error| {
            let message = "there is no room for temporary files";
            Failure::new(FailureKind::Unavailable, message).with_detail(error.to_string())
        })
    };
    let mut frames = Frames { files: Vec::new(), thumbnail: None };
    let mut keep = |bytes: Vec<u8>| {
        let file = path.with_file_name(format!("frame_{:04}.jpg", frames.files.len()));
        write(&file, &bytes)?;
        frames.files.push(file);
        Ok(())
    };
    let pictures = Pictures { most_width: None, keep: &mut keep };
    let mut keeper = Keeper::new(Some(pictures), report);
    let looks = look_with(tools, path, manner, model, cancel, &mut keeper)?;
    let kept = keeper.kept();
    if let Some(first) = frames.files.first() {
        let thumbnail = path.with_file_name("thumbnail.jpg");
        let small = look_at_thumbnail(tools, first, cancel)?;
        write(&thumbnail, &small)?;
        frames.thumbnail = Some(thumbnail);
    }
    Ok((looks, kept, frames))
}

/// The JPEG at `path`, small.
fn look_at_thumbnail(
    tools: &Tools,
    path: &Path,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, Failure> {
    jpeg(&Channels::read(tools, path, cancel)?.0, Some(THUMBNAIL))
}
