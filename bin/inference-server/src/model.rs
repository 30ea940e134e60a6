//! The stereo engine as a model of the pool.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use parallax_nn::device::{self, Device};
use parallax_ports::MetricsSink;
use parallax_serving::{Failure, Model};
use parallax_stereo::{Error, Reach, Run};
use parallax_stereo_service::{EveryRun, Outline, STEREO_MODEL, StereoModel};
use parallax_stereocrafter::{NAME, Options, Pieces, StereoCrafter};

use crate::config::{Device as DeviceName, EngineName, Settings};

/// The engine's name and how it is loaded. The device is opened here, so that a missing GPU ends
/// the start.
///
/// # Errors
/// Names the variable.
pub(crate) fn open(
    settings: &Settings,
    metrics: &Arc<dyn MetricsSink>,
) -> Result<(&'static str, Model)> {
    let name = match settings.engine {
        EngineName::Draft => "draft",
        EngineName::Copy => "copy",
        EngineName::Stereocrafter => return stereocrafter(settings, metrics),
    };
    let engine = parallax_stereo::engine(name).context("SERVER_ENGINE: it is not built in")?;
    // Without weights there is nothing to count.
    Ok((name, Model::new(STEREO_MODEL, 0, move || Ok(StereoModel(engine.clone())))))
}

/// What is known of the engine before it is loaded.
///
/// # Errors
/// Names the variable.
pub(crate) fn outline(settings: &Settings) -> Result<Arc<dyn Outline>> {
    let name = match settings.engine {
        EngineName::Draft => "draft",
        EngineName::Copy => "copy",
        EngineName::Stereocrafter => return Ok(Arc::new(Diffusion(options(settings)))),
    };
    let engine = parallax_stereo::engine(name).context("SERVER_ENGINE: it is not built in")?;
    Ok(Arc::new(EveryRun(engine)))
}

/// The engine `stereocrafter`, from its options alone.
#[derive(Debug)]
struct Diffusion(Options);

impl Outline for Diffusion {
    fn reach(&self, run: &Run) -> Reach {
        self.0.reach(run)
    }

    fn check(&self, run: &Run) -> Result<(), Error> {
        self.0.check(run)
    }
}

fn options(settings: &Settings) -> Options {
    Options {
        reference: settings.reference,
        steps: settings.steps as usize,
        pieces: Pieces::For(settings.memory_plan << 30),
        memory_limit: settings.memory_limit_mib.map(|mib| mib << 20),
        dtype: None,
    }
}

fn stereocrafter(
    settings: &Settings,
    metrics: &Arc<dyn MetricsSink>,
) -> Result<(&'static str, Model)> {
    let choice = match settings.device() {
        DeviceName::Cuda => device::Choice::Cuda,
        DeviceName::Cpu => device::Choice::Cpu,
    };
    let device = device::open(choice).with_context(|| {
        format!("SERVER_DEVICE={}; cpu is slow and has to be asked for", settings.device().as_str())
    })?;
    watch_memory(&device, metrics.clone())?;
    let options = options(settings);
    let folder = settings.weights_dir.clone();
    let measured = folder.clone();
    let load = move || {
        let engine = StereoCrafter::within(&folder, &device, options.clone()).map_err(|error| {
            let mut detail = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                detail.push_str(&format!(": {error}"));
                cause = error.source();
            }
            Failure::internal(detail)
        })?;
        Ok(StereoModel(Arc::new(engine)))
    };
    Ok((NAME, Model::measured(STEREO_MODEL, move || bytes(&measured), load)))
}

/// Between two looks at a device's memory.
const LOOK: Duration = Duration::from_millis(100);

/// Shows how much of a GPU's memory is taken, and the most that was seen, as long as the process
/// lives. Of the processor there is nothing to show: `memory_stats` has the process's memory.
fn watch_memory(device: &Device, metrics: Arc<dyn MetricsSink>) -> Result<()> {
    if device::memory(device).is_none() {
        return Ok(());
    }
    let device = device.clone();
    let watch = move || {
        let mut most = 0;
        // Ends when the driver does not answer any more.
        while let Some((taken, _)) = device::memory(&device) {
            most = most.max(taken);
            metrics.gauge("parallax_serving_gpu_memory_bytes", &[], taken as f64);
            metrics.gauge("parallax_serving_gpu_memory_high_water_bytes", &[], most as f64);
            std::thread::sleep(LOOK);
        }
    };
    std::thread::Builder::new()
        .name("gpu-memory".to_owned())
        .spawn(watch)
        .map(drop)
        .context("start the thread that looks at the GPU's memory")
}

/// Bytes of the weights below a folder: the most that they take on the device.
fn bytes(folder: &Path) -> u64 {
    let Ok(entries) = folder.read_dir() else { return 0 };
    let size = |entry: std::fs::DirEntry| {
        let path = entry.path();
        // Follows links, as caches of models are made of them.
        match path.metadata() {
            Ok(meta) if meta.is_dir() => bytes(&path),
            Ok(meta) if path.extension().is_some_and(|e| e == "safetensors") => meta.len(),
            _ => 0,
        }
    };
    entries.flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use parallax_stereo::{Fill, Rendering, Staging};

    use super::*;
    use crate::config::Cli;

    fn outlined(arguments: &[&str]) -> Arc<dyn Outline> {
        let arguments = ["inference-server"].iter().chain(arguments);
        outline(&Cli::try_parse_from(arguments).unwrap().settings).unwrap()
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
            let outline = outlined(arguments);
            let runs = [&plain, &auto, &filled];
            assert_eq!(runs.map(|run| outline.check(run).is_ok()), taken, "{arguments:?}");
            assert_eq!(runs.map(|run| outline.reach(run).back.as_secs()), back, "{arguments:?}");
        }
    }
}
