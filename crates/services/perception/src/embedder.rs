//! The model: a DINOv3 and what its answers are told apart by.

use std::path::{Path, PathBuf};

use parallax_dinov3::{Encoder, Seen, manifest};
use parallax_nn::device::{self, Choice};
use parallax_serving::{Failure, FailureKind};
use parallax_weights::{DType, Manifest};
use schemars::JsonSchema;
use serde::Serialize;

/// The model's name in the pool.
pub const DINOV3: &str = "dinov3";

/// What made a field of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Made {
    /// The model, by the name of `parallax weights fetch`.
    pub model: String,
    /// A digest that tells its weights from others.
    pub revision: String,
    /// What was done, in a few words.
    pub method: &'static str,
}

/// The model that is there, before it is read.
#[derive(Debug, Clone)]
pub struct Choosable {
    /// Its folder.
    folder: PathBuf,
    /// Its name.
    pub model: &'static str,
    /// Width of its vectors.
    pub embedding_dim: usize,
    /// A digest of its weights.
    revision: String,
    device: Choice,
}

/// Why no model can be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error(
        "{folder} has none of the models {}; `parallax weights fetch {}` brings one",
        allowed.join(", "), allowed.first().unwrap_or(&"")
    )]
    Absent {
        /// The folder of all models.
        folder: String,
        /// Those that could be there, the one to begin with first.
        allowed: Vec<&'static str>,
    },
    /// No model is called so.
    #[error("{name:?}: allowed are {}", allowed.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those that there are.
        allowed: Vec<&'static str>,
    },
    /// It is there, and not what it should be.
    #[error(transparent)]
    Weights(#[from] parallax_weights::Error),
    /// It cannot be told from others.
    #[error("read the weights in {0}")]
    Fingerprint(String, #[source] std::io::Error),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] device::Error),
}

/// The model of a family called `name`, or the first of it that is in `weights`, and its folder.
pub(crate) fn chosen(
    family: &[Manifest],
    weights: &Path,
    name: Option<&str>,
) -> Result<(Manifest, PathBuf), Error> {
    let allowed = || family.iter().map(|model| model.name).collect();
    let found = match name {
        Some(name) => family.iter().find(|model| model.name == name),
        None => family.iter().find(|model| weights.join(model.folder()).is_dir()),
    };
    match (found, name) {
        (Some(model), _) => Ok((*model, weights.join(model.folder()))),
        (None, Some(name)) => Err(Error::Unknown { name: name.to_owned(), allowed: allowed() }),
        (None, None) => {
            Err(Error::Absent { folder: weights.display().to_string(), allowed: allowed() })
        }
    }
}

/// A digest that tells the weights in a folder from others.
pub(crate) fn revision(folder: &Path) -> Result<String, Error> {
    parallax_weights::fingerprint(folder)
        .map_err(|error| Error::Fingerprint(folder.display().to_string(), error))
}

impl Choosable {
    /// The model called `name`, or the first that is in `weights`, the folder of all models. Its files' headers are
    /// compared with the network of its configuration; nothing else is read.
    ///
    /// # Errors
    /// When there is none, or it is not what it should be.
    pub fn find(weights: &Path, name: Option<&str>, device: Choice) -> Result<Self, Error> {
        let (model, folder) = chosen(&manifest::ALL, weights, name)?;
        let opened = manifest::Opened::at(&folder)?;
        opened.check(model.name)?;
        device::open(device)?;
        let revision = revision(&folder)?;
        let embedding_dim = opened.config.hidden_size;
        Ok(Self { folder, model: model.name, embedding_dim, revision, device })
    }

    /// Where it runs.
    pub fn device(&self) -> Choice {
        self.device
    }

    /// Whether that is a GPU.
    pub fn is_on_a_gpu(&self) -> bool {
        self.device == Choice::Cuda
    }

    /// Bytes of its weights in memory.
    pub fn bytes(&self) -> u64 {
        let dtype = if self.is_on_a_gpu() { DType::BF16 } else { DType::F32 };
        let opened = manifest::Opened::at(&self.folder);
        opened.map_or(0, |opened| opened.checkpoint.plan(dtype).resident_bytes)
    }

    /// Reads it.
    ///
    /// # Errors
    /// `Internal`.
    pub fn load(&self) -> Result<Embedder, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::internal(format!("load: {error}"));
        let device = device::open(self.device).map_err(|error| failed(&error))?;
        let encoder = Encoder::open(&self.folder, self.model, &device);
        Ok(Embedder { encoder: encoder.map_err(|error| failed(&error))?, made: self.made("") })
    }

    /// What a field of an answer was made by.
    pub fn made(&self, method: &'static str) -> Made {
        Made { model: self.model.to_owned(), revision: self.revision.clone(), method }
    }
}

/// The model in memory.
#[derive(Debug)]
pub struct Embedder {
    encoder: Encoder,
    made: Made,
}

impl Embedder {
    /// What it sees in red, green and blue, 0 to 1, of (height, width): squashed as published, or of its own shape
    /// with the shorter side `shortest_edge`.
    ///
    /// # Errors
    /// `Invalid` where the picture's shape cannot be looked at, `Internal` where the network gives no numbers.
    pub fn see(
        &self,
        channels: [&[f32]; 3],
        size: (usize, usize),
        shortest_edge: Option<usize>,
    ) -> Result<Seen, Failure> {
        let shape = self.encoder.input_size(size, shortest_edge);
        shape.map_err(|error| Failure::new(FailureKind::Invalid, error.to_string()))?;
        let seen = self.encoder.see(channels, size, shortest_edge);
        let seen =
            seen.map_err(|error| Failure::internal(format!("{}: {error}", self.made.model)))?;
        if !seen.class.iter().chain(&seen.patches).all(|x| x.is_finite()) {
            let text = format!("{} gave values that are no numbers", self.made.model);
            return Err(Failure::internal(text));
        }
        Ok(seen)
    }

    /// What a field of an answer was made by.
    pub fn made(&self, method: &'static str) -> Made {
        Made { method, ..self.made.clone() }
    }
}
