//! `track`: masks of what is pointed at in some frames of a clip, through the others.

mod clip;
mod follow;
mod found;
mod green;
mod request;
mod rle;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parallax_job::Uri;
use parallax_media::Tools;
use parallax_serving::{
    Address, Call, Cost, Credentials, Failure, FailureKind, ModelPool, NoParts, Operation, Progress,
};
use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::clip::Clip;
use self::follow::{Follow, Sum};
use self::found::{Found, Store};
pub use self::request::TrackRequest;
use self::request::{Direction, Hint, Output, asked};
use crate::masks;
use crate::picture::MOST_PIXELS;
use crate::segment::{INLINE_BYTES, SegmentSettings, blocking, no_room};
use crate::segmenter::{SEGMENT_MODEL, Segmenter};

/// The operation.
#[derive(Debug)]
pub struct Track(SegmentSettings);

impl Track {
    /// The operation over `settings`.
    pub fn new(mut settings: SegmentSettings) -> Self {
        settings.tools.limits.frame_pixels = MOST_PIXELS;
        Self(settings)
    }
}

/// What was read of a request.
#[derive(Debug)]
pub struct TrackPlan {
    video: Address,
    ids: Vec<u32>,
    hints: Vec<Hint>,
    direction: Direction,
    across_cuts: bool,
    output: Output,
    place: Option<Uri>,
    own: Option<Credentials>,
}

/// What was made.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TrackResponse {
    /// Always true.
    success: bool,
    /// Frames of the clip.
    frames: usize,
    /// Width and height of the clip, upright.
    video_size: [usize; 2],
    /// What became of each thing, in the order of the request.
    objects: Vec<ObjectView>,
    /// The masks as runs, by frame, then in the order of the request. Absent where they went elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    masks: Option<Vec<Found>>,
    /// Where the result is. Absent where it is in the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_uri: Option<String>,
    /// How many masks there are, empty ones included.
    mask_count: usize,
    /// The most frames that the network remembered at a time, over all things.
    remembered_frames: usize,
    /// Shots in which something was followed; 1 where cuts were not looked for.
    shots: usize,
    /// Seconds that it took, to two decimals.
    processing_time_seconds: f64,
}

/// What became of a thing.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
struct ObjectView {
    /// Its number.
    id: u32,
    /// Frames in which it was looked for.
    followed_frames: usize,
    /// Frames among these in which it was not there.
    absent_frames: usize,
}

/// What was found in a clip.
struct Made {
    frames: usize,
    size: (usize, usize),
    store: Store,
    sum: Sum,
}

#[async_trait]
impl Operation for Track {
    type Request = TrackRequest;
    type Plan = TrackPlan;
    type Part = NoParts;
    type Response = TrackResponse;

