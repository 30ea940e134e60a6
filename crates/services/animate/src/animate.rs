//! `animate`: a picture set in motion.

use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parallax_media::{Kind, Tools};
use parallax_sam2::Picture;
use parallax_serving::{
    Address, Call, Cost, Credentials, Failure, FailureKind, ModelPool, NoParts, Operation,
};
use parallax_svd::image_to_video::Clip;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Number;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::animate_request::{AnimateRequest, Motion, Writing};
use crate::animator::{ANIMATE_MODEL, Animator, Ended};
use crate::blend::{blend, luma};
use crate::delivery::Delivery;
use crate::film::{self, Shape};
use crate::lanczos::resize;
use crate::picture::{self, MOST_PIXELS};
use crate::placed::{Fit, Placed};
use crate::request::legacy;
use crate::segment::{SegmentSettings, blocking, no_room, not_fetched};

/// The operation.
#[derive(Debug)]
pub struct Animate(SegmentSettings);

impl Animate {
    /// The operation over `settings`.
    pub fn new(mut settings: SegmentSettings) -> Self {
        settings.tools.limits.frame_pixels = MOST_PIXELS;
        Self(settings)
    }
}

/// What was read of a request.
#[derive(Debug)]
pub struct AnimatePlan {
    image: Address,
    mask: Option<Address>,
    own: Option<Credentials>,
    motion: Motion,
    writing: Writing,
    delivery: Delivery,
}

/// The film.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AnimateResponse {
    /// Always true.
    success: bool,
    /// Where the film is: H.264 in MP4.
    output_url: String,
    /// Width and height of the picture, upright.
    original_size: [usize; 2],
    /// Width and height that the networks worked at.
    processed_size: [usize; 2],
    /// Width and height of the film.
    output_size: [usize; 2],
    /// Its frames.
    num_frames: usize,
    /// Its frames per second.
    fps: Number,
    /// How much moves.
    motion_bucket_id: i64,
    /// What decided the motion: with it, the same request makes the same film.
    seed: u32,
    /// Frames that were decoded together: what was asked for, or less where memory had no room for them.
    decode_chunk_size: usize,
    /// Where the film is: `answer`, `output_uri` or `r2`.
    stored: &'static str,
    /// Its key in the caller's bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    r2_key: Option<String>,
    /// Seconds that it took, to two decimals.
    processing_time_seconds: f64,
}

/// A picture where the networks take it, and what stays of it.
struct Scene {
    placed: Placed,
    size: (usize, usize),
    rgb: Vec<u8>,
    mask: Option<Vec<u8>>,
}

#[async_trait]
impl Operation for Animate {
    type Request = AnimateRequest;
    type Plan = AnimatePlan;
    type Part = NoParts;
    type Response = AnimateResponse;

    fn name(&self) -> &'static str {
        "animate"
    }

    fn summary(&self) -> &'static str {
        "Sets a picture in motion, all of it or where a mask is white."
    }

    fn plan(&self, request: AnimateRequest) -> Result<AnimatePlan, Failure> {
        let (storage, own) = (&self.0.storage, request.storage.as_ref());
        let image = request.image_url.as_deref().unwrap_or_default();
        if image.is_empty() {
            return Err(legacy("image_url", "Missing required 'image_url'"));
        }
        let (motion, writing) = (Motion::of(&request)?, Writing::of(&request)?);
        let mask = request.mask_url.as_deref().filter(|mask| !mask.is_empty());
        let mask = mask.map(|mask| storage.input(mask, "mask_url", own)).transpose()?;
        Ok(AnimatePlan {
            image: storage.input(image, "image_url", own)?,
            mask,
            delivery: Delivery::of(&request, storage)?,
            own: request.storage,
            motion,
            writing,
        })
    }

    fn cost(&self, _: &AnimatePlan) -> Cost {
        Cost::queued(Duration::from_secs(60))
    }

    async fn run(&self, plan: AnimatePlan, call: &Call) -> Result<AnimateResponse, Failure> {
        let started = Instant::now();
        let folder = tempfile::Builder::new().prefix("animate-").tempdir_in(&self.0.scratch);
        let folder = folder.map_err(|error| no_room(&error))?;
        let scene = self.scene(&plan, folder.path(), call);
        let (original, scene) = call.stage("reading", scene).await?;
        let AnimatePlan { motion, writing, delivery, .. } = plan;
        let (size, bucket) = (scene.size, motion.bucket);
        let seed = motion.seed.unwrap_or_else(|| another_seed(&call.id));
        let report = call.reporter();
        let look = move |models: &mut ModelPool, cancel: &CancellationToken| {
            let made = clip(models, &scene, (&motion, seed), &report, cancel);
            made.map(|clip| (clip, scene))
        };
        let (clip, scene) = call.stage("animating", call.on_executor(look)).await??;
        let (num_frames, decode_chunk_size) = (clip.frames.len(), clip.decode_chunk);
        let restored = writing.restore_size;
        let output_size = if restored { scene.placed.restored() } else { size };
        let file = folder.path().join("film.mp4");
        let shape = Shape { size: output_size, rate: writing.rate };
        let (tools, cancel) = (self.0.tools.clone(), call.cancel.child_token());
        let _stop_with_us = cancel.clone().drop_guard();
        let written = file.clone();
        let encode = move || {
            let frames = clip.frames.into_iter().map(|frame| scene.finished(frame, restored));
            let made = film::write(&tools, &written, shape, frames, &cancel);
            made.map_err(|error| not_written(&error))
        };
        call.stage("encoding", blocking(encode)).await?;
        let delivered = delivery.deliver(&file, &self.0.storage, call);
        let delivered = call.stage("writing", delivered).await?;
        drop(folder);
        Ok(AnimateResponse {
            success: true,
            output_url: delivered.url,
            original_size: original.into(),
            processed_size: size.into(),
            output_size: output_size.into(),
            num_frames,
            fps: writing.fps,
            motion_bucket_id: bucket,
            seed,
            decode_chunk_size,
            stored: delivery.name(),
            r2_key: delivered.r2_key,
            processing_time_seconds: (started.elapsed().as_secs_f64() * 100.0).round() / 100.0,
        })
    }
}

