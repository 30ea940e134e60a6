//! The model of words: a Qwen3-VL and what its answers are told apart by.

use std::path::{Path, PathBuf};

use parallax_nn::device::{self, Choice};
use parallax_qwen3_vl::{
    Choice as NextToken, Message, Model, Options, Part, Patches, Rgb8, Role, manifest,
};
use parallax_serving::{Failure, FailureKind};
use parallax_weights::DType;
use tokio_util::sync::CancellationToken;

use crate::embedder::{Error, Made, chosen, revision};
use crate::picture::Channels;

/// The model's name in the pool.
pub const QWEN3_VL: &str = "qwen3-vl";

/// The longer side of a picture that is described, in pixels at most, as the earlier service has it.
pub(crate) const LONGEST: usize = 512;
/// Tokens of a prompt with its pictures: what is kept of them is bounded so.
const MOST_PROMPT: usize = 16_384;

/// The model of words that is there, before it is read.
#[derive(Debug, Clone)]
pub struct Captions {
    folder: PathBuf,
    /// Its name.
    pub model: &'static str,
    revision: String,
    device: Choice,
}

impl Captions {
    /// The model called `name`, or the first that is in `weights`, the folder of all models. Its files' headers are
    /// compared with the network of its configuration; nothing else is read.
    ///
    /// # Errors
    /// When there is none, or it is not what it should be.
    pub fn find(weights: &Path, name: Option<&str>, device: Choice) -> Result<Self, Error> {
        let (model, folder) = chosen(&manifest::ALL, weights, name)?;
        manifest::Opened::at(&folder)?.check(model.name)?;
        device::open(device)?;
        let revision = revision(&folder)?;
        Ok(Self { folder, model: model.name, revision, device })
    }

    /// Bytes of its weights in memory.
    pub fn bytes(&self) -> u64 {
        let dtype = if self.device == Choice::Cuda { DType::BF16 } else { DType::F32 };
        let opened = manifest::Opened::at(&self.folder);
        opened.map_or(0, |opened| opened.checkpoint.plan(dtype).resident_bytes)
    }

    /// Reads it.
    ///
    /// # Errors
    /// `Internal`.
    pub fn load(&self) -> Result<Captioner, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::internal(format!("load: {error}"));
        let device = device::open(self.device).map_err(|error| failed(&error))?;
        let model = Model::open(&self.folder, self.model, &device);
        Ok(Captioner(model.map_err(|error| failed(&error))?))
    }

    /// What a field of an answer was made by.
    pub fn made(&self, method: &'static str) -> Made {
        Made { model: self.model.to_owned(), revision: self.revision.clone(), method }
    }
}

/// The model of words in memory.
#[derive(Debug)]
pub struct Captioner(Model);

/// What is described.
#[derive(Debug)]
pub(crate) enum Subject {
    /// Pictures, in order.
    Pictures(Vec<Patches>),
    /// A film, and the time of each of its frame pairs in seconds.
    Film(Patches, Vec<f64>),
    /// Words alone.
    Nothing,
}

/// What was said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) prompt_tokens: usize,
    pub(crate) tokens: usize,
    pub(crate) ended: bool,
}

impl Captioner {
    /// A picture as it is described.
    ///
    /// # Errors
    /// `Invalid` where its shape cannot be looked at.
    pub(crate) fn picture(&self, channels: &Channels) -> Result<Patches, Failure> {
        self.0.picture(&bytes(channels)?, LONGEST).map_err(|error| invalid(&error))
    }

    /// Numbers of the frames of a film that are looked at, `most` at most, and the size that they take.
    ///
    /// # Errors
    /// `Invalid` where their shape cannot be looked at.
    pub(crate) fn frames(
        &self,
        (total, rate): (usize, f64),
        most: usize,
        size: (usize, usize),
    ) -> Result<(Vec<usize>, (usize, usize)), Failure> {
        let mut settings = self.0.films().clone();
        settings.max_frames = settings.max_frames.min(most);
        settings.min_frames = settings.min_frames.min(settings.max_frames);
        let numbers = parallax_qwen3_vl::frame_indices(total, rate, &settings);
        let size =
            self.0.frame_size(numbers.len(), size, LONGEST).map_err(|error| invalid(&error))?;
        Ok((numbers, size))
    }

    /// A frame in that size.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn frame(&self, channels: &Channels, size: (usize, usize)) -> Result<Rgb8, Failure> {
        Ok(bytes(channels)?.resized(size))
    }

    /// Frames and their times in seconds as what is described.
    ///
    /// # Errors
    /// `Invalid` when there are none.
    pub(crate) fn film(&self, frames: &[Rgb8], seconds: &[f64]) -> Result<Subject, Failure> {
        let patches = self.0.film(frames).map_err(|error| invalid(&error))?;
        Ok(Subject::Film(patches, parallax_qwen3_vl::timestamps(seconds)))
    }

    /// What the model says of a subject when it is asked `words`, in at most `most` tokens. `told` is given each piece
    /// as soon as it is certain.
    ///
    /// # Errors
    /// `Invalid` when subject and words are too long together, `Cancelled`, `Internal`; and those of `told`.
    pub(crate) fn describe(
        &self,
        subject: &Subject,
        words: &str,
        (most, choice): (usize, NextToken),
        told: &mut dyn FnMut(&str) -> Result<(), Failure>,
        cancel: &CancellationToken,
    ) -> Result<Said, Failure> {
        let mut parts: Vec<Part<'_>> = match subject {
            Subject::Pictures(pictures) => pictures.iter().map(Part::Picture).collect(),
            Subject::Film(film, times) => vec![Part::Film(film, times)],
            Subject::Nothing => Vec::new(),
        };
        parts.push(Part::Text(words));
        let failed =
            |error: parallax_qwen3_vl::Error| Failure::internal(format!("caption: {error}"));
        let prompt = self.0.prompt(&[Message { role: Role::User, parts }]).map_err(failed)?;
        let prompt_tokens = prompt.ids.len();
        if prompt_tokens > MOST_PROMPT {
            let message =
                format!("{prompt_tokens} tokens with its pictures: allowed are {MOST_PROMPT}");
            return Err(Failure::field("prompt", message));
        }
        let mut lost = Ok(());
        let written = self.0.write(
            &[&prompt],
            Options { most, choice },
            &mut |_, piece| {
                if lost.is_ok() {
                    lost = told(piece);
                }
            },
            &|| !cancel.is_cancelled(),
        );
        if cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        lost?;
        let mut written = written.map_err(failed)?;
        let Some(first) = written.pop() else { return Err(Failure::internal("no answer")) };
        let (text, tokens, ended) = (first.text, first.tokens, first.ended);
        Ok(Said { text, prompt_tokens, tokens, ended })
    }
}

fn bytes(channels: &Channels) -> Result<Rgb8, Failure> {
    let (width, height) = channels.size();
    let [r, g, b] = &channels.0;
    let bytes = Rgb8::of_light([r.data(), g.data(), b.data()], (height, width));
    bytes.map_err(|error| Failure::internal(error.to_string()))
}

fn invalid(error: &parallax_qwen3_vl::Error) -> Failure {
    Failure::new(FailureKind::Invalid, error.to_string())
}