    fn name(&self) -> &'static str {
        "track"
    }

    fn summary(&self) -> &'static str {
        "Follows what is pointed at in some frames of a clip through the others, and makes masks of it."
    }

    fn plan(&self, request: TrackRequest) -> Result<TrackPlan, Failure> {
        let (storage, own) = (&self.0.storage, request.storage);
        let (ids, hints) = asked(request.objects)?;
        let video = storage.input(&request.video_url, "video_url", own.as_ref())?;
        let place = request.output_uri.as_deref().map(|text| {
            let name = match request.output {
                Output::Masks => format!("{}/x", text.trim_end_matches('/')),
                Output::Rle | Output::GreenScreen => text.to_owned(),
            };
            storage.output(&name, "output_uri", own.as_ref())
        });
        let place = place.transpose()?;
        if place.is_none() && request.output != Output::Rle {
            let message = "expected is a place for the result; in the answer are runs only";
            return Err(Failure::field("output_uri", message));
        }
        if place.as_ref().is_some_and(|place| video == Address::Object(place.clone())) {
            return Err(Failure::field("output_uri", "it is the clip's address"));
        }
        let TrackRequest { direction, across_cuts, output, .. } = request;
        Ok(TrackPlan { video, ids, hints, direction, across_cuts, output, place, own })
    }

    fn cost(&self, _: &TrackPlan) -> Cost {
        Cost::queued(Duration::from_secs(120))
    }

    async fn run(&self, plan: TrackPlan, call: &Call) -> Result<TrackResponse, Failure> {
        let started = Instant::now();
        let folder = tempfile::Builder::new().prefix("track-").tempdir_in(&self.0.scratch);
        let folder = Arc::new(folder.map_err(|error| no_room(&error))?);
        let file = folder.path().join("clip");
        let own = plan.own.as_ref();
        let fetch = self.0.storage.fetch(&plan.video, &file, "video_url", own, &call.cancel);
        call.stage("reading", fetch).await?;
        let (plan, report, tools) = (Arc::new(plan), call.reporter(), self.0.tools.clone());
        let (asked, kept) = (plan.clone(), folder.clone());
        let look = move |models: &mut ModelPool, cancel: &CancellationToken| {
            let segmenter = models.get::<Segmenter>(SEGMENT_MODEL)?;
            // The folder outlives the work even when nobody waits for it any more.
            asked.follow((&tools, kept.path()), &segmenter, cancel, &report)
        };
        call.report(Progress::stage(Progress::WAITING));
        let made = call.on_executor(look).await??;
        let (frames, size, sum) = (made.frames, made.size, made.sum);
        let mask_count = made.store.len();
        let made = Arc::new(Mutex::new(made));
        let objects = {
            let (made, plan) = (made.clone(), plan.clone());
            blocking(move || views(&plan.ids, &mut lock(&made))).await?
        };
        let writing = self.write(&plan, &made, folder.path(), call);
        let masks = call.stage("writing", writing).await?;
        drop(folder);
        Ok(TrackResponse {
            success: true,
            frames,
            video_size: [size.0, size.1],
            objects,
            masks,
            output_uri: plan.place.as_ref().map(|place| plan.shown(place)),
            mask_count,
            remembered_frames: sum.remembered,
            shots: sum.shots,
            processing_time_seconds: (started.elapsed().as_secs_f64() * 100.0).round() / 100.0,
        })
    }
}

fn lock(made: &Mutex<Made>) -> std::sync::MutexGuard<'_, Made> {
    // Whatever failed left it whole.
    made.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TrackPlan {
    fn follow(
        &self,
        (tools, folder): (&Tools, &Path),
        segmenter: &Segmenter,
        cancel: &CancellationToken,
        report: &dyn Fn(Progress),
    ) -> Result<Made, Failure> {
        let clip = Clip::open(tools, &folder.join("clip"), cancel)?;
        let mut store = Store::create(&folder.join("masks"))?;
        let report = |done, total| report(Progress { done, total, ..Progress::stage("tracking") });
        let follow = Follow {
            clip: &clip,
            segmenter,
            ids: &self.ids,
            hints: &self.hints,
            direction: self.direction,
            across_cuts: self.across_cuts,
            cancel,
            report: &report,
        };
        let sum = follow.run(&mut store)?;
        Ok(Made { frames: clip.frames(), size: clip.size(), store, sum })
    }

    /// The address as it was asked.
    fn shown(&self, place: &Uri) -> String {
        let text = place.to_string();
        match self.output {
            Output::Masks => text.strip_suffix("/x").unwrap_or(&text).to_owned(),
            Output::Rle | Output::GreenScreen => text,
        }
    }
}

/// What became of each thing.
fn views(ids: &[u32], made: &mut Made) -> Result<Vec<ObjectView>, Failure> {
    let view = |id: &u32| ObjectView { id: *id, followed_frames: 0, absent_frames: 0 };
    let mut views: Vec<ObjectView> = ids.iter().map(view).collect();
    for frame in 0..made.frames {
        for found in made.store.of(frame)? {
            if let Some(view) = views.iter_mut().find(|view| view.id == found.object) {
                view.followed_frames += 1;
                view.absent_frames += usize::from(found.object_score <= 0.0);
            }
        }
    }
    Ok(views)
}

