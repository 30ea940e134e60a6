//! The embedded platform: SQLite and folders.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use parallax_conversion::{ChunkSettings, MediaAssembler, MediaChunker};
use parallax_local::{Deployment, SqliteQueue, StateDir};
use parallax_ports::health::{Beats, Flags};
use parallax_ports::{Ids, MetricsSink, ObjectStore, SystemClock};
use parallax_worker::{Config, Inbox, Operator, Ports, Roles};

use super::opened::Opened;
use crate::config::Settings;

/// Opens the state folder, shared with other daemons on it.
///
/// # Errors
/// Names the folder.
pub(crate) async fn open(settings: &Settings) -> Result<(StateDir, Deployment)> {
    let state = StateDir::open_shared(&settings.state_dir)?;
    let input = settings.input_bucket_name.as_deref().unwrap_or("input");
    let output = settings.output_bucket_name.as_deref().unwrap_or("output");
    let local = Deployment::open(&state, input, output, Arc::new(SystemClock)).await?;
    Ok((state, local))
}

/// The ledger and the queues alone.
pub(super) async fn operator(settings: &Settings) -> Result<(Operator, StateDir)> {
    let (state, local) = open(settings).await?;
    Ok((operator_of(&local), state))
}

/// What the console shows, and what is held meanwhile.
pub(super) async fn watched(
    settings: &Settings,
) -> Result<(parallax_console::Deployment, StateDir)> {
    let (state, local) = open(settings).await?;
    let named = |queue: &Arc<SqliteQueue>| parallax_console::NamedQueue {
        name: queue.name().to_owned(),
        queue: queue.clone(),
    };
    let deployment = parallax_console::Deployment {
        operator: operator_of(&local),
        queues: [&local.chunking, &local.segments, &local.output_events, &local.reassembly]
            .map(named)
            .into(),
        dead_letters: vec![named(&local.dead_letters)],
        replicas: local.ledger.clone(),
        acts: local.ledger.clone(),
        clock: local.clock.clone(),
    };
    Ok((deployment, state))
}

fn operator_of(local: &Deployment) -> Operator {
    Operator {
        ledger: local.ledger.clone(),
        switches: local.ledger.clone(),
        pool: "this state folder".to_owned(),
        objects: local.objects.clone(),
        listing: local.objects.clone(),
        buckets: local.buckets.clone(),
        segments: local.segments.clone(),
        output_events: local.output_events.clone(),
        chunking: Some(local.chunking.clone()),
        reassembly: local.reassembly.clone(),
        dead_letters: vec![local.dead_letters.clone()],
    }
}

pub(super) async fn ports(
    settings: &Settings,
    scratch: &Path,
    metrics: Arc<dyn MetricsSink>,
    health: (Beats, Flags),
) -> Result<Opened> {
    let (state, local) = open(settings).await?;
    let roles = settings.roles.clone().unwrap_or_else(Roles::all);
    let objects: Arc<dyn ObjectStore> = local.objects.clone();
    // Media steps are ports of every daemon here, whatever its roles.
    let workplace = super::backend::workplace(
        settings,
        &Roles::all(),
        objects.clone(),
        &local.buckets,
        scratch,
    )?
    .context("ffmpeg")?;
    let inbox = |name, queue: &Arc<SqliteQueue>| Inbox {
        name,
        queue: queue.clone(),
        dead_letters: Some(local.dead_letters.clone()),
        max_receives: None,
    };
    let ports = Ports {
        ledger: local.ledger.clone(),
        backend: super::backend::backend(settings, &objects, Some(&workplace))?,
        turns: None,
        switches: Some(local.ledger.clone()),
        objects,
        segments: inbox("segments", &local.segments),
        output_events: inbox("output-events", &local.output_events),
        chunking: Some(inbox("chunking", &local.chunking)),
        reassembly: inbox("reassembly", &local.reassembly),
        chunker: Arc::new(MediaChunker::new(workplace.clone(), ChunkSettings::default())),
        assembler: Arc::new(MediaAssembler::new(workplace)),
        metrics,
        beats: health.0,
        flags: health.1,
        clock: local.clock.clone(),
        clocks: Vec::new(),
        ids: Arc::new(Ids::random()),
    };
    let replicas = local.ledger;
    Ok(Opened {
        ports,
        config: Config::embedded(local.buckets),
        roles,
        replicas,
        _state: Some(state),
    })
}
