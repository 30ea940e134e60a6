//! `caption`: what pictures or a film show, in words.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use parallax_media::Tools;
use parallax_qwen3_vl::Choice;
use parallax_serving::{Call, Cost, Failure, Operation, Progress};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::shared::Perception;
use crate::captioner::{Captioner, Subject};
use crate::captions::Detail;
use crate::embedder::Made;
use crate::film::spread;
use crate::picture::Channels;
use crate::source::{Fetched, Source};

const LACKING: &str = "No image provided";
/// Pictures of one request.
const MOST_PICTURES: usize = 8;
/// Characters of a prompt.
const MOST_CHARACTERS: usize = 4000;
/// Tokens of an answer, and how many may be asked for.
const TOKENS: usize = 512;
const MOST_TOKENS: usize = 2048;
/// Frames of a film that are looked at.
pub(crate) const MOST_FRAMES: usize = 64;

const METHOD: &str = "greedy, each next token being the likeliest; longer sides at most 512 pixels";
const FILM_METHOD: &str = "greedy, each next token being the likeliest; two frames a second, 4 to 64, evenly spread, with \
                           their times; longer sides at most 512 pixels";

/// Pictures or a film, and what is wanted of them.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CaptionRequest {
    /// A picture in base64, as it is or as a `data:` URL: JPEG, PNG or WebP.
    #[serde(default)]
    image_base64: Option<String>,
    /// Its address: `https://` where allowed, `s3://`, `gs://`, `file://`.
    #[serde(default)]
    image_url: Option<String>,
    /// Several pictures in place of one, at most 8.
    #[serde(default)]
    images_base64: Vec<String>,
    /// A film in place of pictures, in base64 or as a `data:` URL.
    #[serde(default)]
    video_base64: Option<String>,
    /// Its address.
    #[serde(default)]
    video_url: Option<String>,
    /// A file of the server, in a folder that `SERVER_FILE_ROOTS` allows.
    #[serde(default)]
    video_path: Option<String>,
    /// How much is said.
    #[serde(default)]
    detail_level: Detail,
    /// What the model is asked in place of what `detail_level` says, at most 4000 characters.
    #[serde(default)]
    prompt: Option<String>,
    /// The most tokens of the answer, 1 to 2048.
    #[serde(default = "tokens")]
    #[schemars(range(min = 1, max = 2048))]
    max_new_tokens: u64,
}

fn tokens() -> u64 {
    TOKENS as u64
}

/// What is described, and how.
#[derive(Debug)]
pub(super) struct CaptionPlan {
    sources: Vec<Source>,
    is_film: bool,
    words: String,
    most: usize,
}

/// A piece of the caption, as soon as it is certain.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Piece {
    text: String,
}

/// What was said.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CaptionResponse {
    /// The caption.
    caption: String,
    /// `stop` when the model came to its end, `length` when it came to the most tokens.
    finish_reason: &'static str,
    /// Tokens of what was asked, with those of pictures.
    prompt_tokens: usize,
    /// Tokens of the caption.
    completion_tokens: usize,
    /// Of a film, the seconds after its first frame at which the frames that were looked at are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamps: Option<Vec<f64>>,
    /// What made what.
    models: BTreeMap<&'static str, Made>,
}

/// `caption`.
#[derive(Debug)]
pub(super) struct Caption(pub(super) Perception);

impl Caption {
    fn sources(&self, request: &mut CaptionRequest) -> Result<(Vec<Source>, bool), Failure> {
        let around = &self.0.0.around;
        let is_there = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let film = [&request.video_base64, &request.video_url, &request.video_path];
        if film.into_iter().any(is_there) {
            let film = around.source(
                (request.video_base64.take(), "video_base64"),
                (request.video_url.take(), "video_url"),
                (request.video_path.take(), "video_path"),
                LACKING,
            )?;
            return Ok((vec![film], true));
        }
        let several = std::mem::take(&mut request.images_base64);
        if several.len() > MOST_PICTURES {
            let message =
                format!("{} pictures: allowed are at most {MOST_PICTURES}", several.len());
            return Err(Failure::field("images_base64", message));
        }
        let none = || (None, "image_path");
        if !several.is_empty() {
            let one = |text| around.source((Some(text), "images_base64"), none(), none(), LACKING);
            return Ok((several.into_iter().map(one).collect::<Result<_, _>>()?, false));
        }
        let base64 = (request.image_base64.take(), "image_base64");
        let url = (request.image_url.take(), "image_url");
        Ok((vec![around.source(base64, url, none(), LACKING)?], false))
    }
}

