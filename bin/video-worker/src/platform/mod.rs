//! Ports for the chosen platform and backend.

mod aws;
mod local;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use parallax_backends::{Http, Stub, http};
use parallax_conversion::{EngineBackend, Workplace};
use parallax_job::Buckets;
use parallax_local::StateDir;
use parallax_media::Tools;
use parallax_ports::health::{Beats, Flags};
use parallax_ports::{InferenceBackend, MetricsSink, ObjectStore};
use parallax_worker::{Config, Desk, Ports, Role, Roles};

use crate::config::{Backend, CompletionOwner, MetricsProvider, Platform, Settings};

pub(crate) use aws::conversions;
pub(crate) use local::open as open_local;

/// A platform, open and checked.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    pub(crate) roles: Roles,
    /// Held while the platform is used.
    pub(crate) _state: Option<StateDir>,
}

/// The ledger and the queues, for commands of operators, and what is held while they are used.
///
/// # Errors
/// Names the variable, what was found and what is allowed.
pub(crate) async fn desk(settings: &Settings) -> Result<(Desk, Option<StateDir>)> {
    match settings.platform()? {
        Platform::Local => local::desk(settings).await.map(|(desk, state)| (desk, Some(state))),
        Platform::Aws => aws::desk(settings).await.map(|desk| (desk, None)),
    }
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

/// Whether a place for intermediate files is needed: a read-only root has none.
///
/// # Errors
/// When the platform is in doubt.
pub(crate) fn needs_scratch(settings: &Settings) -> Result<bool> {
    let local = settings.platform()? == Platform::Local;
    Ok(local || has_media_work(settings, settings.roles.as_ref()))
}

fn has_media_work(settings: &Settings, roles: Option<&Roles>) -> bool {
    let engine = matches!(settings.inference_backend, Backend::Draft | Backend::Copy);
    engine || roles.is_some_and(|r| r.has(Role::Chunking) || r.has(Role::Reassembly))
}

/// Where media work is done. ffmpeg must be there only for those who do some.
fn workplace(
    settings: &Settings,
    roles: &Roles,
    objects: Arc<dyn ObjectStore>,
    buckets: &Buckets,
    scratch: &Path,
) -> Result<Option<Workplace>> {
    if !has_media_work(settings, Some(roles)) {
        return Ok(None);
    }
    let tools = Tools::find().context("chunking, reassembly and engines in the process need it")?;
    let tools = tools.for_film(settings.damaged);
    let scratch: PathBuf = scratch.to_owned();
    Ok(Some(Workplace { tools, objects, buckets: buckets.clone(), scratch, film: None }))
}

/// A backend that needs no cloud.
fn backend(
    settings: &Settings,
    objects: &Arc<dyn ObjectStore>,
    workplace: Option<&Workplace>,
) -> Result<Arc<dyn InferenceBackend>> {
    let engine = |name: &str| -> Result<Arc<dyn InferenceBackend>> {
        let engine = parallax_stereo::engine(name)
            .with_context(|| format!("INFERENCE_BACKEND: engine {name:?} is not built in"))?;
        let workplace = workplace.context("INFERENCE_BACKEND: engines need ffmpeg")?;
        Ok(Arc::new(EngineBackend::new(workplace.clone(), engine)))
    };
    match settings.inference_backend {
        Backend::Stub => Ok(Arc::new(Stub::new(objects.clone()))),
        Backend::Draft => engine("draft"),
        Backend::Copy => engine("copy"),
        Backend::Http => {
            let urls = settings.http.inference_http_url.clone();
            if urls.is_empty() {
                bail!("INFERENCE_HTTP_URL is not set: INFERENCE_BACKEND=http needs it");
            }
            let asked = &settings.http;
            let answer = asked.inference_http_answer_seconds;
            let total = asked.inference_http_total_seconds.unwrap_or(answer + 60);
            if total < answer {
                bail!(
                    "INFERENCE_HTTP_TOTAL_SECONDS {total}: at least INFERENCE_HTTP_ANSWER_SECONDS, \
                     which is {answer}"
                );
            }
            let http = http::Settings {
                urls,
                token: asked.inference_http_token.clone(),
                allow_plain: asked.inference_http_allow_plain,
                connect_limit: Duration::from_secs(asked.inference_http_connect_seconds),
                answer_limit: Duration::from_secs(answer),
                progress_limit: Duration::from_secs(asked.inference_http_progress_seconds),
                total_limit: Duration::from_secs(total),
            };
            Ok(Arc::new(Http::new(&http).context("INFERENCE_HTTP_URL")?))
        }
        Backend::Sagemaker => bail!("INFERENCE_BACKEND=sagemaker needs PLATFORM=aws"),
    }
}
