//! Ports for the chosen platform and backend.

mod aws;
mod backend;
mod local;
mod opened;
mod report;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use parallax_local::StateDir;
use parallax_ports::MetricsSink;
use parallax_ports::health::{Beats, Flags};
use parallax_worker::{Operator, Role};

use crate::backend::Backend;
use crate::config::{CompletionOwner, MetricsProvider, Platform, Settings};

pub(crate) use aws::cloudwatch;
pub(crate) use backend::needs_scratch;
pub(crate) use opened::Opened;

/// The ledger and the queues, for commands of operators, and what is held while they are used.
///
/// # Errors
/// Names the variable, what was found and what is allowed.
pub(crate) async fn operator(settings: &Settings) -> Result<(Operator, Option<StateDir>)> {
    match settings.platform()? {
        Platform::Local => {
            local::operator(settings).await.map(|(operator, state)| (operator, Some(state)))
        }
        Platform::Aws => aws::operator(settings).await.map(|operator| (operator, None)),
    }
}

/// The same, with every queue of dead letters.
///
/// # Errors
/// As [`operator`].
pub(crate) async fn redriver(settings: &Settings) -> Result<(Operator, Option<StateDir>)> {
    match settings.platform()? {
        Platform::Local => operator(settings).await,
        Platform::Aws => aws::with_dead_letters(settings).await.map(|operator| (operator, None)),
    }
}

/// What the console shows, and what is held meanwhile.
///
/// # Errors
/// As [`operator`].
pub(crate) async fn watched(
    settings: &Settings,
) -> Result<(parallax_console::Deployment, Option<StateDir>)> {
    match settings.platform()? {
        Platform::Local => {
            local::watched(settings).await.map(|(deployment, state)| (deployment, Some(state)))
        }
        Platform::Aws => aws::watched(settings).await.map(|deployment| (deployment, None)),
    }
}

/// What the deployment is on, in a few words.
///
/// # Errors
/// When the platform is in doubt.
pub(crate) fn name(settings: &Settings) -> Result<String> {
    Ok(match settings.platform()? {
        Platform::Local => format!("local: {}", settings.state_dir.display()),
        Platform::Aws => {
            format!("aws: {}", settings.output_bucket_name.as_deref().unwrap_or_default())
        }
    })
}

/// Whether the settings go together, as far as that can be told without opening anything.
///
/// # Errors
/// Names the variable and what it needs.
pub(crate) fn agree(settings: &Settings) -> Result<()> {
    if settings.platform()? != Platform::Aws {
        if settings.completion_owner == CompletionOwner::JobWorker {
            bail!("COMPLETION_OWNER=job-worker needs PLATFORM=aws");
        }
        if settings.metrics_provider == Some(MetricsProvider::Cloudwatch) {
            bail!("METRICS_PROVIDER=cloudwatch needs PLATFORM=aws");
        }
    }
    Ok(())
}

/// Opens what the settings name and checks that it can be reached.
///
/// # Errors
/// Names the variable, what was found and what is allowed.
pub(crate) async fn open(
    settings: &Settings,
    scratch: &Path,
    metrics: Arc<dyn MetricsSink>,
    health: (Beats, Flags),
) -> Result<Opened> {
    let mut opened = match settings.platform()? {
        Platform::Local => local::ports(settings, scratch, metrics, health).await?,
        Platform::Aws => aws::ports(settings, scratch, metrics, health).await?,
    };
    let lease = Duration::from_secs(settings.lease_seconds);
    opened.config.visibility = lease;
    opened.config.lease = lease;
    opened.config.reassembly_lease = lease;
    opened.config.longest_retry_after = Duration::from_secs(settings.retry_after_limit_seconds);
    if settings.inference_backend == Backend::Http {
        // Whoever answers 202 has custody from then on.
        let accepted = settings.http.inference_http_accepted_seconds;
        opened.config.deadline = Duration::from_secs(accepted);
    }
    opened.config.max_in_flight = settings.inference_max_in_flight;
    opened.config.completes = settings.completion_owner == CompletionOwner::VideoWorker;
    opened.config.drain = Duration::from_secs(settings.drain_seconds);
    if opened.roles.has(Role::Chunking) && opened.ports.chunking.is_none() {
        bail!("CHUNKING_QUEUE_URL is not set: the chunking role needs it");
    }
    Ok(opened)
}
