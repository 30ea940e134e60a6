//! `segment`: masks of what is pointed at in a picture.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parallax_job::Uri;
use parallax_media::Tools;
use parallax_sam2::Mask;
use parallax_serving::{
    Address, Call, Cost, Credentials, Failure, FailureKind, ModelPool, NoParts, Operation, Storage,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Number;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::masks;
use crate::picture::{self, MOST_PIXELS};
use crate::request::{Bucket, Pointed, SegmentRequest, legacy};
use crate::segmenter::{SEGMENT_MODEL, Segmenter};

/// How long addresses of masks in a caller's bucket may be read.
pub(crate) const READABLE: Duration = Duration::from_secs(7200);
/// Letters of all masks in an answer: platforms refuse answers of more than ten million.
pub(crate) const INLINE_BYTES: usize = 8 << 20;

/// What the operation works with.
#[derive(Debug, Clone)]
pub struct SegmentSettings {
    /// Where pictures come from and masks go.
    pub storage: Storage,
    /// What decodes pictures.
    pub tools: Tools,
    /// An existing folder for temporary files.
    pub scratch: PathBuf,
}

/// The operation.
#[derive(Debug)]
pub struct Segment(SegmentSettings);

impl Segment {
    /// The operation over `settings`.
    pub fn new(mut settings: SegmentSettings) -> Self {
        settings.tools.limits.frame_pixels = MOST_PIXELS;
        Self(settings)
    }
}

/// Where masks go.
#[derive(Debug)]
enum Destination {
    Answer,
    Folder(Vec<Uri>),
    Bucket(Credentials, String),
}

/// What was read of a request.
#[derive(Debug)]
pub struct SegmentPlan {
    image: Address,
    pointed: Pointed,
    own: Option<Credentials>,
    destination: Destination,
}

/// The masks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SegmentResponse {
    /// Always true.
    success: bool,
    /// In the order of the boxes; one for points.
    masks: Vec<MaskView>,
    /// How many they are.
    mask_count: usize,
    /// Width and height of the picture, upright.
    image_size: [usize; 2],
    /// Where the masks are: `answer`, `output_uri` or `r2`.
    stored: &'static str,
    /// Seconds that it took, to two decimals.
    processing_time_seconds: f64,
}

/// A mask.
#[derive(Debug, Serialize, JsonSchema)]
struct MaskView {
    /// Where it is: a PNG of one channel, 255 where the object is and 0 elsewhere, of the picture's size.
    url: String,
    /// How good the network takes it to be, 0 to 1.
    score: f32,
    /// The box that it was asked by.
    bbox: Option<[Number; 4]>,
    /// Whether the object is there at all: positive if it is.
    object_score: f32,
}

#[async_trait]
impl Operation for Segment {
    type Request = SegmentRequest;
    type Plan = SegmentPlan;
    type Part = NoParts;
    type Response = SegmentResponse;

    fn name(&self) -> &'static str {
        "segment"
    }

    fn summary(&self) -> &'static str {
        "Makes masks of what is pointed at in a picture, by boxes or points."
    }

    fn plan(&self, request: SegmentRequest) -> Result<SegmentPlan, Failure> {
        let image = request.image_url.as_deref().unwrap_or_default();
        if image.is_empty() {
            return Err(legacy("image_url", "Missing required 'image_url'"));
        }
        let pointed = Pointed::of(&request)?;
        let image = self.0.storage.input(image, "image_url", request.storage.as_ref())?;
        let destination = self.destination(&request, pointed.prompts.len())?;
        Ok(SegmentPlan { image, pointed, own: request.storage, destination })
    }

    fn cost(&self, _: &SegmentPlan) -> Cost {
        Cost::queued(Duration::from_secs(5))
    }

    async fn run(&self, plan: SegmentPlan, call: &Call) -> Result<SegmentResponse, Failure> {
        let started = Instant::now();
        let folder = tempfile::Builder::new().prefix("segment-").tempdir_in(&self.0.scratch);
        let folder = folder.map_err(|error| no_room(&error))?;
        let SegmentPlan { image, pointed, own, destination } = plan;
        let file = folder.path().join("picture");
        let fetch = self.0.storage.fetch(&image, &file, "image_url", own.as_ref(), &call.cancel);
        call.stage("reading", fetch).await.map_err(not_fetched)?;
        let (tools, cancel) = (self.0.tools.clone(), call.cancel.child_token());
        let _stop_with_us = cancel.clone().drop_guard();
        let decode = move || picture::read(&tools, &file, "image_url", &cancel);
        let picture = blocking(decode).await?;
        pointed.inside(picture.size())?;
        let size = picture.size();
        let prompts = pointed.prompts;
        let look = move |models: &mut ModelPool, cancel: &CancellationToken| {
            let segmenter = models.get::<Segmenter>(SEGMENT_MODEL)?;
            segmenter.masks(&picture, &prompts, cancel)
        };
        let masks = call.stage("segmenting", call.on_executor(look)).await??;
        let views = self.views((masks, size), &destination, own.as_ref(), call);
        let mut views = call.stage("writing", views).await?;
        for (view, bounds) in views.iter_mut().zip(pointed.boxes) {
            view.bbox = Some(bounds);
        }
        drop(folder);
        Ok(SegmentResponse {
            success: true,
            mask_count: views.len(),
            masks: views,
            image_size: [size.0, size.1],
            stored: match destination {
                Destination::Answer => "answer",
                Destination::Folder(_) => "output_uri",
                Destination::Bucket(..) => "r2",
            },
            processing_time_seconds: (started.elapsed().as_secs_f64() * 100.0).round() / 100.0,
        })
    }
}

