//! `process_video`: a film, frame by frame and as a whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use parallax_frame::Frame;
use parallax_media::Tools;
use parallax_serving::{Call, Cost, Failure, FailureKind, NoParts, Operation, Progress};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::shared::{Perception, aside};
use crate::analysis::{Analysis, Asked, digest, id};
use crate::captioner::Captioner;
use crate::captions::{Detail, METHOD, Teller, Told, Wanted};
use crate::embedder::Embedder;
use crate::film::{Look, Looks, Manner, Watch, look};
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
/// Bytes of the frames of one film that are to be kept: they are written to the folder for temporary files first.
const MOST_PICTURES: u64 = 4 << 30;

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
    asked: Asked,
    /// What is wanted in words, and whether each frame's are in the answer.
    words: Option<(Wanted, bool)>,
}

impl VideoPlan {
    fn identity(&self) -> Value {
        let film = self.asked.identity(&self.source.identity, self.manner.fps);
        match &self.words {
            None => film,
            Some(words) => json!([film, words]),
        }
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
#[derive(Debug, Clone)]
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
        let words = request.generate_captions && self.0.captions().is_ok();
        let words = words.then(|| wanted(request.caption_interval, request.caption_granularities));
        Ok(VideoPlan {
            words: words.transpose()?.map(|wanted| (wanted, request.dense_captions)),
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
        if let Some(shelf) = &self.0.0.shelf {
            let identity = plan.identity();
            shelf.free((&id(&identity), &digest(&identity))).await?;
        }
        let fetched = self.0.0.around.fetch(&plan.source, call).await?;
        call.report(Progress::stage(Progress::WAITING));
        let Some(shelf) = &self.0.0.shelf else {
            let (tools, manner, words, report) =
                (self.0.0.around.tools.clone(), plan.manner, plan.words.clone(), call.reporter());
            let looked =
                self.0.with_models(call, words.is_some(), move |model, words_by, cancel| {
                    let report = |done| report(Progress { done, ..Progress::stage("looking") });
                    let teller = teller(words_by, words.as_ref(), cancel);
                    let mut telling = Telling { watch: Counting(0, &report), looked: 0, teller };
                    let looks = look(&tools, &fetched.path, manner, model, cancel, &mut telling)?;
                    Ok((looks, telling.told()?.1))
                });
            let (looks, told) = looked.await?;
            let this = self.clone();
            let analysis = aside(move || -> Result<Analysis, Failure> {
                let (model, identity) = (&this.0.0.model, plan.identity());
                let mut analysis = Analysis::of_film(identity, plan.asked, &looks, model);
                this.tell(&plan, told, &mut [&mut analysis])?;
                Ok(analysis)
            });
            return Ok(VideoResponse { analysis: analysis.await??, kept: None });
        };
        self.keep(plan, &fetched, shelf, call).await
    }
}

/// Counts the frames that were looked at.
struct Counting<'a>(u64, &'a dyn Fn(u64));

impl Watch for Counting<'_> {
    fn looked(&mut self, _: &Look, _: &Channels) -> Result<(), Failure> {
        self.0 += 1;
        (self.1)(self.0);
        Ok(())
    }
}

/// Who tells what is seen, where words are wanted and there is a model of them.
fn teller<'a>(
    model: Option<&'a Captioner>,
    words: Option<&'a (Wanted, bool)>,
    cancel: &'a CancellationToken,
) -> Option<Teller<'a>> {
    model.zip(words).map(|(model, (wanted, _))| Teller::new(model, wanted, cancel))
}

/// Has what is seen told in words, beside what `watch` does.
struct Telling<'a, W> {
    watch: W,
    looked: usize,
    teller: Option<Teller<'a>>,
}

impl<W> Telling<'_, W> {
    fn told(self) -> Result<(W, Option<Told>), Failure> {
        Ok((self.watch, self.teller.map(Teller::end).transpose()?))
    }
}

impl<W: Watch> Watch for Telling<'_, W> {
    fn begins(&mut self, frames: u64) {
        self.watch.begins(frames);
    }

    fn passes(&mut self, frame: &Frame, number: u64, seconds: f64) -> Result<(), Failure> {
        self.watch.passes(frame, number, seconds)
    }

    fn looked(&mut self, look: &Look, channels: &Channels) -> Result<(), Failure> {
        if let Some(teller) = &mut self.teller {
            teller.frame(self.looked, look.seconds, channels)?;
        }
        self.looked += 1;
        self.watch.looked(look, channels)
    }
}

/// A JPEG of each frame that was looked at, and a small one of the first.
struct Frames {
    files: Vec<PathBuf>,
    thumbnail: Option<PathBuf>,
}

