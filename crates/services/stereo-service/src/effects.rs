//! `interpolate` and `loop`: what ffmpeg's own filters make of a clip. They need no engine, so
//! one of them runs at a time beside it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parallax_job::Uri;
use parallax_media::{Effect, EncodeSettings, Kind, LoopStyle, Tools};
use parallax_serving::{
    Address, Call, Cost, Credentials, Failure, FailureKind, NoParts, Operation, Progress, Storage,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// What both operations work with. Clones share their one turn.
#[derive(Debug, Clone)]
pub struct Effects {
    storage: Storage,
    tools: Tools,
    scratch: PathBuf,
    encode: EncodeSettings,
    turn: Arc<Semaphore>,
}

/// A clip, where what is made of it goes, and by what.
#[derive(Debug)]
pub struct EffectPlan<T> {
    input: Address,
    output: Uri,
    own: Option<Credentials>,
    /// What tells the request from others, without credentials.
    identity: Value,
    effect: T,
}

/// The addresses of a request, as they were given.
#[derive(Debug)]
struct Places {
    input: String,
    output: String,
    own: Option<Credentials>,
}

/// What was made.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EffectResponse {
    /// Always `ok`.
    status: &'static str,
    /// Where the result is.
    output_uri: String,
    /// Bytes of the result.
    bytes: u64,
    /// Frames of the result.
    frames: u64,
    /// Seconds that it took.
    seconds: f64,
}

impl Effects {
    /// Work over `storage`, with temporary files in the existing folder `scratch`.
    pub fn new(storage: Storage, tools: Tools, scratch: PathBuf, encode: EncodeSettings) -> Self {
        Self { storage, tools, scratch, encode, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Checks the addresses. `options` are what else tells the request from others.
    fn plan<T>(
        &self,
        places: Places,
        options: &Value,
        effect: T,
    ) -> Result<EffectPlan<T>, Failure> {
        let own = places.own.as_ref();
        let input = self.storage.input(&places.input, "input_uri", own)?;
        let output = self.storage.output(&places.output, "output_uri", own)?;
        if input == Address::Object(output.clone()) {
            return Err(Failure::field("output_uri", "it is the input's address"));
        }
        let identity = json!({
            "input": input.identity(&places.input),
            "output": places.output,
            "storage": own.map(Credentials::identity),
            "rest": options,
        });
        Ok(EffectPlan { input, output, own: places.own, identity, effect })
    }

    async fn run<T: Send + 'static>(
        &self,
        plan: EffectPlan<T>,
        call: &Call,
        work: impl FnOnce(&Effect<'_>, T, &mut dyn FnMut(u64)) -> parallax_media::Result<u64>
        + Send
        + 'static,
    ) -> Result<EffectResponse, Failure> {
        let EffectPlan { input, output, own, effect: options, .. } = plan;
        let own = own.as_ref();
        let folder = tempfile::Builder::new().prefix("effect-").tempdir_in(&self.scratch);
        let folder = folder.map_err(|error| no_room(error.to_string()))?;
        let (source, result) = (folder.path().join("in.mp4"), folder.path().join("out.mp4"));
        let fetch = self.storage.fetch(&input, &source, "input_uri", own, &call.cancel);
        call.stage("reading", fetch).await?;

        let turn = self.turn.clone().acquire_owned();
        let turn = call.cancel.run_until_cancelled(turn).await.ok_or_else(Failure::cancelled)?;
        let started = Instant::now();
        let (tools, encode, made) = (self.tools.clone(), self.encode.clone(), result.clone());
        let (report, cancel) = (call.reporter(), call.cancel.child_token());
        // Dropped with this future, so that the child ends with whoever waited for it.
        let _stop_with_us = cancel.clone().drop_guard();
        let job = move || {
            let effect = Effect {
                tools: &tools,
                input: &source,
                output: &made,
                settings: &encode,
                cancel: &cancel,
            };
            let outcome = work(&effect, options, &mut |done| {
                let per_second = done as f64 / started.elapsed().as_secs_f64().max(1e-6);
                report(Progress { done, per_second, ..Progress::stage("rendering") });
            });
            // The folder and the turn are kept until the work has ended, whoever waits.
            drop(turn);
            outcome.map(|frames| (folder, frames))
        };
        let rendered = call.stage("rendering", tokio::task::spawn_blocking(job)).await;
        let rendered = rendered.map_err(|error| Failure::internal(error.to_string()))?;
        let (folder, frames) = rendered.map_err(|error| failure(&error, &result))?;
        let put = self.storage.put((&result, None), &output, "output_uri", own, &call.cancel);
        let meta = call.stage("writing", put).await?;
        drop(folder);
        let seconds = started.elapsed().as_secs_f64();
        let output_uri = output.to_string();
        Ok(EffectResponse { status: "ok", output_uri, bytes: meta.size, frames, seconds })
    }
}

fn no_room(detail: String) -> Failure {
    let message = "there is no room for temporary files, or ffmpeg is missing";
    Failure::new(FailureKind::Unavailable, message).with_detail(detail)
}

fn failure(error: &parallax_media::Error, result: &std::path::Path) -> Failure {
    let folder = result.parent().unwrap_or(result).display().to_string();
    let text = error.to_string().replace(&format!("{folder}/in.mp4"), "the clip");
    let text = text.replace(&folder, "");
    match error.kind() {
        Kind::Input => Failure::field("input_uri", text),
        Kind::Cancelled => Failure::cancelled(),
        Kind::Tool | Kind::Space => no_room(text),
        Kind::Io | Kind::Output => Failure::internal(text),
    }
}

/// `interpolate`.
#[derive(Debug)]
pub struct Interpolate(pub Effects);

/// A clip and by how much its frame rate is multiplied.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct InterpolateRequest {
    /// Address of the clip: `s3://`, `gs://`, `file://` or, where allowed, `https://`; or the clip
    /// itself as a `data:` URL in base64.
    #[schemars(regex(pattern = r"^((s3|gs|file|https?)://|data:).+$"))]
    input_uri: String,
    /// Address of the result: `s3://`, `gs://` or `file://`.
    #[schemars(regex(pattern = r"^(s3|gs|file)://.+$"))]
    output_uri: String,
    /// An S3-compatible store of the caller's own for `s3://` addresses.
    #[serde(default)]
    storage: Option<Credentials>,
    /// By how much the frame rate is multiplied, 2 to 8.
    #[serde(default = "twice")]
    #[schemars(range(min = 2, max = 8))]
    factor: u32,
}

impl InterpolateRequest {
    fn places(self) -> Places {
        Places { input: self.input_uri, output: self.output_uri, own: self.storage }
    }
}

fn twice() -> u32 {
    2
}

#[async_trait]
impl Operation for Interpolate {
    type Request = InterpolateRequest;
    type Plan = EffectPlan<u32>;
    type Part = NoParts;
    type Response = EffectResponse;