impl Segment {
    fn destination(&self, request: &SegmentRequest, masks: usize) -> Result<Destination, Failure> {
        let storage = &self.0.storage;
        match (&request.output_uri, &request.r2) {
            (Some(_), Some(_)) => {
                Err(Failure::field("r2", "masks go to one place: allowed are output_uri or r2"))
            }
            (None, None) => Ok(Destination::Answer),
            (Some(base), None) => {
                let base = base.trim_end_matches('/');
                let own = request.storage.as_ref();
                let place = |i| storage.output(&format!("{base}/mask_{i}.png"), "output_uri", own);
                Ok(Destination::Folder((0..masks).map(place).collect::<Result<_, _>>()?))
            }
            (None, Some(bucket)) => {
                let Bucket { bucket_name, .. } = bucket;
                let credentials = bucket.credentials();
                storage.output(&place_in(bucket_name, "x", 0), "r2", Some(&credentials))?;
                Ok(Destination::Bucket(credentials, bucket_name.clone()))
            }
        }
    }

    /// The masks where they belong, in their order.
    async fn views(
        &self,
        (masks, size): (Vec<Mask>, (usize, usize)),
        destination: &Destination,
        own: Option<&Credentials>,
        call: &Call,
    ) -> Result<Vec<MaskView>, Failure> {
        let (mut views, mut letters) = (Vec::with_capacity(masks.len()), 0);
        let job = job_name(&call.id);
        for (i, mask) in masks.into_iter().enumerate() {
            let (score, object_score) = (mask.score, mask.presence);
            let file = blocking(move || masks::png(&mask, size)).await?;
            let url = match destination {
                Destination::Answer => {
                    let url = format!("data:image/png;base64,{}", STANDARD.encode(&file));
                    letters += url.len();
                    if letters > INLINE_BYTES {
                        return Err(too_large());
                    }
                    url
                }
                Destination::Folder(places) => {
                    self.put(&file, &places[i], ("output_uri", own), call).await?;
                    places[i].to_string()
                }
                Destination::Bucket(credentials, bucket) => {
                    let (storage, own) = (&self.0.storage, Some(credentials));
                    let place = storage.output(&place_in(bucket, &job, i), "r2", own)?;
                    self.put(&file, &place, ("r2", own), call).await?;
                    storage.link(&place, "r2", own, READABLE).await?
                }
            };
            views.push(MaskView { url, score, bbox: None, object_score });
        }
        Ok(views)
    }

    async fn put(
        &self,
        bytes: &[u8],
        to: &Uri,
        (field, own): (&str, Option<&Credentials>),
        call: &Call,
    ) -> Result<(), Failure> {
        let file = tempfile::NamedTempFile::new_in(&self.0.scratch);
        let file = file.map_err(|error| no_room(&error))?;
        tokio::fs::write(file.path(), bytes).await.map_err(|error| no_room(&error))?;
        let put = self.0.storage.put((file.path(), None), to, field, own, &call.cancel);
        put.await.map(drop)
    }
}

/// Work that takes long, on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::internal(error.to_string()))?
}

/// The forerunner's words for a picture that did not come. What this server alone does not allow is told as it is.
pub(crate) fn not_fetched(failure: Failure) -> Failure {
    match failure.kind {
        FailureKind::Cancelled | FailureKind::Forbidden | FailureKind::TooLarge => failure,
        _ => Failure {
            detail: Some(format!("{failure}: {}", failure.detail.clone().unwrap_or_default())),
            message: "Failed to download image".to_owned(),
            ..failure
        },
    }
}

pub(crate) fn no_room(error: &std::io::Error) -> Failure {
    let message = "there is no room for temporary files";
    Failure::new(FailureKind::Unavailable, message).with_detail(error.to_string())
}

fn too_large() -> Failure {
    let message = format!(
        "the masks take more than {INLINE_BYTES} letters, which an answer may not have: name a place for them \
         with output_uri or r2"
    );
    Failure::new(FailureKind::TooLarge, message)
}

/// The place of a mask in a caller's bucket.
fn place_in(bucket: &str, job: &str, i: usize) -> String {
    format!("s3://{bucket}/animate/results/{job}_mask_{i}.png")
}

/// A request's name in a bucket, with what tells two runs of one name apart.
pub(crate) fn job_name(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
    let name: String = id.chars().map(plain).take(64).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_nanos());
    let digest = Sha256::digest(format!("{id} {now}"));
    let letters: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{name}_{letters}")
}
