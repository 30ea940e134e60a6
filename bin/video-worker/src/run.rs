//! The daemon: check everything, run the loops, drain on a signal.

use std::sync::Arc;

use anyhow::{Context, Result};
use parallax_ports::health::{Beats, Flags};
use parallax_process::{Hangup, Termination};
use parallax_telemetry::{HealthServer, PrometheusMetrics};
use parallax_worker::{Pipeline, Stop};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Settings;
use crate::operate::say;
use crate::platform;
use crate::presence::announce;

/// How long the last report may take.
const REPORTING: std::time::Duration = std::time::Duration::from_secs(3);

/// Runs until a signal has drained the loops.
///
/// # Errors
/// Before the first message: whatever is wrong with the configuration or the surroundings.
/// Afterwards: a loop that ended unasked.
pub(crate) async fn run(settings: &Settings) -> Result<()> {
    // From now on SIGHUP ends nothing.
    let hangup = Hangup::listen()?;
    platform::agree(settings)?;
    crate::console::agree(settings)?;
    let token = settings.http.token()?;
    let metrics = Arc::new(PrometheusMetrics::new().context("set the metrics up")?);
    let (beats, flags) = (Beats::default(), Flags::default());
    let provider = settings.metrics_provider()?;
    let (sink, carrier) =
        crate::metrics::sink(settings, provider, metrics.clone(), flags.clone()).await;
    let starting = flags.register("start", "starting");
    let scratch = settings.state_dir.join("scratch").join(std::process::id().to_string());
    if platform::needs_scratch(settings)? {
        std::fs::create_dir_all(&scratch)
            .with_context(|| format!("STATE_DIR: make {}", scratch.display()))?;
    }
    let opened = platform::open(settings, &scratch, sink, (beats.clone(), flags.clone())).await;
    if opened.is_err() {
        remove(&scratch)?;
    }
    let opened = opened?;
    let (roles, replicas) = (opened.roles, opened.replicas);
    let pipeline = Arc::new(Pipeline::new(opened.ports, opened.config)?);
    if settings.check_config {
        say(&"configuration is good");
        return remove(&scratch);
    }

    let health = HealthServer::bind(settings.health_address, beats, flags.clone(), metrics)
        .await
        .with_context(|| {
        format!("HEALTH_ADDRESS {}: cannot listen", settings.health_address)
    })?;
    let health = health.with_hosts(&settings.health_hosts);
    info!(address = %health.address()?, "health endpoints");
    let console = crate::console::beside(settings).await?;
    let stop = Stop::default();
    let closed = CancellationToken::new();
    let serving = tokio::spawn(health.serve(closed.clone()));
    let reading = tokio::spawn(hangup.read_again(token, |_| {}));
    let listening = tokio::spawn(drain_on_signal(Termination::listen()?, stop.clone()));
    starting.raise();
    let announced = announce(replicas, roles.clone(), flags, closed.clone());
    let announcing = tokio::spawn(announced);
    let ended = parallax_worker::run(pipeline, &roles, stop).await;
    if let Some(carrier) = carrier {
        // The loops have dropped the sink, so that the last conversions are on their way.
        if tokio::time::timeout(REPORTING, carrier).await.is_err() {
            warn!("the last conversions were not reported in time");
        }
    }
    listening.abort();
    reading.abort();
    starting.lower("stopped");
    closed.cancel();
    announcing.await.context("announce this replica")?;
    if let Some(console) = console {
        console.end().await?;
    }
    serving.await.context("serve the health endpoints")?;
    remove(&scratch)?;
    ended?;
    info!("drained");
    Ok(())
}

/// The first signal drains, the second ends the process: the ledger makes both safe.
async fn drain_on_signal(mut termination: Termination, stop: Stop) {
    termination.asked().await;
    info!("asked to stop");
    stop.soft.cancel();
    termination.exit_on_next(1).await;
}

fn remove(scratch: &std::path::Path) -> Result<()> {
    match std::fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", scratch.display()))
        }
        _ => Ok(()),
    }
}
