//! The engine that a request names, with its weights.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use parallax_catalogue::{Selected, by_name, takers};
use parallax_engine_spec::{Brought, Choice, Choices, licence_warnings};
use parallax_stereo::Engine;

use super::network::{AUTOMATIC, chosen, weights_folder};
use super::refused::{told, weights_are_named};
use crate::cli::ConvertArgs;

/// The flags of choices that only some engines take, in the order in which they are refused.
const FLAGS: [(Choice, &str); 9] = [
    (Choice::Reference, "--reference"),
    (Choice::Dtype, "--dtype"),
    (Choice::MemoryPlan, "--memory-plan"),
    (Choice::MemoryLimit, "--memory-limit"),
    (Choice::Model, "--depth-model"),
    (Choice::DepthSize, "--depth-size"),
    (Choice::DepthCurve, "--depth-curve"),
    (Choice::DepthEvery, "--depth-every"),
    (Choice::DepthMode, "--depth-mode"),
];

/// An engine and what besides its name decides its results.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) engine: Arc<dyn Engine>,
    /// Weights and choices, in words; `None` for engines without any.
    pub(crate) identity: Option<String>,
    /// What the licences of its weights forbid, or allow under conditions only.
    pub(crate) licences: Vec<String>,
}

/// What the catalogue has under the names of the engine or its halves. What was chosen for the user is
/// `said`.
///
/// # Errors
/// When this program was built without it.
pub(crate) fn selected(args: &ConvertArgs, said: &mut Vec<String>) -> Result<Selected> {
    if let Some(pair) = args.pair.selected() {
        return Ok(pair);
    }
    if args.engine == AUTOMATIC {
        let (choice, line) = {
            let named = args.network.depth_model.as_deref();
            chosen(args.weights.as_ref(), args.device.device(), named)
        };
        said.push(line);
        return Ok(Selected::Engine(choice.engine));
    }
    let spec = by_name(&args.engine);
    spec.map(Selected::Engine).with_context(|| format!("engine {:?} is not built in", args.engine))
}

/// The engine for pictures of `size`; `depth` is what the user brings along.
///
/// # Errors
/// Names the option or the file that stands in the way.
pub(crate) fn open(
    args: &ConvertArgs,
    selected: &Selected,
    depth: Option<Brought>,
    size: (u32, u32),
) -> Result<Model> {
    let choices = choices(args, depth);
    only_its_own(selected, &choices)?;
    let weights = choices.weights.as_deref();
    let one = selected.takes(Choice::Model);
    weights_are_named(&selected.name(), &selected.models(), one, weights)?;
    let told = |refused| told(refused, weights, args.device.device());
    let prepared = selected.select(&choices).and_then(|engine| engine.prepare(Some(size)));
    let prepared = prepared.map_err(told)?;
    let engine = prepared.open().map_err(told)?;
    let identity = prepared.identity().map_err(told)?;
    Ok(Model { engine, identity, licences: licence_warnings(&prepared.models()) })
}

fn choices(args: &ConvertArgs, depth: Option<Brought>) -> Choices {
    args.network.among(Choices {
        weights: weights_folder(args.weights.as_ref()),
        reference: args.reference,
        steps: Some(args.steps),
        device: args.device.device(),
        dtype: args.dtype.dtype(),
        memory_plan: args.memory.memory_plan,
        memory_limit: args.memory.memory_limit.map(|mib| mib << 20),
        depth,
        ..Choices::default()
    })
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