    fn name(&self) -> &'static str {
        "interpolate"
    }

    fn summary(&self) -> &'static str {
        "Multiplies a clip's frame rate with frames that follow the motion."
    }

    fn plan(&self, request: InterpolateRequest) -> Result<Self::Plan, Failure> {
        if !(2..=8).contains(&request.factor) {
            let message = format!("{}: allowed are 2 to 8", request.factor);
            return Err(Failure::field("factor", message));
        }
        let factor = request.factor;
        self.0.plan(request.places(), &json!(factor), factor)
    }

    fn cost(&self, _: &Self::Plan) -> Cost {
        Cost::queued(Duration::from_secs(30))
    }

    fn identity(&self, plan: &Self::Plan) -> Option<Value> {
        Some(plan.identity.clone())
    }

    async fn run(&self, plan: Self::Plan, call: &Call) -> Result<EffectResponse, Failure> {
        let work = |effect: &Effect<'_>, factor, progress: &mut dyn FnMut(u64)| {
            effect.interpolate(factor, progress)
        };
        self.0.run(plan, call, work).await
    }
}

/// `loop`.
#[derive(Debug)]
pub struct Loop(pub Effects);

/// A clip and how its end is to meet its beginning.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct LoopRequest {
    /// Address of the clip: `s3://`, `gs://`, `file://` or, where allowed, `https://`; or the clip
    /// itself as a `data:` URL in base64.
    #[schemars(regex(pattern = r"^((s3|gs|file|https?)://|data:).+$"))]
    input_uri: String,
    /// Address of the result: `s3://`, `gs://` or `file://`.
    #[schemars(regex(pattern = r"^(s3|gs|file)://.+$"))]
    output_uri: String,
    /// An S3-compatible store of the caller's own for `s3://` addresses.
    #[serde(default)]
    storage: Option<Credentials>,
    /// `crossfade` or `ping_pong`.
    #[serde(default)]
    style: Style,
    /// Length of the fade in frames, 1 to 1000 and at most half of the clip.
    #[serde(default = "twelve")]
    #[schemars(range(min = 1, max = 1000))]
    crossfade_frames: u32,
}

impl LoopRequest {
    fn places(self) -> Places {
        Places { input: self.input_uri, output: self.output_uri, own: self.storage }
    }
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Style {
    #[default]
    Crossfade,
    PingPong,
}

fn twelve() -> u32 {
    12
}

#[async_trait]
impl Operation for Loop {
    type Request = LoopRequest;
    type Plan = EffectPlan<LoopStyle>;
    type Part = NoParts;
    type Response = EffectResponse;

    fn name(&self) -> &'static str {
        "loop"
    }

    fn summary(&self) -> &'static str {
        "Makes a clip that can be played over and over without a jump."
    }

    fn plan(&self, request: LoopRequest) -> Result<Self::Plan, Failure> {
        if !(1..=1000).contains(&request.crossfade_frames) {
            let message = format!("{}: allowed are 1 to 1000", request.crossfade_frames);
            return Err(Failure::field("crossfade_frames", message));
        }
        let style = match request.style {
            Style::PingPong => LoopStyle::PingPong,
            Style::Crossfade => LoopStyle::Crossfade { frames: request.crossfade_frames },
        };
        let options = json!([request.style, request.crossfade_frames]);
        self.0.plan(request.places(), &options, style)
    }

    fn cost(&self, _: &Self::Plan) -> Cost {
        Cost::queued(Duration::from_secs(10))
    }

    fn identity(&self, plan: &Self::Plan) -> Option<Value> {
        Some(plan.identity.clone())
    }

    async fn run(&self, plan: Self::Plan, call: &Call) -> Result<EffectResponse, Failure> {
        let work = |effect: &Effect<'_>, style, progress: &mut dyn FnMut(u64)| {
            effect.make_loop(style, progress)
        };
        self.0.run(plan, call, work).await
    }
}
