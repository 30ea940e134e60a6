//! `process_extracted_frames`: frames that somebody took out of a film, in an archive.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_media::Tools;
use parallax_serving::{Call, Cost, Failure, NoParts, Operation, Progress};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::shared::{Perception, invalid};
use super::video::rate;
use crate::analysis::{Analysis, Parts, SQUASHED, maker};
use crate::archive::{self, Archive};
use crate::embedder::Embedder;
use crate::film::{Look, MOST_FRAMES};
use crate::picture::Channels;
use crate::sampling::Sampler;
use crate::source::Source;

const LACKING: &str = "No frames provided. Use zip_url or zip_base64";
const EMPTY: &str = "No frames found in ZIP file";
/// Bytes of one picture, of one note, and of all notes together.
const MOST_PICTURE: u64 = 64 << 20;
const MOST_NOTE: u64 = 1 << 20;
const MOST_NOTES: u64 = 16 << 20;

/// An archive of frames, and what is wanted of them.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct FramesRequest {
    /// The archive in base64, or as a `data:` URL without a type.
    #[serde(default)]
    zip_base64: Option<String>,
    /// Its address: `https://` where allowed, `s3://`, `gs://`, `file://`.
    #[serde(default)]
    zip_url: Option<String>,
    /// A file of the server, in a folder that `SERVER_FILE_ROOTS` allows.
    #[serde(default)]
    zip_path: Option<String>,
    /// Frames a second that are looked at, more than 0 and up to 240.
    #[serde(default = "ten")]
    #[schemars(range(min = 0.0, max = 240.0))]
    fps: f64,
    /// Frames a second that the numbers of the frames count.
    #[serde(default = "sixty")]
    #[schemars(range(min = 0.0, max = 240.0))]
    source_fps: f64,
    /// Gives what was noted beside the frames.
    #[serde(default = "yes")]
    include_roblox_metadata: bool,
    /// As `process_video` has it.
    #[serde(default)]
    include_frame_embeddings: bool,
    /// As `process_video` has it.
    #[serde(default = "yes")]
    include_frame_details: bool,
}

fn ten() -> f64 {
    10.0
}

fn sixty() -> f64 {
    60.0
}

fn yes() -> bool {
    true
}

/// What is looked at, and how.
#[derive(Debug)]
pub(super) struct FramesPlan {
    source: Source,
    fps: f64,
    source_fps: f64,
    metadata: bool,
    embeddings: bool,
    details: bool,
}

impl FramesPlan {
    fn identity(&self) -> Value {
        let Self { source, fps, source_fps, metadata, embeddings, details } = self;
        json!([source.identity, fps, source_fps, metadata, embeddings, details])
    }
}

/// What is known of the frames.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FramesResponse {
    #[serde(flatten)]
    analysis: Analysis,
    /// Always `extracted_frames`.
    source_type: &'static str,
    /// What was noted beside the frames that were looked at, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    roblox_metadata: Option<Vec<Noted>>,
    /// How many of them had notes.
    metadata_stats: MetadataStats,
}

/// What was noted beside a frame.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Noted {
    frame_idx: usize,
    metadata: Value,
}

/// How many frames had notes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MetadataStats {
    frames_with_metadata: usize,
    total_frames: usize,
}

/// Where the files of one frame lie in an archive.
#[derive(Debug, Default, Clone, Copy)]
struct Files {
    picture: Option<usize>,
    note: Option<usize>,
}

/// Frames that were looked at.
struct Looked {
    frames: Vec<Look>,
    /// Frames that have notes.
    noted: usize,
    /// The notes themselves, where they are asked for.
    notes: Vec<Noted>,
    size: (usize, usize),
}

/// The number of the frame whose file has this name: `frame_NNNN.png` or `.json` in whatever folder.
fn number(name: &str) -> Option<(u64, bool)> {
    let file = name.rsplit('/').next()?;
    let (stem, extension) = file.rsplit_once('.')?;
    let digits = stem.strip_prefix("frame_")?;
    let digits = Some(digits).filter(|d| d.len() <= 12 && d.bytes().all(|b| b.is_ascii_digit()))?;
    match extension.to_ascii_lowercase().as_str() {
        "png" => Some((digits.parse().ok()?, true)),
        "json" => Some((digits.parse().ok()?, false)),
        _ => None,
    }
}

/// Opens the archive at `path` and finds its frames. Names are looked at and never used as paths.
fn frames_of(path: &Path) -> Result<(Archive, BTreeMap<u64, Files>), Failure> {
    let archive = archive::open(path)?;
    let mut frames = BTreeMap::<u64, Files>::new();
    for index in 0..archive.len() {
        let name = archive.name_for_index(index).and_then(Result::ok);
        let Some((number, is_picture)) = name.and_then(|name| number(&name)) else {
            continue;
        };
        let files = frames.entry(number).or_default();
        let place = if is_picture { &mut files.picture } else { &mut files.note };
        place.get_or_insert(index);
    }
    frames.retain(|_, files| files.picture.is_some());
    if frames.is_empty() { Err(invalid(EMPTY)) } else { Ok((archive, frames)) }
}

/// A file of the archive, of at most so many bytes whatever it says of itself.
fn bytes(archive: &mut Archive, index: usize, most: u64) -> Result<Vec<u8>, Failure> {
    let damaged = |_| invalid("the archive is damaged, or packed in a way that is not read here");
    let mut file = archive.by_index(index).map_err(damaged)?;
    let mut bytes = Vec::new();
    let read = file.by_ref().take(most + 1).read_to_end(&mut bytes);
    read.map_err(|_| invalid("the archive is damaged"))?;
    if bytes.len() as u64 > most {
        return Err(invalid(&format!("a file of the archive has more than {most} bytes")));
    }
    Ok(bytes)
}

