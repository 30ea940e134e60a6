//! Ports for the chosen platform and backend.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use parallax_backends::Stub;
use parallax_conversion::{ChunkSettings, EngineBackend, MediaAssembler, MediaChunker, Workplace};
use parallax_local::{Deployment, SqliteQueue, StateDir};
use parallax_media::Tools;
use parallax_ports::health::Beats;
use parallax_ports::{Ids, InferenceBackend, MetricsSink, SystemClock};
use parallax_worker::{Inbox, Ports};

use crate::config::{Backend, Settings};

/// Opens the embedded platform, shared with other daemons on the same folder.
pub(crate) async fn open_local(settings: &Settings) -> Result<(StateDir, Deployment)> {
    let state = StateDir::open_shared(&settings.state_dir)?;
    let (input, output) = (&settings.input_bucket_name, &settings.output_bucket_name);
    let local = Deployment::open(&state, input, output, Arc::new(SystemClock)).await?;
    Ok((state, local))
}

/// The daemon's ports over the embedded platform.
pub(crate) fn ports(
    settings: &Settings,
    local: &Deployment,
    scratch: &Path,
    metrics: Arc<dyn MetricsSink>,
    beats: Beats,
) -> Result<Ports> {
    let tools = Tools::find().context("the chunking and reassembly roles need ffmpeg")?;
    let workplace = Workplace {
        tools,
        objects: local.objects.clone(),
        buckets: local.buckets.clone(),
        scratch: scratch.to_owned(),
    };
    let engine = |name: &str| -> Result<Arc<dyn InferenceBackend>> {
        let engine = parallax_stereo::engine(name)
            .with_context(|| format!("INFERENCE_BACKEND: engine {name:?} is not built in"))?;
        Ok(Arc::new(EngineBackend::new(workplace.clone(), engine)))
    };
    let backend: Arc<dyn InferenceBackend> = match settings.inference_backend {
        Backend::Stub => Arc::new(Stub::new(local.objects.clone())),
        Backend::Draft => engine("draft")?,
        Backend::Copy => engine("copy")?,
    };
    let inbox = |name, queue: &Arc<SqliteQueue>| Inbox {
        name,
        queue: queue.clone(),
        dead_letters: Some(local.dead_letters.clone()),
    };
    Ok(Ports {
        ledger: local.ledger.clone(),
        objects: local.objects.clone(),
        segments: inbox("segments", &local.segments),
        output_events: inbox("output-events", &local.output_events),
        chunking: inbox("chunking", &local.chunking),
        reassembly: inbox("reassembly", &local.reassembly),
        backend,
        chunker: Arc::new(MediaChunker::new(workplace.clone(), ChunkSettings::default())),
        assembler: Arc::new(MediaAssembler::new(workplace)),
        metrics,
        beats,
        clock: local.clock.clone(),
        ids: Arc::new(Ids::random()),
    })
}
