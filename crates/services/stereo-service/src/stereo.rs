//! `stereo`: a segment in, its stereo result out, by address.

mod job;
mod model;
mod plan;
mod request;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parallax_conversion::{LeadIn, Preceding, Surroundings};
use parallax_job::Mode;
use parallax_media::{Damage, DamageKind, EncodeSettings, Found, Tools};
use parallax_serving::{
    Address, Call, Cost, Credentials, Failure, FailureKind, NoParts, Operation, Progress, Storage,
};
use parallax_stereo::{Capabilities, Layout, Reach};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::job::{Job, failure};
pub use self::model::{STEREO_MODEL, StereoModel};
use self::plan::StereoPlan;
use self::request::StereoRequest;
use crate::inside::Inside;
use crate::{ConversionSink, metrics};

/// How `stereo` works.
#[derive(Debug, Clone)]
pub struct StereoSettings {
    /// The ffmpeg programs and the limits on inputs.
    pub tools: Tools,
    /// An existing folder for temporary files, with room for every place's input, what precedes it as far
    /// as the engine looks back, and its result.
    pub scratch: PathBuf,
    /// What mode `sbs` means: full or half.
    pub side_by_side: Layout,
    /// How results are encoded.
    pub encode: EncodeSettings,
    /// What is known of the engine before it is loaded.
    pub capabilities: Arc<dyn Capabilities>,
    /// Counts conversions for others.
    pub conversions: Arc<dyn ConversionSink>,
    /// What besides requests and these settings makes results what they are.
    pub recipe: Recipe,
}

/// Says what makes results what they are: the engine, its version, options and weights. Equal texts
/// promise equal results. Asked when models are loaded; `None` where nobody knows.
#[derive(Clone)]
pub struct Recipe(pub Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl std::fmt::Debug for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recipe")
    }
}

/// The operation.
#[derive(Debug)]
pub struct Stereo {
    storage: Storage,
    settings: StereoSettings,
    pace: Pace,
}

/// What was made.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StereoResponse {
    /// Always `ok`.
    status: &'static str,
    /// Where the result is.
    output_uri: String,
    /// Bytes of the result.
    bytes: u64,
    /// Time of the result's last change, in milliseconds since 1970.
    modified_ms: i64,
    /// Time of the segment's last change when it was read, alike; absent when it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    input_modified_ms: Option<i64>,
    /// Frames of the result.
    frames: u64,
    /// Width of the result in pixels.
    width: u32,
    /// Height of the result in pixels.
    height: u32,
    /// Seconds that the conversion took.
    seconds: f64,
    /// The engine that made it.
    engine: String,
    /// What was mended in a damaged segment; absent when nothing was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damage: Vec<Mended>,
}

/// A kind of damage that was mended.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Mended {
    /// `picture` (replaced by the last good one), `size` (fitted in with bars), and others alike.
    kind: String,
    /// How often.
    count: u64,
    /// The first places, in seconds of the segment.
    places: Vec<f64>,
}

fn mended(damage: &Damage) -> Vec<Mended> {
    let one = |(kind, found): (DamageKind, &Found)| Mended {
        kind: kind.name().to_owned(),
        count: found.count,
        places: found.places.clone(),
    };
    damage.iter().map(one).collect()
}

impl Stereo {
    /// The operation over `storage`.
    pub fn new(storage: Storage, settings: StereoSettings) -> Self {
        Self { storage, settings, pace: Pace::default() }
    }

    /// Fetches what precedes the segment of a plan, of which `source` is a copy, as far as `reach` goes
    /// back. A caller who may read a segment may read those before it, or there is no lead-in. What follows
    /// a segment may not be there yet when it is asked for, and is not looked at.
    async fn before(
        &self,
        plan: &StereoPlan,
        source: &Path,
        reach: Reach,
        cancel: &CancellationToken,
    ) -> Result<Vec<Preceding>, Failure> {
        let Address::Object(uri) = &plan.input else { return Ok(Vec::new()) };
        let own = plan.own.as_ref();
        let mut lead_in = LeadIn::of(uri, source, reach);
        while let Some((uri, path)) = lead_in.wants() {
            let Ok(address) = self.storage.input(&uri.to_string(), "input_uri", own) else { break };
            match self.storage.fetch(&address, &path, "input_uri", own, cancel).await {
                // Somebody removed it, which S3 hides from those who may not list. A visible seam is
                // better than no result.
                Err(failure)
                    if matches!(failure.kind, FailureKind::NotFound | FailureKind::Forbidden) =>
                {
                    warn!(%uri, "no segment is there to lead in");
                    break;
                }
                fetched => fetched?,
            };
            let (tools, cancel) = (self.settings.tools.clone(), cancel.clone());
            let took = tokio::task::spawn_blocking(move || lead_in.took(&tools, &cancel)).await;
            let took = took.map_err(|error| Failure::internal(error.to_string()))?;
            lead_in = took.map_err(|error| failure(error, &path))?;
        }
        Ok(lead_in.files())
    }

