//! The network as a model of the pool.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use parallax_nn::device::{self, Choice};
use parallax_sam2::manifest::{self, Folder};
use parallax_sam2::{Features, Mask, Picture, Prompt, Sam2};
use parallax_serving::{Failure, FailureKind, Model, ModelBytes};
use parallax_weights::{DType, Manifest};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// The name of the network in the model pool.
pub const SEGMENT_MODEL: &str = "segment";

/// Pictures whose features are kept: each takes 17 MB, and the next prompt is often of the same one.
const KEPT: usize = 4;

/// Which network, and where it runs.
#[derive(Debug, Clone)]
pub struct ModelChoice {
    /// Folder of all models.
    pub dir: PathBuf,
    /// Its name; the first that is there without one.
    pub name: Option<String>,
    /// Where it runs.
    pub device: Choice,
}

/// A network that has been loaded, and what it knows of the last pictures.
#[derive(Debug)]
pub struct Segmenter {
    network: Sam2,
    /// By digests of pictures, the latest last.
    seen: Mutex<Vec<(Vec<u8>, Features)>>,
}

/// The names that networks are chosen by, smallest first.
pub fn model_names() -> impl Iterator<Item = &'static str> {
    manifest::ALL.iter().map(|model| model.name)
}

/// The network for the model pool: nothing is opened before it is asked for.
pub fn model(choice: ModelChoice) -> Model {
    let sized = choice.clone();
    let bytes = move || {
        let plan = sized.folder().ok().map(|folder| folder.checkpoint.plan(DType::F32));
        let whole = plan.map_or(0, |plan| plan.resident_bytes);
        ModelBytes { least: whole, whole }
    };
    Model::measured(SEGMENT_MODEL, bytes, move || Segmenter::open(&choice))
}

pub(crate) fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::internal(format!("segment: {error}"))
}

impl ModelChoice {
    /// Opens the folder of the network.
    fn folder(&self) -> Result<Folder, Failure> {
        let chosen = |model: &&Manifest| self.name.as_deref().is_none_or(|name| name == model.name);
        let mut models = manifest::ALL.iter().filter(chosen);
        let first = models.clone().next().map_or(manifest::TINY.name, |model| model.name);
        let folder = models.find_map(|model| {
            let folder = self.dir.join(model.folder());
            manifest::weights_file(&folder).map(|_| folder)
        });
        let folder = folder.ok_or_else(|| {
            let message = format!(
                "the weights of the network are not on this server; `parallax weights fetch {first}` brings them"
            );
            let detail = format!("looked in {}", self.dir.display());
            Failure::new(FailureKind::Unavailable, message).with_detail(detail)
        })?;
        Folder::open(&folder).map_err(|error| Failure::internal(error.to_string()))
    }
}

impl Segmenter {
    fn open(choice: &ModelChoice) -> Result<Self, Failure> {
        let folder = choice.folder()?;
        let device =
            device::open(choice.device).map_err(|error| Failure::internal(error.to_string()))?;
        let network = folder.build(DType::F32, &device);
        let network = network.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            Failure::internal(format!("{error}{}", cause.unwrap_or_default()))
        })?;
        Ok(Self { network, seen: Mutex::default() })
    }

    /// The network itself.
    pub(crate) fn network(&self) -> &Sam2 {
        &self.network
    }

    /// The best mask of each prompt, which are in pixels of the picture.
    ///
    /// # Errors
    /// `Cancelled` between the steps; `Internal` when the network fails.
    pub fn masks(
        &self,
        picture: &Picture,
        prompts: &[Prompt],
        cancel: &CancellationToken,
    ) -> Result<Vec<Mask>, Failure> {
        let going = || if cancel.is_cancelled() { Err(Failure::cancelled()) } else { Ok(()) };
        going()?;
        let features = self.features(picture)?;
        going()?;
        let side = self.network.config().image_size;
        let prompts: Vec<Prompt> =
            prompts.iter().map(|prompt| prompt.in_square(picture.size(), side)).collect();
        let ignore = &mut parallax_nn::ignore;
        let found = self.network.decode(&features, &prompts, None, ignore);
        found.and_then(|found| found.best()).map_err(failed)
    }

    /// What is known of a picture, which is looked at unless it was among the last.
    fn features(&self, picture: &Picture) -> Result<Features, Failure> {
        let (width, height) = picture.size();
        let mut digest = Sha256::new();
        digest.update(format!("{width}x{height} "));
        digest.update(picture.rgb());
        let digest = digest.finalize().to_vec();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = seen.iter().position(|(known, _)| *known == digest) {
            let latest = seen.remove(at);
            let features = latest.1.clone();
            seen.push(latest);
            return Ok(features);
        }
        let features = self.network.look(picture).map_err(failed)?;
        seen.push((digest, features.clone()));
        if seen.len() > KEPT {
            seen.remove(0);
        }
        Ok(features)
    }
}
