//! The stereo engine as a model of the pool.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use parallax_ports::MetricsSink;
use parallax_serving::operations::{STEREO_MODEL, StereoModel};
use parallax_serving::{Failure, Model};
use parallax_stereo::{Reach, Run};
use parallax_stereocrafter::{NAME, Options, StereoCrafter};
use parallax_svd::device::{self, Device};

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

/// How far the engine looks beyond a segment.
pub(crate) fn reach(settings: &Settings) -> Reach {
    let run = Run::default();
    let name = match settings.engine {
        EngineName::Draft => "draft",
        EngineName::Copy => "copy",
        EngineName::Stereocrafter => {
            let options = Options { reference: settings.reference, ..Options::default() };
            return options.reach(&run);
        }
    };
    parallax_stereo::engine(name).map(|engine| engine.reach(&run)).unwrap_or_default()
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
    let options = Options {
        reference: settings.reference,
        steps: settings.steps as usize,
        ..Options::default()
    };
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
