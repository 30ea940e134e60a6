//! The server: check everything, load, serve, drain on a signal.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use parallax_aws::Aws;
use parallax_media::{EncodeSettings, Tools};
use parallax_ports::health::{Beats, Flag, Flags};
use parallax_ports::{MetricsSink, SystemClock};
use parallax_serving::front::{Listener, http, sagemaker};
use parallax_serving::operations::{
    Effects, Health, Interpolate, LoadedModels, Loop, MemoryStats, STEREO_MODEL, Stereo,
    StereoModel, StereoSettings,
};
use parallax_serving::{Engine, Model, Models, Readiness, Registry, Service, ServiceSettings};
use parallax_stereo::Layout;
use parallax_telemetry::{HealthServer, PrometheusMetrics};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{EngineName, Profile, Settings, SideBySide};
use crate::conversions::Conversions;
use crate::stores;

/// Time for answers to reach their callers once everything has ended.
const ANSWERS: Duration = Duration::from_secs(2);

/// How much longer than its limit a task may take to end before the thread counts as stuck.
const TASK_SLACK: Duration = Duration::from_secs(300);

/// Runs until a signal has drained the server.
///
/// # Errors
/// Whatever is wrong with the configuration or the surroundings.
pub(crate) async fn run(settings: &Settings) -> Result<()> {
    settings.validate()?;
    let metrics = Arc::new(PrometheusMetrics::new().context("set the metrics up")?);
    let (beats, flags) = (Beats::default(), Flags::default());
    let readiness = Readiness::new(flags.clone());
    let models_loaded = readiness.condition("models", "loading");
    let scratch = scratch(settings)?;
    let service = service(settings, &scratch, readiness, metrics.clone(), &beats).await?;
    info!(?settings, access = ?settings.access(), "effective configuration");
    if settings.check_config {
        println!("configuration is good");
        return Ok(());
    }

    let health = HealthServer::bind(settings.health_address, beats, flags, metrics);
    let health = health
        .await
        .with_context(|| format!("HEALTH_ADDRESS {}: cannot listen", settings.health_address))?;
    info!(address = %health.address()?, "health endpoints");
    let address = settings.address();
    let listener = Listener::bind(address, settings.limits()).await;
    let listener = listener.with_context(|| format!("SERVER_ADDRESS {address}: cannot listen"))?;
    info!(address = %listener.address()?, profile = ?settings.profile, "listening");

    let (closing, closed) = (CancellationToken::new(), CancellationToken::new());
    let health = tokio::spawn(health.serve(closed.clone()));
    let answering =
        tokio::spawn(listener.serve(routes(settings, &service), closing.clone(), ANSWERS));
    let loading = tokio::spawn(load(service.clone(), models_loaded));
    let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let failed = stopped(signals, loading).await;
    info!("draining");
    // The listener stays: whoever asks is told to ask elsewhere.
    service.drain(settings.drain()).await;
    closing.cancel();
    answering.await.context("answer requests")?;
    closed.cancel();
    health.await?.context("serve the health endpoints")?;
    drop(scratch);
    info!("drained");
    failed
}

fn scratch(settings: &Settings) -> Result<tempfile::TempDir> {
    let parent = settings.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let named = || format!("SERVER_SCRATCH: make a folder in {}", parent.display());
    std::fs::create_dir_all(&parent).with_context(named)?;
    tempfile::Builder::new().prefix("inference-server-").tempdir_in(&parent).with_context(named)
}

