//! The stereo engine as a model of the pool.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use parallax_engine_spec::{
    self as spec, Choice, Choices, DeviceMemory, MemoryPlan, Prepared, Refused, Selection,
    WeightBytes, licence_warnings,
};
use parallax_ports::MetricsSink;
use parallax_serving::{Failure, Model, ModelBytes};
use parallax_stereo_service::{STEREO_MODEL, StereoModel};

use crate::config::{Device, Settings};

/// What the settings choose of the engine.
fn choices(settings: &Settings) -> Choices {
    Choices {
        weights: Some(settings.weights_dir.clone()),
        reference: settings.reference,
        steps: Some(settings.steps),
        device: match settings.device() {
            Device::Cuda => spec::Device::Cuda,
            Device::Cpu => spec::Device::Cpu,
        },
        dtype: None,
        memory_plan: Some(MemoryPlan::Gib(settings.memory_plan)),
        memory_limit: settings.memory_limit_mib.map(|mib| mib << 20),
        depth: None,
        model: settings.depth_model.clone(),
        depth_size: settings.depth_size,
        depth_curve: settings.depth_curve,
        depth_every: settings.depth_every,
        depth_mode: settings.depth_mode,
    }
}

/// The engine that the settings name. Nothing is opened yet.
///
/// # Errors
/// Names the variable.
pub(crate) fn select(settings: &Settings) -> Result<Arc<dyn Selection>> {
    (settings.engine.0.select)(&choices(settings)).map_err(|refused| told(refused, settings))
}

/// How the engine is loaded, and the bytes of the device's memory that all models may take. The
/// device is opened here, so that a missing GPU ends the start.
///
/// # Errors
/// Names the variable.
pub(crate) fn open(
    settings: &Settings,
    engine: &dyn Selection,
    metrics: &Arc<dyn MetricsSink>,
) -> Result<(Model, u64)> {
    let prepared: Arc<dyn Prepared> =
        engine.prepare(None).map_err(|refused| told(refused, settings))?.into();
    for warning in licence_warnings(&prepared.models()) {
        tracing::warn!("{warning}");
    }
    if let Some(memory) = prepared.memory() {
        watch_memory(memory, metrics.clone())?;
    }
    let room = prepared.room().unwrap_or(u64::MAX);
    let sized = Arc::clone(&prepared);
    // Of weights that are not there, loading says more.
    let bytes = move || {
        let WeightBytes { least, whole } = sized.weight_bytes().unwrap_or_default();
        ModelBytes { least, whole }
    };
    let load = move || {
        let engine = prepared.open().map_err(|refused| Failure::internal(chain(&refused)))?;
        Ok(StereoModel(engine))
    };
    Ok((Model::measured(STEREO_MODEL, bytes, load), room))
}

/// Names the variable that is to blame.
fn told(refused: Refused, settings: &Settings) -> Error {
    let variable = match refused.choice {
        Some(Choice::Device) => format!(
            "SERVER_DEVICE={}; cpu is slow and has to be asked for",
            settings.device().as_str()
        ),
        Some(Choice::Weights) => format!("WEIGHTS_DIR {}", settings.weights_dir.display()),
        Some(Choice::MemoryPlan) => format!("SERVER_MEMORY_PLAN={}", settings.memory_plan),
        Some(Choice::Model) => "SERVER_DEPTH_MODEL".to_owned(),
        Some(Choice::DepthSize) => "SERVER_DEPTH_SIZE".to_owned(),
        Some(Choice::DepthCurve) => "SERVER_DEPTH_CURVE".to_owned(),
        Some(Choice::DepthEvery) => "SERVER_DEPTH_EVERY".to_owned(),
        Some(Choice::DepthMode) => "SERVER_DEPTH_MODE".to_owned(),
        Some(_) | None => "SERVER_ENGINE".to_owned(),
    };
    Error::new(refused).context(variable)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Between two looks at a device's memory.
const LOOK: Duration = Duration::from_millis(100);

/// Shows how much of a GPU's memory is taken, and the most that was seen, as long as the process
/// lives. Of the processor there is nothing to show: `memory_stats` has the process's memory.
fn watch_memory(memory: DeviceMemory, metrics: Arc<dyn MetricsSink>) -> Result<()> {
    let watch = move || {
        let mut most = 0;
        // Ends when the driver does not answer any more.
        while let Some(taken) = memory() {
            most = most.max(taken);
            metrics.gauge(crate::metrics::GPU_MEMORY, &[], taken as f64);
            metrics.gauge(crate::metrics::GPU_MEMORY_HIGH_WATER, &[], most as f64);
            std::thread::sleep(LOOK);
        }
    };
    std::thread::Builder::new()
        .name("gpu-memory".to_owned())
        .spawn(watch)
        .map(drop)
        .context("start the thread that looks at the GPU's memory")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use parallax_stereo::{Fill, Rendering, Run, Staging};

    use super::*;
    use crate::config::Cli;

    fn selected(arguments: &[&str]) -> Arc<dyn Selection> {
        let arguments = ["inference-server"].iter().chain(arguments);
        select(&Cli::try_parse_from(arguments).unwrap().settings).unwrap()
    }

    #[test]
    fn an_engine_is_known_before_it_is_loaded() {
        let plain = Run::default();
        let auto = Staging { auto_convergence: true, ..Staging::default() };
        let auto = Run { staging: auto, ..Run::default() };
        let filled = Rendering { fill: Fill::Temporal, ..Rendering::default() };
        let filled = Run { rendering: filled, ..Run::default() };
        for (arguments, taken, back) in [
            (&["--engine", "copy"][..], [true; 3], [0, 0, 0]),
            (&["--engine", "draft"], [true; 3], [5, 30, 30]),
            (&["--engine", "stereocrafter"], [true, true, false], [10, 30, 30]),
            (&["--engine", "stereocrafter", "--reference"], [true, false, false], [0, 0, 0]),
        ] {
            let engine = selected(arguments);
            let runs = [&plain, &auto, &filled];
            assert_eq!(runs.map(|run| engine.check(run).is_ok()), taken, "{arguments:?}");
            assert_eq!(runs.map(|run| engine.reach(run).back.as_secs()), back, "{arguments:?}");
        }
    }
}
