//! The engine that a request names, with its weights.

use std::sync::Arc;

use anyhow::{Context, Error, Result, bail, ensure};
use parallax_catalogue::{Selected, by_name, takers};
use parallax_engine_spec::{Brought, Choice, Choices, Refused};
use parallax_stereo::Engine;

use crate::cli::ConvertArgs;

/// The flags of choices that only some engines take, in the order in which they are refused.
const FLAGS: [(Choice, &str); 4] = [
    (Choice::Reference, "--reference"),
    (Choice::Dtype, "--dtype"),
    (Choice::MemoryPlan, "--memory-plan"),
    (Choice::MemoryLimit, "--memory-limit"),
];

/// An engine and what besides its name decides its results.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) engine: Arc<dyn Engine>,
    /// Weights and choices, in words; `None` for engines without any.
    pub(crate) identity: Option<String>,
}

/// What the catalogue has under the names of the engine or its halves.
///
/// # Errors
/// When this program was built without it.
pub(crate) fn selected(args: &ConvertArgs) -> Result<Selected> {
    if let Some(pair) = args.pair.selected() {
        return Ok(pair);
    }
    let spec = by_name(&args.engine);
    spec.map(Selected::Engine).with_context(|| format!("engine {:?} is not built in", args.engine))
}

/// The engine for pictures of `size`; `depth` is what the user brings along.
///
/// # Errors
/// Names the option or the file that stands in the way.
pub(crate) fn open(args: &ConvertArgs, depth: Option<Brought>, size: (u32, u32)) -> Result<Model> {
    let selected = selected(args)?;
    let choices = choices(args, depth);
    only_its_own(&selected, &choices)?;
    there(&selected, &choices)?;
    let told = |refused| told(refused, args);
    let prepared = selected.select(&choices).and_then(|engine| engine.prepare(Some(size)));
    let prepared = prepared.map_err(told)?;
    let engine = prepared.open().map_err(told)?;
    let identity = prepared.identity().map_err(told)?;
    Ok(Model { engine, identity })
}

fn choices(args: &ConvertArgs, depth: Option<Brought>) -> Choices {
    Choices {
        weights: args.weights.clone(),
        reference: args.reference,
        steps: Some(args.steps),
        device: args.device.device(),
        dtype: args.dtype.dtype(),
        memory_plan: args.memory.memory_plan,
        memory_limit: args.memory.memory_limit.map(|mib| mib << 20),
        depth,
    }
}

/// Refuses what only other engines take.
fn only_its_own(selected: &Selected, choices: &Choices) -> Result<()> {
    for (choice, flag) in FLAGS {
        if choices.chosen(choice) && !selected.takes(choice) {
            bail!("{flag} is for the {}, not {}", engines(&takers(choice)), selected.name());
        }
    }
    Ok(())
}

/// `engine a`, or `engines a, b`.
fn engines(names: &[&str]) -> String {
    let word = if names.len() == 1 { "engine" } else { "engines" };
    format!("{word} {}", names.join(", "))
}

/// Whether there is a folder to look for the models in.
fn there(selected: &Selected, choices: &Choices) -> Result<()> {
    let count = selected.models().len();
    if count == 0 {
        return Ok(());
    }
    let folder = choices.weights.as_deref().with_context(|| {
        let models = match count {
            1 => "model".to_owned(),
            2 => "two models".to_owned(),
            3 => "three models".to_owned(),
            more => format!("{more} models"),
        };
        format!(
            "the engine {} needs --weights DIR (or WEIGHTS_DIR) with its {models} in it",
            selected.name()
        )
    })?;
    ensure!(folder.is_dir(), "--weights {}: not a folder", folder.display());
    Ok(())
}

/// Names the flag that is to blame.
fn told(refused: Refused, args: &ConvertArgs) -> Error {
    let flag = match refused.choice {
        None => return Error::new(refused),
        Some(Choice::Weights) => {
            let folder = args.weights.as_deref().unwrap_or_else(|| "".as_ref());
            format!("--weights {}", folder.display())
        }
        Some(Choice::Device) => format!("--device {}", args.device.device()),
        Some(Choice::Dtype) => "--dtype".to_owned(),
        Some(Choice::MemoryPlan) => "--memory-plan".to_owned(),
        Some(Choice::MemoryLimit) => "--memory-limit".to_owned(),
        Some(Choice::Reference) => "--reference".to_owned(),
        Some(Choice::Steps) => "--steps".to_owned(),
        Some(Choice::Depth) => "--depth".to_owned(),
    };
    Error::new(refused).context(flag)
}
