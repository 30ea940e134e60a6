//! The engine that a request names, with its weights.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use parallax_nn::device::{self, Choice, Device, free_bytes};
use parallax_stereo::{Engine, engine};
use parallax_stereocrafter::{
    Folders, Memory, NAME, Options, Pieces, Plan, Precision, Size, StereoCrafter, USUAL_BYTES,
};
use parallax_weights::fingerprint;

use super::options::MemoryPlan;
use crate::cli::{ConvertArgs, DeviceChoice, TypeChoice};

/// Digits of the weights' fingerprint that tell them from others.
const SHOWN: usize = 16;

/// An engine and what besides its name decides its results.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) engine: Arc<dyn Engine>,
    /// Weights and choices, in words; `None` for engines without any.
    pub(crate) identity: Option<String>,
}

/// The engine for pictures of `size`.
///
/// # Errors
/// Names the option or the file that stands in the way.
pub(crate) fn open(args: &ConvertArgs, size: (u32, u32)) -> Result<Model> {
    if args.engine != NAME {
        ensure!(!args.reference, "--reference is for the engine {NAME}, not {}", args.engine);
        ensure!(
            args.dtype == TypeChoice::Auto,
            "--dtype is for the engine {NAME}, not {}",
            args.engine
        );
        for (option, given) in [
            ("--memory-plan", args.memory.memory_plan.is_some()),
            ("--memory-limit", args.memory.memory_limit.is_some()),
        ] {
            ensure!(!given, "{option} is for the engine {NAME}, not {}", args.engine);
        }
        let engine = engine(&args.engine)
            .with_context(|| format!("engine {:?} is not built in", args.engine))?;
        return Ok(Model { engine, identity: None });
    }
    let weights = args.weights.as_deref().with_context(|| {
        format!(
            "the engine {NAME} needs --weights DIR (or WEIGHTS_DIR) with its three models in it"
        )
    })?;
    let shown = weights.display();
    ensure!(weights.is_dir(), "--weights {shown}: not a folder");
    let choice = match args.device {
        DeviceChoice::Cpu => Choice::Cpu,
        DeviceChoice::Cuda => Choice::Cuda,
    };
    let device = device::open(choice).with_context(|| format!("--device {choice}"))?;
    let dtype = args.dtype.dtype();
    let precision = Precision::on(&device, dtype).context("--dtype")?;
    let plan =
        if args.reference { None } else { Some(plan(args, weights, (&device, precision), size)?) };
    // The reference's pieces have their sizes.
    let cut = plan.as_ref().map_or_else(|| "its own pieces".to_owned(), Plan::pieces);
    let options = Options {
        reference: args.reference,
        steps: args.steps as usize,
        dtype,
        pieces: plan.map_or_else(Pieces::default, Pieces::Of),
        memory_limit: limit(args),
    };
    let engine = StereoCrafter::within(weights, &device, options)
        .with_context(|| format!("--weights {shown}"))?;
    let mode = if args.reference { "reference" } else { "default" };
    let weights = fingerprint(weights).with_context(|| format!("--weights {shown}"))?;
    let identity = format!(
        "{shown} ({}), {mode}, {} steps, {choice}, {}, {cut}",
        &weights[..SHOWN],
        args.steps,
        precision.denoiser.as_str()
    );
    Ok(Model { engine: Arc::new(engine), identity: Some(identity) })
}

/// Bytes that may be taken at most.
fn limit(args: &ConvertArgs) -> Option<u64> {
    args.memory.memory_limit.map(|mib| mib << 20)
}

/// How work on pictures of `size` is cut: once, for every segment and whoever resumes.
fn plan(
    args: &ConvertArgs,
    weights: &Path,
    (device, precision): (&Device, Precision),
    (width, height): (u32, u32),
) -> Result<Plan> {
    let size = Size::new(width as usize, height as usize);
    let memory = Memory::of(&Folders::within(weights), precision, size)
        .with_context(|| format!("--weights {}", weights.display()))?;
    let free = free_bytes(device).unwrap_or(u64::MAX).min(limit(args).unwrap_or(u64::MAX));
    let plan = match args.memory.memory_plan {
        Some(MemoryPlan::Auto) => memory.plan(free)?,
        chosen => {
            let bytes = match chosen {
                Some(MemoryPlan::Gib(gib)) => gib << 30,
                _ => USUAL_BYTES,
            };
            memory.plan(bytes).map_err(|short| anyhow!("--memory-plan: {}", short.of_a_plan()))?
        }
    };
    memory.residency(&plan, free)?;
    Ok(plan)
}
