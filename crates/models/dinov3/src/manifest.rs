//! The models of the family: where they are published, and how their folders look.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use parallax_weights::{Checkpoint, DType, Entry, Error, Inventory, Manifest, Part, config};

use crate::config::Config;
use crate::network::Network;
use crate::preprocess::Preprocessing;

const CONFIG: Part = Part { name: "network", places: &[("", "config.json")] };
const PREPROCESSING: &str = "preprocessor_config.json";
const PREPROCESSOR: Part = Part { name: "preprocessor", places: &[("", PREPROCESSING)] };

/// What transformers' classes open, of weights in one file.
const WHOLE: &[&[&str]] = &[&["config.json"], &[PREPROCESSING], &["model.safetensors"]];
/// The same, of weights in parts.
const PARTS: &[&[&str]] = &[
    &["config.json"],
    &[PREPROCESSING],
    &["model.safetensors.index.json"],
    &["model-00001-of-00006.safetensors"],
    &["model-00002-of-00006.safetensors"],
    &["model-00003-of-00006.safetensors"],
    &["model-00004-of-00006.safetensors"],
    &["model-00005-of-00006.safetensors"],
    &["model-00006-of-00006.safetensors"],
];

const fn of(name: &'static str, repository: &'static str) -> Manifest {
    Manifest { name, repository, files: WHOLE }
}

/// ViT-S: the one to begin with.
pub const SMALL: Manifest = of("dinov3-vits16", "facebook/dinov3-vits16-pretrain-lvd1689m");
/// ViT-S+.
pub const SMALL_PLUS: Manifest =
    of("dinov3-vits16plus", "facebook/dinov3-vits16plus-pretrain-lvd1689m");
/// ViT-B.
pub const BASE: Manifest = of("dinov3-vitb16", "facebook/dinov3-vitb16-pretrain-lvd1689m");
/// ViT-L.
pub const LARGE: Manifest = of("dinov3-vitl16", "facebook/dinov3-vitl16-pretrain-lvd1689m");
/// ViT-H+.
pub const HUGE_PLUS: Manifest =
    of("dinov3-vith16plus", "facebook/dinov3-vith16plus-pretrain-lvd1689m");
/// ViT-7B.
pub const SEVEN_BILLION: Manifest =
    Manifest { files: PARTS, ..of("dinov3-vit7b16", "facebook/dinov3-vit7b16-pretrain-lvd1689m") };

/// All of them, best to begin with first.
pub const ALL: [Manifest; 6] = [SMALL, SMALL_PLUS, BASE, LARGE, HUGE_PLUS, SEVEN_BILLION];

/// A model's folder, opened and not read yet.
#[derive(Debug)]
pub struct Opened {
    /// Its weights.
    pub checkpoint: Checkpoint,
    /// The network that they are of.
    pub config: Config,
    /// How pictures are made ready for it.
    pub preprocessing: Preprocessing,
}

impl Opened {
    /// Opens the model in `folder`. Without a `preprocessor_config.json` transformers' own is taken.
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
        let preprocessing = match folder.join(PREPROCESSING).is_file() {
            true => config(folder, PREPROCESSOR)?,
            false => Preprocessing::default(),
        };
        preprocessing.validate().map_err(|error| malformed(PREPROCESSING, error))?;
        let checkpoint = Checkpoint::open(folder)?.recognised_by(recognise);
        Ok(Self { checkpoint, config: network, preprocessing })
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

/// A few words for the network that these tensors make up, if it is one of the family.
pub fn recognise(entries: &BTreeMap<String, Entry>) -> Option<String> {
    let width = *entries.get("embeddings.register_tokens")?.shape.last()?;
    entries.get("layer.0.attention.q_proj.weight")?;
    let gated = entries.contains_key("layer.0.mlp.gate_proj.weight");
    let size = match (width, gated) {
        (384, false) => "ViT-S".to_owned(),
        (384, true) => "ViT-S+".to_owned(),
        (768, false) => "ViT-B".to_owned(),
        (1024, false) => "ViT-L".to_owned(),
        (1280, true) => "ViT-H+".to_owned(),
        (4096, true) => "ViT-7B".to_owned(),
        (width, _) => format!("width {width}"),
    };
    Some(format!("DINOv3 ({size})"))
}