impl Track {
    /// Writes what was found where it belongs; gives it back where that is the answer.
    async fn write(
        &self,
        plan: &TrackPlan,
        made: &Arc<Mutex<Made>>,
        folder: &Path,
        call: &Call,
    ) -> Result<Option<Vec<Found>>, Failure> {
        let Some(place) = &plan.place else {
            let made = made.clone();
            return blocking(move || inline(&mut lock(&made))).await.map(Some);
        };
        match plan.output {
            Output::Rle => {
                let (made, path) = (made.clone(), folder.join("masks.json"));
                let file = path.clone();
                blocking(move || json(&mut lock(&made), &file)).await?;
                self.put(&path, place, plan, call).await?;
            }
            Output::Masks => self.pictures(plan, made, (folder, place), call).await?,
            Output::GreenScreen => {
                let (made, path) = (made.clone(), folder.join("green.mp4"));
                let (tools, source, file) =
                    (self.0.tools.clone(), folder.join("clip"), path.clone());
                let (report, cancel) = (call.reporter(), call.cancel.child_token());
                let _stop_with_us = cancel.clone().drop_guard();
                blocking(move || {
                    let clip = Clip::open(&tools, &source, &cancel)?;
                    let mut made = lock(&made);
                    let total = made.frames as u64;
                    let to = (&mut made.store, file.as_path());
                    green::write(&tools, &clip, to, &cancel, &|done| {
                        report(Progress { done, total, ..Progress::stage("rendering") });
                    })
                })
                .await?;
                self.put(&path, place, plan, call).await?;
            }
        }
        Ok(None)
    }

    /// A PNG for each mask, into a folder.
    async fn pictures(
        &self,
        plan: &TrackPlan,
        made: &Arc<Mutex<Made>>,
        (folder, place): (&Path, &Uri),
        call: &Call,
    ) -> Result<(), Failure> {
        let (base, path) = (plan.shown(place), folder.join("mask.png"));
        let (frames, size) = {
            let made = lock(made);
            (made.frames, made.size)
        };
        for frame in 0..frames {
            let (store, file) = (made.clone(), path.clone());
            let all = blocking(move || lock(&store).store.of(frame)).await?;
            for found in all {
                let name = format!("{base}/frame_{frame:06}_object_{}.png", found.object);
                let place = self.0.storage.output(&name, "output_uri", plan.own.as_ref())?;
                let file = file.clone();
                blocking(move || {
                    let png = masks::png_of(&found.mask.samples(), size)?;
                    std::fs::write(&file, png).map_err(|error| no_room(&error))
                })
                .await?;
                self.put(&path, &place, plan, call).await?;
            }
            let (done, total) = (frame as u64 + 1, frames as u64);
            call.report(Progress { done, total, ..Progress::stage("writing") });
        }
        Ok(())
    }

    async fn put(
        &self,
        file: &Path,
        to: &Uri,
        plan: &TrackPlan,
        call: &Call,
    ) -> Result<(), Failure> {
        let (own, cancel) = (plan.own.as_ref(), &call.cancel);
        self.0.storage.put((file, None), to, "output_uri", own, cancel).await.map(drop)
    }
}

/// All masks, where they are few enough for an answer.
fn inline(made: &mut Made) -> Result<Vec<Found>, Failure> {
    if made.store.bytes() > INLINE_BYTES as u64 {
        let message = format!(
            "the masks take {} letters, and an answer may have {INLINE_BYTES} of them: name a place with output_uri",
            made.store.bytes()
        );
        return Err(Failure::new(FailureKind::TooLarge, message));
    }
    let mut all = Vec::with_capacity(made.store.len());
    for frame in 0..made.frames {
        all.extend(made.store.of(frame)?);
    }
    Ok(all)
}

/// All masks in a JSON file, frame by frame.
fn json(made: &mut Made, path: &Path) -> Result<(), Failure> {
    use std::io::Write;
    let file = std::fs::File::create(path).map_err(|error| no_room(&error))?;
    let mut file = std::io::BufWriter::new(file);
    let (width, height) = made.size;
    let head =
        format!("{{\"frames\":{},\"video_size\":[{width},{height}],\"masks\":[", made.frames);
    let mut put = |text: &str| file.write_all(text.as_bytes()).map_err(|error| no_room(&error));
    put(&head)?;
    let mut first = true;
    for frame in 0..made.frames {
        for found in made.store.of(frame)? {
            let text = serde_json::to_string(&found);
            let text = text.map_err(|error| Failure::internal(error.to_string()))?;
            put(if first { "\n" } else { ",\n" })?;
            put(&text)?;
            first = false;
        }
    }
    put("\n]}\n")?;
    file.flush().map_err(|error| no_room(&error))
}