fn look(
    tools: &Tools,
    path: &Path,
    plan: &FramesPlan,
    model: &Embedder,
    cancel: &CancellationToken,
    report: &dyn Fn(u64),
) -> Result<Looked, Failure> {
    let FramesPlan { fps, source_fps, metadata: wants_notes, .. } = *plan;
    let (mut archive, found) = frames_of(path)?;
    let first = found.keys().next().copied().unwrap_or(0);
    let mut sampler = Sampler::new(fps);
    let mut looked = Looked { frames: Vec::new(), noted: 0, notes: Vec::new(), size: (0, 0) };
    let mut left = MOST_NOTES;
    let picture = path.with_file_name("frame.png");
    for (number, files) in found {
        let seconds = (number - first) as f64 / source_fps;
        let (true, Some(index)) = (sampler.takes(seconds), files.picture) else { continue };
        if cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        if looked.frames.len() == MOST_FRAMES {
            let message = format!("{fps}: more than {MOST_FRAMES} frames would be looked at");
            return Err(Failure::field("fps", message));
        }
        let of_frame = |failure: Failure| Failure {
            message: format!("frame_{number:04}.png: {}", failure.message),
            ..failure
        };
        let data = bytes(&mut archive, index, MOST_PICTURE).map_err(of_frame)?;
        let written = std::fs::write(&picture, data);
        written.map_err(|error| Failure::internal(format!("write a frame: {error}")))?;
        let channels = Channels::read(tools, &picture, cancel).map_err(of_frame)?;
        if looked.frames.is_empty() {
            looked.size = channels.size();
        }
        let seen = channels.seen_by(model, None).map_err(of_frame)?;
        let frame_idx = looked.frames.len();
        looked.frames.push(Look { source_frame: number, seconds, class: seen.class });
        looked.noted += usize::from(files.note.is_some());
        if let (true, Some(index)) = (wants_notes, files.note) {
            let text = bytes(&mut archive, index, MOST_NOTE)?;
            left = left.checked_sub(text.len() as u64).ok_or_else(|| {
                invalid(&format!(
                    "the notes of the archive have more than {MOST_NOTES} bytes together"
                ))
            })?;
            let metadata = serde_json::from_slice(&text)
                .map_err(|_| invalid(&format!("frame_{number:04}.json: not JSON")))?;
            looked.notes.push(Noted { frame_idx, metadata });
        }
        report(looked.frames.len() as u64);
    }
    Ok(looked)
}

/// `process_extracted_frames`.
#[derive(Debug)]
pub(super) struct ProcessExtractedFrames(pub(super) Perception);

#[async_trait]
impl Operation for ProcessExtractedFrames {
    type Request = FramesRequest;
    type Plan = FramesPlan;
    type Part = NoParts;
    type Response = FramesResponse;

    fn name(&self) -> &'static str {
        "process_extracted_frames"
    }

    fn summary(&self) -> &'static str {
        "Says what is known of frames that were taken out of a film before, in a ZIP archive."
    }

    fn plan(&self, request: FramesRequest) -> Result<FramesPlan, Failure> {
        let source = self.0.0.around.source(
            (request.zip_base64, "zip_base64"),
            (request.zip_url, "zip_url"),
            (request.zip_path, "zip_path"),
            LACKING,
        )?;
        Ok(FramesPlan {
            source,
            fps: rate("fps", request.fps)?,
            source_fps: rate("source_fps", request.source_fps)?,
            metadata: request.include_roblox_metadata,
            embeddings: request.include_frame_embeddings,
            details: request.include_frame_details,
        })
    }

    fn cost(&self, _: &FramesPlan) -> Cost {
        Cost::queued(Duration::from_secs(30))
    }

    fn identity(&self, plan: &FramesPlan) -> Option<Value> {
        Some(plan.identity())
    }

    async fn run(&self, plan: FramesPlan, call: &Call) -> Result<FramesResponse, Failure> {
        let fetched = self.0.0.around.fetch(&plan.source, call).await?;
        let plan = Arc::new(plan);
        let of_run = plan.clone();
        let (tools, report) = (self.0.0.around.tools.clone(), call.reporter());
        call.report(Progress::stage(Progress::WAITING));
        let looked = self.0.with_model(call, move |model, cancel| {
            look(&tools, &fetched.path, &of_run, model, cancel, &|done| {
                report(Progress { done, ..Progress::stage("looking") });
            })
        });
        let Looked { frames, noted, notes, size } = looked.await?;
        let metadata_stats =
            MetadataStats { frames_with_metadata: noted, total_frames: frames.len() };
        let analysis = Analysis::of(Parts {
            identity: plan.identity(),
            frames: &frames,
            size,
            details: plan.details,
            embeddings: plan.embeddings,
            dense: None,
            source_fps: Some(plan.source_fps),
            damage: Vec::new(),
            made: &maker(&self.0.0.model),
            method: SQUASHED,
        });
        Ok(FramesResponse {
            analysis,
            source_type: "extracted_frames",
            roblox_metadata: plan.metadata.then_some(notes),
            metadata_stats,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_known_by_their_names_and_nothing_else_is_one() {
        assert_eq!(number("frame_0007/frame_0007.png"), Some((7, true)));
        assert_eq!(number("a/b/frame_12.JSON"), Some((12, false)));
        assert_eq!(number("../../etc/frame_0001.png"), Some((1, true)));
        for other in ["frame_.png", "frame_x.png", "frame_1.txt", "frame_0001", "0001.png", ""] {
            assert_eq!(number(other), None, "{other}");
        }
        assert_eq!(number("frame_9999999999999.png"), None);
    }
}
