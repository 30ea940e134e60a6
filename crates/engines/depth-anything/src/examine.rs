//! Which model is what, and what is wrong with it: the engines' part of `parallax weights check`.

use std::path::Path;

use candle_nn::VarBuilder;
use parallax_dpt::manifest::Model;
use parallax_dpt::{DepthNetwork, Positions};
use parallax_engine_spec::examine::{largest, one_network};
use parallax_engine_spec::{ModelReport, PartReport, Published, StageMemory};
use parallax_weights::{Checkpoint, Error, Inventory};

use crate::family::Family;

const FAMILIES: [Family; 2] = [Family::Single, Family::Video];

fn models() -> impl Iterator<Item = (&'static Published, Model)> {
    FAMILIES.into_iter().flat_map(Family::models)
}

/// Which model a folder of its own holds: by its name, where several look alike, or else by its files.
pub(crate) fn recognise(dir: &Path) -> Option<&'static Published> {
    let there = |(_, model): &(&Published, Model)| {
        model.weights_file(dir).is_file() && model.open(dir, Positions::ByFactor).is_ok()
    };
    let named = |(published, _): &(&'static Published, Model)| {
        dir.file_name().is_some_and(|name| name == published.folder())
    };
    let found = models().filter(named).find(there).or_else(|| models().find(there));
    found.map(|(published, _)| published)
}

/// The parts of a model: its network.
pub(crate) fn model(published: &Published, folder: &Path, all: bool) -> Vec<PartReport> {
    let Some((_, model)) = models().find(|(known, _)| known.name == published.name) else {
        return Vec::new();
    };
    one_network(open(&model, folder), all)
}

fn open(model: &Model, folder: &Path) -> Result<(Checkpoint, Inventory), Error> {
    let (checkpoint, config) = model.open(folder, Positions::ByFactor)?;
    let build = |vb: VarBuilder| DepthNetwork::new(&config, model.layout, vb);
    let what = model.manifest.name.to_owned();
    let inventory = Inventory::of(build).map_err(|source| Error::Build { what, source })?;
    Ok((checkpoint, inventory))
}

/// Weights that are in memory together.
pub(crate) fn stages(models: &[ModelReport]) -> Vec<StageMemory> {
    largest("depth", models)
}