impl Animate {
    /// Fetches and reads the pictures; the size of the first, and what the networks take.
    async fn scene(
        &self,
        plan: &AnimatePlan,
        folder: &Path,
        call: &Call,
    ) -> Result<((usize, usize), Scene), Failure> {
        let picture = self.fetched((&plan.image, "image_url"), plan, folder, call).await?;
        let mask = match &plan.mask {
            Some(mask) => Some(self.fetched((mask, "mask_url"), plan, folder, call).await?),
            None => None,
        };
        let (original, fit) = (picture.size(), plan.motion.fit);
        let size = plan.motion.size_for(original);
        let prepare = move || {
            let placed = Placed::new(original, size, fit);
            let mask = mask.map(|mask| {
                // A mask of the picture's size goes where the picture goes; the forerunner squashes it.
                let mask = match fit {
                    Fit::Squash => resize(mask.rgb(), 3, mask.size(), size),
                    Fit::Crop | Fit::Pad => {
                        let rgb = resize(mask.rgb(), 3, mask.size(), original);
                        placed.apply(&rgb)
                    }
                };
                luma(&mask)
            });
            Ok(Scene { placed, size, rgb: placed.apply(picture.rgb()), mask })
        };
        Ok((original, blocking(prepare).await?))
    }

    async fn fetched(
        &self,
        (address, field): (&Address, &'static str),
        plan: &AnimatePlan,
        folder: &Path,
        call: &Call,
    ) -> Result<Picture, Failure> {
        let file = folder.join(field);
        let fetch = self.0.storage.fetch(address, &file, field, plan.own.as_ref(), &call.cancel);
        fetch.await.map_err(|failure| match (field, not_fetched(failure)) {
            ("mask_url", failure) if failure.message == "Failed to download image" => {
                Failure { message: "Failed to download mask".to_owned(), ..failure }
            }
            (_, failure) => failure,
        })?;
        let (tools, cancel): (Tools, _) = (self.0.tools.clone(), call.cancel.child_token());
        let _stop_with_us = cancel.clone().drop_guard();
        blocking(move || picture::read(&tools, &file, field, &cancel)).await
    }
}

/// The clip; where the device has no room for it beside other models, without them.
fn clip(
    models: &mut ModelPool,
    scene: &Scene,
    motion: (&Motion, u32),
    report: &dyn Fn(parallax_serving::Progress),
    cancel: &CancellationToken,
) -> Result<Clip, Failure> {
    let animator = models.get::<Animator>(ANIMATE_MODEL)?;
    let picture = (scene.rgb.as_slice(), scene.size);
    let made = match animator.clip(picture, motion, report, cancel) {
        Err(Ended::Full(_)) if models.evict_others(ANIMATE_MODEL) => {
            animator.clip(picture, motion, report, cancel)
        }
        made => made,
    };
    made.map_err(|ended| match ended {
        Ended::Full(failure) | Ended::Failed(failure) => failure,
    })
}

impl Scene {
    /// A frame as it is shown.
    fn finished(&self, mut frame: Vec<u8>, restored: bool) -> Vec<u8> {
        if let Some(mask) = &self.mask {
            blend(&self.rgb, mask, &mut frame);
        }
        if restored { self.placed.restore(&frame) } else { frame }
    }
}

/// A seed that no other request has, most likely.
fn another_seed(id: &str) -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_nanos());
    let digest = Sha256::digest(format!("{id} {now}"));
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn not_written(error: &parallax_media::Error) -> Failure {
    match error.kind() {
        Kind::Cancelled => Failure::cancelled(),
        Kind::Tool | Kind::Space => {
            let message = "there is no room for temporary files, or ffmpeg is missing";
            Failure::new(FailureKind::Unavailable, message).with_detail(error.to_string())
        }
        Kind::Input | Kind::Io | Kind::Output => Failure::internal(error.to_string()),
    }
}