async fn service(
    settings: &Settings,
    scratch: &tempfile::TempDir,
    readiness: Readiness,
    metrics: Arc<dyn MetricsSink>,
    beats: &Beats,
) -> Result<Arc<Service>> {
    let aws = Aws::load(&parallax_aws::Settings::default()).await;
    let storage = stores::open(settings, &aws).await?;
    let stereo = StereoSettings {
        tools: Tools::find().context("segments are read and written by it")?,
        scratch: scratch.path().to_owned(),
        side_by_side: match settings.side_by_side {
            SideBySide::Full => Layout::FullSbs,
            SideBySide::Half => Layout::HalfSbs,
        },
        encode: EncodeSettings::default(),
        conversions: Arc::new(Conversions::new(settings, &aws, metrics.clone())),
    };
    let (tools, encode) = (stereo.tools.clone(), stereo.encode.clone());
    let effects = Effects::new(storage.clone(), tools, stereo.scratch.clone(), encode);
    let limits = ServiceSettings {
        run_limit: Duration::from_secs(settings.run_limit_seconds),
        ..ServiceSettings::default()
    };
    let (name, model) = model(settings)?;
    let loaded = LoadedModels::default();
    let models = Models::new(u64::MAX)
        .with_metrics(metrics.clone())
        .with_listener(loaded.listener())
        .with(model);
    let beat = beats.register("engine", limits.run_limit + TASK_SLACK);
    let engine = Engine::start(settings.places(), models, metrics.clone(), beat);
    let engine = engine.context("start the engine thread")?;
    let health = Health::new(name, settings.device().as_str());
    let registry = Registry::default()
        .with(Stereo::new(storage, stereo))
        .with(health.clone())
        .with(MemoryStats::new(loaded))
        .with(Interpolate(effects.clone()))
        .with(Loop(effects));
    let service = Service::new(registry, engine, readiness, metrics, limits);
    health.tell_of(&service);
    Ok(service)
}

/// The stereo engine as a model of the pool.
fn model(settings: &Settings) -> Result<(&'static str, Model)> {
    let name = match settings.engine {
        EngineName::Draft => "draft",
        EngineName::Copy => "copy",
        EngineName::Stereocrafter => {
            bail!("SERVER_ENGINE=stereocrafter: it is not built in; allowed are draft and copy")
        }
    };
    let engine = parallax_stereo::engine(name).context("SERVER_ENGINE: it is not built in")?;
    let load = move || Ok(StereoModel(engine.clone()));
    // Without weights there is nothing to count.
    Ok((name, Model::new(STEREO_MODEL, 0, load)))
}

fn routes(settings: &Settings, service: &Arc<Service>) -> Router {
    let (tokens, limits) = (settings.tokens(), settings.limits());
    let contract = sagemaker::routes(service.clone(), tokens.clone(), limits);
    match settings.profile {
        Profile::Sagemaker => contract,
        Profile::Http => {
            let retention = http::Retention::default();
            let clock = Arc::new(SystemClock);
            contract.merge(http::routes(service.clone(), tokens, limits, retention, clock))
        }
    }
}

/// Loads the models; until it succeeds, no work is taken.
async fn load(service: Arc<Service>, loaded: Flag) -> Result<()> {
    let cancel = CancellationToken::new();
    let get = |models: &mut Models, _: &CancellationToken| {
        models.get::<StereoModel>(STEREO_MODEL).map(drop)
    };
    match service.engine().run(&cancel, get).await.and_then(|outcome| outcome) {
        Ok(()) => {
            loaded.raise();
            info!("ready");
            Ok(())
        }
        Err(failure) => {
            loaded.lower(failure.to_string());
            bail!("load the models: {failure}: {}", failure.detail.as_deref().unwrap_or_default())
        }
    }
}

/// Waits for a signal. Afterwards a second one ends the process at once.
async fn stopped(
    (mut term, mut int): (Signal, Signal),
    loading: tokio::task::JoinHandle<Result<()>>,
) -> Result<()> {
    let load = async {
        match loading.await {
            Ok(Ok(())) => std::future::pending().await,
            Ok(Err(error)) => error,
            Err(error) => anyhow::Error::new(error).context("load the models"),
        }
    };
    let outcome = tokio::select! {
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
        failed = load => {
            error!(error = format!("{failed:#}"), "cannot serve");
            Err(failed)
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        warn!("asked to stop again; ending at once");
        std::process::exit(1);
    });
    outcome
}
