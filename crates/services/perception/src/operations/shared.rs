//! What all operations work with.

use std::sync::Arc;

use parallax_dinov3::Seen;
use parallax_serving::{Call, Failure, FailureKind, Model};
use tokio_util::sync::CancellationToken;

use crate::captioner::{Captioner, Captions, QWEN3_VL};
use crate::embedder::{Choosable, DINOV3, Embedder};
use crate::picture::Channels;
use crate::shelf::Shelf;
use crate::source::{Source, Surroundings};

/// The shorter sides that may be asked for, in pixels.
const EDGES: std::ops::RangeInclusive<usize> = 32..=1024;

/// What is said of words where there is no model of them.
const NO_CAPTIONS: &str = "Qwen3-VL not loaded (vision_only mode)";

/// What all operations work with. Clones share it.
#[derive(Debug, Clone)]
pub struct Perception(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) around: Surroundings,
    pub(super) model: Choosable,
    pub(super) captions: Option<Captions>,
    /// Where analyses are kept, if they are.
    pub(super) shelf: Option<Shelf>,
}

impl Perception {
    /// Work with this model, and with that one where pictures are described in words; keep the analyses of films on
    /// this shelf.
    pub fn new(
        around: Surroundings,
        model: Choosable,
        captions: Option<Captions>,
        shelf: Option<Shelf>,
    ) -> Self {
        Self(Arc::new(Shared { around, model, captions, shelf }))
    }

    /// The models, for the pool: each is read when it is first needed.
    pub fn models(&self) -> Vec<Model> {
        let model = self.0.model.clone();
        let bytes = model.bytes();
        let captions = self.0.captions.clone().map(|captions| {
            let bytes = captions.bytes();
            Model::new(QWEN3_VL, bytes, move || captions.load())
        });
        [Model::new(DINOV3, bytes, move || model.load())].into_iter().chain(captions).collect()
    }

    /// The model of words.
    ///
    /// # Errors
    /// `Invalid`, in the earlier service's words, when there is none.
    pub(super) fn captions(&self) -> Result<&Captions, Failure> {
        self.0.captions.as_ref().ok_or_else(|| invalid(NO_CAPTIONS))
    }

    /// Runs `work` with the model in memory and, where `words` are wanted and there is a model of them, with that one.
    pub(super) async fn with_models<T: Send + 'static>(
        &self,
        call: &Call,
        words: bool,
        work: impl FnOnce(&Embedder, Option<&Captioner>, &CancellationToken) -> Result<T, Failure>
        + Send
        + 'static,
    ) -> Result<T, Failure> {
        let words = words && self.0.captions.is_some();
        let on_executor = call.on_executor(move |models, cancel| {
            let model = models.get::<Embedder>(DINOV3)?;
            let captioner = words.then(|| models.get::<Captioner>(QWEN3_VL)).transpose()?;
            work(&model, captioner.as_deref(), cancel)
        });
        on_executor.await?
    }

    /// Runs `work` with the model of words in memory, on the thread that owns the device.
    pub(super) async fn with_captioner<T: Send + 'static>(
        &self,
        call: &Call,
        work: impl FnOnce(&Captioner, &CancellationToken) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let on_executor = call.on_executor(move |models, cancel| {
            let model = models.get::<Captioner>(QWEN3_VL)?;
            work(&model, cancel)
        });
        on_executor.await?
    }

    /// Runs `work` with the model in memory, on the thread that owns the device.
    pub(super) async fn with_model<T: Send + 'static>(
        &self,
        call: &Call,
        work: impl FnOnce(&Embedder, &CancellationToken) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let on_executor = call.on_executor(move |models, cancel| {
            let model = models.get::<Embedder>(DINOV3)?;
            work(&model, cancel)
        });
        on_executor.await?
    }

    /// What the model sees in a picture, and the picture's width and height.
    pub(super) async fn see(
        &self,
        source: &Source,
        shortest_edge: Option<usize>,
        call: &Call,
    ) -> Result<(Seen, (usize, usize)), Failure> {
        let fetched = self.0.around.fetch(source, call).await?;
        let tools = self.0.around.tools.clone();
        self.with_model(call, move |model, cancel| {
            let channels = Channels::read(&tools, &fetched.path, cancel)?;
            Ok((channels.seen_by(model, shortest_edge)?, channels.size()))
        })
        .await
    }
}

/// Does work of seconds where it keeps no other request waiting.
///
/// # Errors
/// `Internal` when it panics.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::internal(error.to_string()))
}

/// Checks the shorter side that is asked for.
pub(super) fn edge(asked: Option<usize>) -> Result<Option<usize>, Failure> {
    match asked {
        Some(edge) if !EDGES.contains(&edge) => {
            let (least, most) = EDGES.into_inner();
            let message = format!("{edge}: allowed are {least} to {most}");
            Err(Failure::field("shortest_edge", message))
        }
        _ => Ok(asked),
    }
}

/// What a picture was made into before the network saw it.
pub(super) fn method(shortest_edge: Option<usize>) -> &'static str {
    match shortest_edge {
        Some(_) => "class token after the last norm, of the whole picture in its own shape",
        None => {
            "class token after the last norm, of the whole picture squashed to the published size"
        }
    }
}

pub(super) fn invalid(message: &str) -> Failure {
    Failure::new(FailureKind::Invalid, message)
}
