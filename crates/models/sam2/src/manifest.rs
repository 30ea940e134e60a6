//! The models of the family: where they are published, and how their folders look.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use parallax_weights::{Checkpoint, Entry, Error, Inventory, Manifest, Part, config};

use crate::config::Config;
use crate::layout::Layout;
use crate::network::Sam2;
use crate::settings::Settings;

/// What says which network a folder of transformers holds.
const CONFIG: &str = "config.json";
const SETTINGS: Part = Part { name: "network", places: &[("", CONFIG)] };
/// The key of the authors' files under which all tensors are.
const KEY: &str = "model";

/// What errors call the network.
const WHAT: &str = "SAM 2.1";

const fn published(
    name: &'static str,
    repository: &'static str,
    files: &'static [&'static [&'static str]],
) -> Manifest {
    Manifest { name, repository, files }
}

/// SAM 2.1 tiny: the one to begin with.
pub const TINY: Manifest = published(
    "sam2.1-tiny",
    "facebook/sam2.1-hiera-tiny",
    &[&["config.json"], &["model.safetensors", "sam2.1_hiera_tiny.pt"]],
);
/// SAM 2.1 small.
pub const SMALL: Manifest = published(
    "sam2.1-small",
    "facebook/sam2.1-hiera-small",
    &[&["config.json"], &["model.safetensors", "sam2.1_hiera_small.pt"]],
);
/// SAM 2.1 base+.
pub const BASE_PLUS: Manifest = published(
    "sam2.1-base-plus",
    "facebook/sam2.1-hiera-base-plus",
    &[&["config.json"], &["model.safetensors", "sam2.1_hiera_base_plus.pt"]],
);
/// SAM 2.1 large.
pub const LARGE: Manifest = published(
    "sam2.1-large",
    "facebook/sam2.1-hiera-large",
    &[&["config.json"], &["model.safetensors", "sam2.1_hiera_large.pt"]],
);

/// All four, smallest first.
pub static ALL: [Manifest; 4] = [TINY, SMALL, BASE_PLUS, LARGE];

/// A folder with one of the models, opened and not yet read.
#[derive(Debug)]
pub struct Folder {
    /// Its weights.
    pub checkpoint: Checkpoint,
    /// The network that they are of.
    pub config: Config,
    /// Their names.
    pub layout: Layout,
}

/// The files that may hold the weights, best first.
fn names() -> impl Iterator<Item = &'static str> {
    let all = ALL.iter().filter_map(|model| model.files.last());
    let pickled = all.filter_map(|paths| paths.last()).copied();
    std::iter::once("model.safetensors").chain(pickled)
}

/// The file with the weights of the model in `folder`, if there is one that is known.
pub fn weights_file(folder: &Path) -> Option<PathBuf> {
    names().map(|name| folder.join(name)).find(|path| path.is_file())
}

impl Folder {
    /// Opens the model in `folder`: transformers' `config.json` and `model.safetensors`, or the authors' `.pt`,
    /// whose tensors say by themselves which of the four it is.
    ///
    /// # Errors
    /// As `parallax_weights` has them.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = weights_file(folder).ok_or_else(|| Error::NoWeights {
            dir: folder.to_owned(),
            tried: names().map(str::to_owned).collect(),
        })?;
        let pickled = path.extension().is_some_and(|extension| extension == "pt");
        let checkpoint = if pickled {
            Checkpoint::open_within(&path, KEY)
        } else {
            Checkpoint::open_file(&path)
        }?
        .recognised_by(recognise);
        let entries = checkpoint.entries();
        let layout = Layout::of(entries);
        let malformed = |why: String| Error::Malformed { path: path.clone(), why };
        let config = if folder.join(CONFIG).is_file() {
            let settings = config::<Settings>(folder, SETTINGS)?.network();
            settings.map_err(|error| malformed(format!("{CONFIG} beside it: {error}")))?
        } else {
            sizes(entries).and_then(|(width, blocks)| Config::of_sizes(width, blocks)).ok_or_else(
                || {
                    let found = checkpoint.describe();
                    malformed(format!("expected is a network of SAM 2.1, found {found}"))
                },
            )?
        };
        Ok(Self { checkpoint, config, layout })
    }

    /// The names and shapes that the network reads.
    ///
    /// # Errors
    /// When the configuration fits nothing.
    pub fn inventory(&self) -> Result<Inventory, Error> {
        let build = |vb: candle_nn::VarBuilder| Sam2::new(&self.config, self.layout, vb);
        Inventory::of(build).map_err(|source| Error::Build { what: WHAT.to_owned(), source })
    }

    /// Which of the published models it is, by the sizes of its network.
    pub fn published(&self) -> Option<&'static Manifest> {
        let configs = [Config::tiny(), Config::small(), Config::base_plus(), Config::large()];
        let place = configs.iter().position(|config| *config == self.config)?;
        ALL.get(place)
    }

    /// Reads the network, its numbers as `dtype` onto `device`.
    ///
    /// # Errors
    /// As `parallax_weights` has them.
    pub fn build(&self, dtype: DType, device: &Device) -> Result<Sam2, Error> {
        let build = |vb: candle_nn::VarBuilder| Sam2::new(&self.config, self.layout, vb);
        self.checkpoint.build(WHAT, dtype, device, build)
    }
}

/// The first stage's width, and the number of blocks, where both can be told.
fn sizes(entries: &BTreeMap<String, Entry>) -> Option<(usize, usize)> {
    ["vision_encoder.backbone", "image_encoder.trunk"].into_iter().find_map(|root| {
        let width = entries.get(&format!("{root}.pos_embed"))?.shape.get(1).copied()?;
        let there = |i: &usize| entries.contains_key(&format!("{root}.blocks.{i}.attn.qkv.bias"));
        Some((width, (0..).take_while(there).count()))
    })
}

/// A few words for the network that these tensors make up, if it is one of the family.
pub fn recognise(entries: &BTreeMap<String, Entry>) -> Option<String> {
    let (width, blocks) = sizes(entries)?;
    let authors = if Layout::of(entries).original { " by its authors' names" } else { "" };
    let published = [
        ("tiny", Config::tiny()),
        ("small", Config::small()),
        ("base+", Config::base_plus()),
        ("large", Config::large()),
    ];
    let wanted = Config::of_sizes(width, blocks);
    let size = published.into_iter().find(|(_, config)| wanted.as_ref() == Some(config));
    Some(match size {
        Some((size, _)) => format!("SAM 2.1 {size}{authors}"),
        None => format!("SAM 2 of {blocks} blocks, {width} wide at first{authors}"),
    })
}