    async fn modified(&self, plan: &StereoPlan) -> Option<i64> {
        let Address::Object(uri) = &plan.input else { return None };
        let meta = self.storage.head(uri, "input_uri", plan.own.as_ref()).await.ok()??;
        Some(meta.modified.0)
    }
}

/// What is kept beside a result, so that whoever is asked for it again need not make it. Bytes and
/// time of the last change are the object's own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// [`Stereo::digest`] of the plan.
    request: String,
    input_modified_ms: i64,
    input_bytes: u64,
    frames: u64,
    width: u32,
    height: u32,
    seconds: f64,
    engine: String,
    #[serde(default)]
    damage: Vec<Mended>,
}

/// Another number, and earlier notes are believed no more.
const NOTE_VERSION: u32 = 3;

impl Stereo {
    /// A digest of everything that makes the result of a request what it is, for other processes.
    /// Holds no credentials: what they opened is where the note is.
    fn digest(&self, plan: &StereoPlan) -> Option<String> {
        let recipe = (self.settings.recipe.0)()?;
        let mut identity = plan.identity.clone();
        identity["storage"] = json!(plan.own.as_ref().map(|own| &own.endpoint_url));
        let StereoSettings { side_by_side, encode, tools, .. } = &self.settings;
        let made_with = json!([
            NOTE_VERSION,
            identity,
            side_by_side.to_string(),
            encode,
            tools.damaged,
            recipe
        ]);
        let digest = Sha256::digest(made_with.to_string().as_bytes());
        Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[async_trait]
impl Operation for Stereo {
    type Request = StereoRequest;
    type Plan = StereoPlan;
    type Part = NoParts;
    type Response = StereoResponse;

    fn name(&self) -> &'static str {
        "stereo"
    }

    fn summary(&self) -> &'static str {
        "Converts a video segment to stereoscopic 3D and writes the result to its address."
    }

    fn plan(&self, request: StereoRequest) -> Result<StereoPlan, Failure> {
        StereoPlan::of(request, &self.storage, &*self.settings.capabilities)
    }

    fn cost(&self, _plan: &StereoPlan) -> Cost {
        Cost::queued(self.pace.expected())
    }

    fn identity(&self, plan: &StereoPlan) -> Option<Value> {
        let mut identity = plan.identity.clone();
        identity["storage"] = json!(plan.own.as_ref().map(Credentials::identity));
        Some(identity)
    }

    /// The result is as it was written, and the segment as it was read.
    async fn still_holds(&self, plan: &StereoPlan, response: &Value) -> bool {
        let own = plan.own.as_ref();
        let Ok(Some(meta)) = self.storage.head(&plan.output, "output_uri", own).await else {
            return false;
        };
        let same = response["bytes"] == meta.size && response["modified_ms"] == meta.modified.0;
        let read = response["input_modified_ms"].as_i64();
        let unchanged = match &plan.input {
            // It came with the request.
            Address::Inline(_) => true,
            _ => read.is_some() && self.modified(plan).await == read,
        };
        same && unchanged
    }

    async fn recall(&self, plan: &StereoPlan) -> Option<StereoResponse> {
        let (own, output) = (plan.own.as_ref(), &plan.output);
        let Address::Object(input) = &plan.input else { return None };
        let note = self.storage.note(output, "output_uri", own).await.ok()??;
        let note: Note = serde_json::from_str(&note).ok()?;
        if note.request != self.digest(plan)? {
            return None;
        }
        let read = self.storage.head(input, "input_uri", own).await.ok()??;
        if (read.modified.0, read.size) != (note.input_modified_ms, note.input_bytes) {
            return None;
        }
        let written = self.storage.head(output, "output_uri", own).await.ok()??;
        info!(%output, "the result is there already");
        Some(StereoResponse {
            status: "ok",
            output_uri: output.to_string(),
            bytes: written.size,
            modified_ms: written.modified.0,
            input_modified_ms: Some(note.input_modified_ms),
            frames: note.frames,
            width: note.width,
            height: note.height,
            seconds: note.seconds,
            engine: note.engine,
            damage: note.damage,
        })
    }