#[async_trait]
impl Operation for Caption {
    type Request = CaptionRequest;
    type Plan = CaptionPlan;
    type Part = Piece;
    type Response = CaptionResponse;

    fn name(&self) -> &'static str {
        "caption"
    }

    fn summary(&self) -> &'static str {
        "Says in words what pictures or a film show."
    }

    fn plan(&self, mut request: CaptionRequest) -> Result<CaptionPlan, Failure> {
        self.0.captions()?;
        let (sources, is_film) = self.sources(&mut request)?;
        let most = usize::try_from(request.max_new_tokens).unwrap_or(usize::MAX);
        if !(1..=MOST_TOKENS).contains(&most) {
            let message = format!("{}: allowed are 1 to {MOST_TOKENS}", request.max_new_tokens);
            return Err(Failure::field("max_new_tokens", message));
        }
        let words = match request.prompt.filter(|words| !words.trim().is_empty()) {
            Some(words) => {
                let count = words.chars().count();
                if count > MOST_CHARACTERS {
                    let message =
                        format!("{count} characters: allowed are at most {MOST_CHARACTERS}");
                    return Err(Failure::field("prompt", message));
                }
                words
            }
            None if is_film => request.detail_level.words("video"),
            None if sources.len() > 1 => request.detail_level.words("set of images"),
            None => request.detail_level.words("image"),
        };
        Ok(CaptionPlan { sources, is_film, words, most })
    }

    fn cost(&self, plan: &CaptionPlan) -> Cost {
        Cost::queued(Duration::from_secs(if plan.is_film { 60 } else { 20 }))
    }

    fn identity(&self, plan: &CaptionPlan) -> Option<Value> {
        let sources: Vec<&Value> = plan.sources.iter().map(|source| &source.identity).collect();
        Some(json!([sources, plan.is_film, plan.words, plan.most]))
    }

    async fn run(&self, plan: CaptionPlan, call: &Call) -> Result<CaptionResponse, Failure> {
        let mut fetched = Vec::new();
        for source in &plan.sources {
            fetched.push(self.0.0.around.fetch(source, call).await?);
        }
        let (tools, report) = (self.0.0.around.tools.clone(), call.reporter());
        let emit = call.emitter::<Self>();
        call.report(Progress::stage(Progress::WAITING));
        let CaptionPlan { is_film, words, most, .. } = plan;
        let said = self.0.with_captioner(call, move |model, cancel| {
            report(Progress::stage("looking"));
            let (subject, seconds) = match is_film {
                true => film(model, &tools, &fetched[0].path, cancel)?,
                false => (pictures(model, &tools, &fetched, cancel)?, None),
            };
            let mut done = 0;
            let mut told = |piece: &str| {
                done += 1;
                report(Progress { done, ..Progress::stage("writing") });
                emit(&Piece { text: piece.to_owned() })
            };
            let manner = (most, Choice::Greedy);
            Ok((model.describe(&subject, &words, manner, &mut told, cancel)?, seconds))
        });
        let (said, timestamps) = said.await?;
        let made = self.0.captions()?.made(if is_film { FILM_METHOD } else { METHOD });
        Ok(CaptionResponse {
            caption: said.text.trim().to_owned(),
            finish_reason: if said.ended { "stop" } else { "length" },
            prompt_tokens: said.prompt_tokens,
            completion_tokens: said.tokens,
            timestamps,
            models: [("caption", made)].into(),
        })
    }
}

fn pictures(
    model: &Captioner,
    tools: &Tools,
    fetched: &[Fetched],
    cancel: &CancellationToken,
) -> Result<Subject, Failure> {
    let one = |one: &Fetched| model.picture(&Channels::read(tools, &one.path, cancel)?);
    Ok(Subject::Pictures(fetched.iter().map(one).collect::<Result<_, _>>()?))
}

/// A film's frames, and the times at which they are shown.
fn film(
    model: &Captioner,
    tools: &Tools,
    path: &Path,
    cancel: &CancellationToken,
) -> Result<(Subject, Option<Vec<f64>>), Failure> {
    let (mut frames, taken) = (Vec::new(), std::cell::Cell::new((0, 0)));
    let choose = |count, rate, size| {
        let (numbers, size) = model.frames((count, rate), MOST_FRAMES, size)?;
        taken.set(size);
        Ok(numbers)
    };
    let mut take = |channels: &Channels| {
        frames.push(model.frame(channels, taken.get())?);
        Ok(())
    };
    let seconds = spread(tools, path, cancel, choose, &mut take)?;
    Ok((model.film(&frames, &seconds)?, Some(seconds)))
}
