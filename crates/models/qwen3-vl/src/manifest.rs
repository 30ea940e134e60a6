//! The models of the family: where they are published, and how their folders look.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use parallax_weights::{Checkpoint, DType, Entry, Error, Inventory, Manifest, Part, config};

use crate::config::Config;
use crate::network::Network;
use crate::picture::{Preprocessing, VideoPreprocessing};

const CONFIG: Part = Part { name: "network", places: &[("", "config.json")] };
const PICTURES: &str = "preprocessor_config.json";
const FILMS: &str = "video_preprocessor_config.json";

/// Weights in one file.
const ONE: &[&[&str]] =
    &[&["config.json"], &["tokenizer.json"], &[PICTURES], &[FILMS], &["model.safetensors"]];
/// The same in two.
const TWO: &[&[&str]] = &[
    &["config.json"],
    &["tokenizer.json"],
    &[PICTURES],
    &[FILMS],
    &["model.safetensors.index.json"],
    &["model-00001-of-00002.safetensors"],
    &["model-00002-of-00002.safetensors"],
];
/// The same in four.
const FOUR: &[&[&str]] = &[
    &["config.json"],
    &["tokenizer.json"],
    &[PICTURES],
    &[FILMS],
    &["model.safetensors.index.json"],
    &["model-00001-of-00004.safetensors"],
    &["model-00002-of-00004.safetensors"],
    &["model-00003-of-00004.safetensors"],
    &["model-00004-of-00004.safetensors"],
];

/// 2B: the one to begin with.
pub const SMALL: Manifest =
    Manifest { name: "qwen3-vl-2b", repository: "Qwen/Qwen3-VL-2B-Instruct", files: ONE };
/// 4B.
pub const MIDDLE: Manifest =
    Manifest { name: "qwen3-vl-4b", repository: "Qwen/Qwen3-VL-4B-Instruct", files: TWO };
/// 8B.
pub const LARGE: Manifest =
    Manifest { name: "qwen3-vl-8b", repository: "Qwen/Qwen3-VL-8B-Instruct", files: FOUR };

/// All of them, best to begin with first.
pub const ALL: [Manifest; 3] = [SMALL, MIDDLE, LARGE];

/// A model's folder, opened and not read yet.
#[derive(Debug)]
pub struct Opened {
    /// Its weights.
    pub checkpoint: Checkpoint,
    /// The network that they are of.
    pub config: Config,
    /// How pictures are made ready for it.
    pub pictures: Preprocessing,
    /// How films are.
    pub films: VideoPreprocessing,
}

impl Opened {
    /// Opens the model in `folder`. Without files of its own, pictures and films are made ready as transformers has it.
    ///
    /// # Errors
    /// As `parallax_weights` has them.
    pub fn at(folder: &Path) -> Result<Self, Error> {
        let malformed = |file: &str, error: candle_core::Error| Error::Malformed {
            path: folder.join(file),
            why: error.to_string(),
        };
        let network: Config = config(folder, CONFIG)?;
        network.validate().map_err(|error| malformed("config.json", error))?;
        let pictures: Preprocessing = or_default(folder, "preprocessor", PICTURES)?;
        pictures.validate(&network).map_err(|error| malformed(PICTURES, error))?;
        let films: VideoPreprocessing = or_default(folder, "preprocessor of films", FILMS)?;
        films.validate().map_err(|error| malformed(FILMS, error))?;
        let checkpoint = Checkpoint::open(folder)?.recognised_by(recognise);
        Ok(Self { checkpoint, config: network, pictures, films })
    }

    /// Checks names and shapes of all tensors by their headers.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn check(&self, what: &str) -> Result<(), Error> {
        self.checkpoint.check(what, &self.inventory(what)?)
    }

    /// The names and shapes that the network of its configuration asks for.
    ///
    /// # Errors
    /// [`Error::Build`] with `what`.
    pub fn inventory(&self, what: &str) -> Result<Inventory, Error> {
        let failed = |source| Error::Build { what: what.to_owned(), source };
        Inventory::of(|vb| Network::new(&self.config, vb)).map_err(failed)
    }

    /// Reads the weights.
    ///
    /// # Errors
    /// As `parallax_weights` has them.
    pub fn build(&self, what: &str, dtype: DType, device: &Device) -> Result<Network, Error> {
        self.checkpoint.build(what, dtype, device, |vb| Network::new(&self.config, vb))
    }
}

fn or_default<T: serde::de::DeserializeOwned + Default>(
    folder: &Path,
    name: &'static str,
    file: &'static str,
) -> Result<T, Error> {
    let path = folder.join(file);
    if !path.is_file() {
        return Ok(T::default());
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|source| Error::Io { path: path.clone(), source })?;
    serde_json::from_str(&text)
        .map_err(|error| Error::Malformed { path, why: format!("{name} configuration: {error}") })
}

/// A few words for the network that these tensors make up, if it is one of the family.
pub fn recognise(entries: &BTreeMap<String, Entry>) -> Option<String> {
    let width = *entries.get("model.language_model.embed_tokens.weight")?.shape.last()?;
    entries.get("model.visual.pos_embed.weight")?;
    let size = match width {
        2048 => "2B".to_owned(),
        2560 => "4B".to_owned(),
        4096 => "8B".to_owned(),
        width => format!("width {width}"),
    };
    Some(format!("Qwen3-VL ({size})"))
}
