//! Looking at the parts of a model, whatever its family: every tensor that is not as it should be.
//!
//! Only headers and configurations are read, unless values are asked for, so it takes no time and no memory.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::path::Path;

use parallax_weights::{Checkpoint, DType, Error, Inventory, Part, config};

use crate::{ModelReport, Network, PartReport, StageMemory};

/// A part that is a configuration alone.
pub fn settings<T: serde::de::DeserializeOwned>(
    name: &'static str,
    folder: &Path,
    part: Part,
) -> PartReport {
    let problems = config::<T>(folder, part).err().map(|error| chain(&error));
    PartReport { name, network: None, problems: problems.into_iter().collect() }
}

/// A network: `inventory` lists what its configuration makes of it, `open` finds its weights.
pub fn network<T: serde::de::DeserializeOwned, E: StdError>(
    name: &'static str,
    folder: &Path,
    part: Part,
    open: fn(&Path, Part) -> Result<Checkpoint, Error>,
    inventory: impl FnOnce(T) -> Result<Inventory, E>,
) -> PartReport {
    let mut problems = Vec::new();
    let mut trouble = |error: &dyn StdError| problems.push(chain(error));
    let inventory = match config::<T>(folder, part) {
        Ok(config) => inventory(config).map_err(|error| trouble(&error)).ok(),
        Err(error) => {
            trouble(&error);
            None
        }
    };
    let network = match open(folder, part) {
        Ok(checkpoint) => {
            if let Some(inventory) = &inventory {
                problems.extend(differences(&checkpoint, name, inventory));
            }
            Some(describe(&checkpoint))
        }
        Err(error) => {
            let text = chain(&error);
            if !problems.contains(&text) {
                problems.push(text);
            }
            None
        }
    };
    PartReport { name, network, problems }
}

/// A network whose configuration lies in its weights: `inventory` lists what `checkpoint` should hold.
fn self_described(
    name: &'static str,
    opened: Result<(Checkpoint, Inventory), Error>,
) -> PartReport {
    match opened {
        Ok((checkpoint, inventory)) => PartReport {
            name,
            network: Some(describe(&checkpoint)),
            problems: differences(&checkpoint, name, &inventory),
        },
        Err(error) => PartReport { name, network: None, problems: vec![chain(&error)] },
    }
}

/// A model that is one network, whose configuration lies in its weights. With `all`, every value is read.
pub fn one_network(opened: Result<(Checkpoint, Inventory), Error>, all: bool) -> Vec<PartReport> {
    let read = opened
        .as_ref()
        .ok()
        .filter(|_| all)
        .map(|(weights, _)| weights.check_values(|_| DType::F32));
    let mut report = self_described("network", opened);
    report.problems.extend(read.and_then(Result::err).map(|error| error.to_string()));
    vec![report]
}

/// What is in memory at once where one network is all there is: the largest of these models'.
pub fn largest(name: &'static str, models: &[ModelReport]) -> Vec<StageMemory> {
    let networks = models.iter().flat_map(|model| &model.parts).filter_map(|p| p.network.as_ref());
    let largest = networks.max_by_key(|network| network.f32_bytes);
    let stage = largest.map(|network| StageMemory {
        name,
        f32_bytes: network.f32_bytes,
        f16_bytes: network.f16_bytes,
    });
    stage.into_iter().collect()
}

/// Reads every value of a network and adds what is wrong with them to its report.
pub fn values(
    report: &mut PartReport,
    folder: &Path,
    part: Part,
    open: fn(&Path, Part) -> Result<Checkpoint, Error>,
) {
    let read = open(folder, part).and_then(|weights| weights.check_values(|_| DType::F32));
    report.problems.extend(read.err().map(|error| chain(&error)));
}

/// Every tensor that is missing, too many or of another shape.
fn differences(checkpoint: &Checkpoint, name: &str, inventory: &Inventory) -> Vec<String> {
    let mismatch = match checkpoint.check(name, inventory) {
        Ok(()) => return Vec::new(),
        Err(Error::Mismatch(mismatch)) => mismatch,
        Err(error) => return vec![chain(&error)],
    };
    let shown = |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    let mut problems = vec![format!(
        "{}: expected the {}, found {}",
        mismatch.path.display(),
        mismatch.expected,
        mismatch.found
    )];
    problems.extend(mismatch.missing.iter().map(|name| format!("missing: {name}")));
    problems.extend(mismatch.extra.iter().map(|name| format!("not of this network: {name}")));
    problems.extend(mismatch.misshapen.iter().map(|(name, found, expected)| {
        format!("of another shape: {name} is {} instead of {}", shown(found), shown(expected))
    }));
    problems
}

fn describe(checkpoint: &Checkpoint) -> Network {
    let mut types = BTreeMap::new();
    for entry in checkpoint.entries().values() {
        *types.entry(entry.dtype.as_str().to_owned()).or_insert(0) += 1;
    }
    let plan = checkpoint.plan(DType::F32);
    Network {
        found: checkpoint.describe(),
        files: checkpoint.paths().to_vec(),
        tensors: plan.tensors,
        parameters: plan.parameters,
        types,
        stored_bytes: plan.stored_bytes,
        f32_bytes: plan.resident_bytes,
        f16_bytes: checkpoint.plan(DType::F16).resident_bytes,
    }
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