    async fn run(&self, plan: StereoPlan, call: &Call) -> Result<StereoResponse, Failure> {
        let (own, output) = (plan.own.as_ref(), &plan.output);
        let folder = tempfile::Builder::new().prefix("stereo-").tempdir_in(&self.settings.scratch);
        let folder = folder.map_err(|error| {
            let message = "there is no room for temporary files";
            Failure::new(FailureKind::Unavailable, message).with_detail(error.to_string())
        })?;
        let (source, result) = (folder.path().join("in.mp4"), folder.path().join("out.mp4"));
        let input_modified_ms = self.modified(&plan).await;
        let fetch = self.storage.fetch(&plan.input, &source, plan.input_field, own, &call.cancel);
        let input_bytes = call.stage("reading", fetch).await?;

        let reach = self.settings.capabilities.reach(&plan.run);
        let before = self.before(&plan, &source, reach, &call.cancel).await?;
        let job = Job {
            around: Surroundings { before, after: None },
            tools: self.settings.tools.clone(),
            layout: match plan.mode {
                Mode::Anaglyph => Layout::Anaglyph,
                Mode::Sbs => self.settings.side_by_side,
            },
            encode: self.settings.encode.clone(),
            run: plan.run.clone(),
            source,
            result: result.clone(),
        };
        let inside = Inside::new(call.reporter(), call.metrics.clone());
        let started = Instant::now();
        let work = call.on_executor(move |models, cancel| {
            let outcome = job.run(models, cancel, &inside);
            // The folder outlives the work even when nobody waits for it any more.
            outcome.map(|(made, engine)| (folder, made, engine))
        });
        call.report(Progress::stage("waiting"));
        let (folder, made, engine) = work.await??;
        let seconds = made.elapsed.as_secs_f64();
        call.metrics.observe(metrics::STAGE, &[("stage", "converting")], seconds);
        self.pace.took(started.elapsed());
        call.metrics.count(metrics::FRAMES, &[("engine", engine)], made.frames);
        call.metrics.gauge(
            metrics::RATE,
            &[("engine", engine)],
            made.frames as f64 / seconds.max(1e-6),
        );

        let note = self.digest(&plan).zip(input_modified_ms).map(|(request, modified)| Note {
            request,
            input_modified_ms: modified,
            input_bytes,
            frames: made.frames,
            width: made.format.width,
            height: made.format.height,
            seconds,
            engine: engine.to_owned(),
            damage: mended(&made.damage),
        });
        let note = note.and_then(|note| serde_json::to_string(&note).ok());
        let what = (result.as_path(), note.as_deref());
        let put = self.storage.put(what, output, plan.output_field, own, &call.cancel);
        let meta = call.stage("writing", put).await?;
        drop(folder);
        self.settings.conversions.converted(made.elapsed, input_bytes).await;
        for mended in made.damage.lines() {
            warn!(output = %output, mended, "the segment is damaged");
        }
        info!(frames = made.frames, seconds, bytes = meta.size, output = %output, "converted");
        Ok(StereoResponse {
            status: "ok",
            output_uri: output.to_string(),
            bytes: meta.size,
            modified_ms: meta.modified.0,
            input_modified_ms,
            frames: made.frames,
            width: made.format.width,
            height: made.format.height,
            seconds,
            engine: engine.to_owned(),
            damage: mended(&made.damage),
        })
    }
}

/// How long runs took lately, from their turn's beginning of waiting to their end.
#[derive(Debug, Default)]
struct Pace(Mutex<Option<Duration>>);

impl Pace {
    /// Until something is known.
    const GUESS: Duration = Duration::from_secs(30);

    fn took(&self, time: Duration) {
        let mut pace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *pace = Some(match *pace {
            Some(before) => (before * 3 + time) / 4,
            None => time,
        });
    }

    fn expected(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(Self::GUESS)
    }
}
