//! Models that no engine of conversion reads: those that look at pictures.

use std::path::Path;

use parallax_dinov3::manifest::{self, Opened};
use parallax_engine_spec::examine::{largest, one_network};
use parallax_engine_spec::{Commercial, Licence, Needs, PartReport, Published, WeightsSpec};
use parallax_qwen3_vl::manifest as qwen3_vl;
use parallax_weights::{Checkpoint, Error, Inventory};

const MB: u64 = 1_000_000;

/// Commercial use has conditions, and the licence is accepted on the model's page; access is sometimes refused.
const LICENCE: Licence =
    Licence { name: "DINOv3 License", commercial: Commercial::Conditional, gated: true };

const fn of(manifest: parallax_weights::Manifest, title: &'static str, bytes: u64) -> Published {
    Published::of(manifest, title, bytes, LICENCE)
}

/// The models, best to begin with first.
static MODELS: [Published; 6] = [
    of(manifest::SMALL, "DINOv3 ViT-S", 86 * MB),
    of(manifest::SMALL_PLUS, "DINOv3 ViT-S+", 115 * MB),
    of(manifest::BASE, "DINOv3 ViT-B", 343 * MB),
    of(manifest::LARGE, "DINOv3 ViT-L", 1213 * MB),
    of(manifest::HUGE_PLUS, "DINOv3 ViT-H+", 3362 * MB),
    of(manifest::SEVEN_BILLION, "DINOv3 ViT-7B", 26_864 * MB),
];

/// The DINOv3 models.
pub(crate) const DINOV3: WeightsSpec = WeightsSpec {
    models: &MODELS,
    needs: Needs::One,
    recognise,
    examine,
    stages: |models| largest("perception", models),
    demands: |_, _, _| Ok(Vec::new()),
};

/// Which of the models a folder holds: by its name, or else the first of its size.
fn recognise(dir: &Path) -> Option<&'static Published> {
    let opened = Opened::at(dir).ok()?;
    let named = MODELS.iter().find(|m| dir.file_name().is_some_and(|name| name == m.folder()));
    let size = opened.checkpoint.describe();
    let titled = |m: &&Published| size == format!("DINOv3 ({})", m.title.replace("DINOv3 ", ""));
    named.or_else(|| MODELS.iter().find(titled)).or_else(|| MODELS.first())
}

fn examine(_: &Published, folder: &Path, all: bool) -> Vec<PartReport> {
    let opened = || -> Result<(Checkpoint, Inventory), Error> {
        let opened = Opened::at(folder)?;
        let inventory = opened.inventory("network")?;
        Ok((opened.checkpoint, inventory))
    };
    one_network(opened(), all)
}

/// For any use.
const APACHE: Licence =
    Licence { name: "Apache-2.0", commercial: Commercial::Allowed, gated: false };

/// The models of words, best to begin with first.
static OF_WORDS: [Published; 3] = [
    Published::of(qwen3_vl::SMALL, "Qwen3-VL 2B", 4267 * MB, APACHE),
    Published::of(qwen3_vl::MIDDLE, "Qwen3-VL 4B", 8887 * MB, APACHE),
    Published::of(qwen3_vl::LARGE, "Qwen3-VL 8B", 17_546 * MB, APACHE),
];

/// The models that describe pictures and films in words.
pub(crate) const CAPTIONS: WeightsSpec = WeightsSpec {
    models: &OF_WORDS,
    needs: Needs::One,
    recognise: |dir| {
        let opened = qwen3_vl::Opened::at(dir).ok()?;
        let named =
            OF_WORDS.iter().find(|m| dir.file_name().is_some_and(|name| name == m.folder()));
        let size = opened.checkpoint.describe();
        let titled =
            |m: &&Published| size == format!("Qwen3-VL ({})", m.title.replace("Qwen3-VL ", ""));
        named.or_else(|| OF_WORDS.iter().find(titled)).or_else(|| OF_WORDS.first())
    },
    examine: |_, folder, all| {
        let opened = || -> Result<(Checkpoint, Inventory), Error> {
            let opened = qwen3_vl::Opened::at(folder)?;
            let inventory = opened.inventory("network")?;
            Ok((opened.checkpoint, inventory))
        };
        one_network(opened(), all)
    },
    stages: |models| largest("captions", models),
    demands: |_, _, _| Ok(Vec::new()),
};