impl ProcessVideo {
    /// Puts what was told in words into each of these.
    fn tell(
        &self,
        plan: &VideoPlan,
        told: Option<Told>,
        analyses: &mut [&mut Analysis],
    ) -> Result<(), Failure> {
        let Some(told) = told else { return Ok(()) };
        let dense = plan.words.as_ref().is_some_and(|(_, dense)| *dense);
        for analysis in analyses {
            analysis.tell(told.clone(), self.0.captions()?.made(METHOD), dense);
        }
        Ok(())
    }

    /// What is answered, the JSON of what is kept, and a digest that tells it from others.
    fn recorded(
        &self,
        plan: &VideoPlan,
        (looks, kept): (&Looks, Kept),
        told: Option<Told>,
    ) -> Result<(Analysis, Vec<u8>, String), Failure> {
        let (model, identity) = (&self.0.0.model, plan.identity());
        let digest = digest(&identity);
        let mut analysis = Analysis::of_film(identity, plan.asked, looks, model);
        let name = plan.source.name();
        let of = Of { name: &name, source: &plan.source.identity, model };
        let mut record = Record::of_film(&of, plan.manner.fps, looks, kept);
        record.analysis.video_id.clone_from(&analysis.video_id);
        self.tell(plan, told, &mut [&mut analysis, &mut record.analysis])?;
        Ok((analysis, record.json()?, digest))
    }

    /// Looks at the film and keeps what is known of it.
    async fn keep(
        &self,
        plan: VideoPlan,
        fetched: &Fetched,
        shelf: &Shelf,
        call: &Call,
    ) -> Result<VideoResponse, Failure> {
        let (tools, manner, report) = (self.0.0.around.tools.clone(), plan.manner, call.reporter());
        let (path, words) = (fetched.path.clone(), plan.words.clone());
        let looks = self.0.with_models(call, words.is_some(), move |model, words_by, cancel| {
            let mut report = |far: Far| {
                report(Progress { done: far.looked, ..Progress::stage("looking") });
            };
            let by = (model, teller(words_by, words.as_ref(), cancel));
            looked(&tools, &path, manner, by, (cancel, &mut report))
        });
        let (looks, kept, frames, told) = looks.await?;
        let this = self.clone();
        let recorded = aside(move || this.recorded(&plan, (&looks, kept), told));
        let (analysis, json, identity) = recorded.await??;
        let thumbnail = frames.thumbnail.as_deref();
        let name = (analysis.video_id.as_str(), identity.as_str());
        let keep = shelf.keep(name, &frames.files, (thumbnail, &json));
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
    (model, teller): (&Embedder, Option<Teller<'_>>),
    (cancel, report): (&CancellationToken, &mut dyn FnMut(Far)),
) -> Result<(Looks, Kept, Frames, Option<Told>), Failure> {
    let write = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).map_err(|error| {
            let message = "there is no room for temporary files";
            Failure::new(FailureKind::Unavailable, message).with_detail(error.to_string())
        })
    };
    let mut frames = Frames { files: Vec::new(), thumbnail: None };
    let mut room = MOST_PICTURES;
    let mut keep = |bytes: Vec<u8>| {
        room = left(room, bytes.len())?;
        let file = path.with_file_name(format!("frame_{:04}.jpg", frames.files.len()));
        write(&file, &bytes)?;
        frames.files.push(file);
        Ok(())
    };
    let pictures = Pictures { most_width: None, keep: &mut keep };
    let keeper = Keeper::new(Some(pictures), report);
    let mut telling = Telling { watch: keeper, looked: 0, teller };
    let looks = look(tools, path, manner, model, cancel, &mut telling)?;
    let (keeper, told) = telling.told()?;
    let kept = keeper.kept();
    if let Some(first) = frames.files.first() {
        let thumbnail = path.with_file_name("thumbnail.jpg");
        let small = look_at_thumbnail(tools, first, cancel)?;
        write(&thumbnail, &small)?;
        frames.thumbnail = Some(thumbnail);
    }
    Ok((looks, kept, frames, told))
}

/// What is left of `room` bytes beside a picture of `bytes`.
fn left(room: u64, bytes: usize) -> Result<u64, Failure> {
    room.checked_sub(bytes as u64).ok_or_else(|| {
        let most = MOST_PICTURES >> 30;
        let message = format!(
            "the frames that are looked at have more than {most} GiB as JPEG, and no more are kept of a film; ask for \
             fewer frames a second"
        );
        Failure::field("fps", message)
    })
}

/// The JPEG at `path`, small.
fn look_at_thumbnail(
    tools: &Tools,
    path: &Path,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, Failure> {
    jpeg(&Channels::read(tools, path, cancel)?.0, Some(THUMBNAIL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_kept_up_to_a_budget_that_the_refusal_names() {
        assert_eq!(left(10, 4).and_then(|room| left(room, 6)).unwrap(), 0);
        let refused = left(9, 10).unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("fps"));
        assert!(refused.message.contains("4 GiB"), "{}", refused.message);
    }
}
