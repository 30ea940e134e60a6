//! The server: check everything, load, serve, drain on a signal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::Router;
use parallax_animate::{Animate, Segment, SegmentSettings, Track};
use parallax_aws::Aws;
use parallax_listener::Listener;
use parallax_media::{EncodeSettings, Tools};
use parallax_perception::Surroundings;
use parallax_ports::health::{Beats, Flag, Flags};
use parallax_ports::{MetricsSink, SystemClock};
use parallax_process::{Hangup, Termination};
use parallax_serving::front::{Tokens, envelope, http, sagemaker};
use parallax_serving::operations::{Health, LoadedModels, MemoryStats};
use parallax_serving::{
    Executor, FailureKind, ModelPool, Readiness, Registry, Service, ServiceSettings,
};
use parallax_stereo::Layout;
use parallax_stereo_service::{
    Effects, Interpolate, Loop, STEREO_MODEL, Stereo, StereoModel, StereoSettings,
};
use parallax_telemetry::{HealthServer, PrometheusMetrics};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::animate;
use crate::config::{self, Profile, ServiceName, Settings, SideBySide};
use crate::conversions::Conversions;
use crate::model;
use crate::perception;
use crate::recipe;
use crate::runpod::{self, Platform};
use crate::stores;
use crate::weights::Weights;

/// Time for answers to reach their callers once everything has ended.
const ANSWERS: Duration = Duration::from_secs(2);

/// How much longer than its limit a task may take to end before the thread counts as stuck.
const TASK_SLACK: Duration = Duration::from_secs(300);

/// Runs until a signal has drained the server.
///
/// # Errors
/// Whatever is wrong with the configuration or the surroundings.
pub(crate) async fn run(settings: &Settings) -> Result<()> {
    let began = Instant::now();
    // From now on SIGHUP ends nothing.
    let hangup = Hangup::listen()?;
    settings.validate()?;
    animate::check(settings)?;
    let given = settings.secrets.read()?.tokens.clone();
    let tokens =
        Tokens::new(given.as_ref().map_or_else(Vec::new, |list| config::tokens(&list.now())));
    let metrics = Arc::new(PrometheusMetrics::new().context("set the metrics up")?);
    let (beats, flags) = (Beats::default(), Flags::default());
    let readiness = Readiness::new(flags.clone());
    let models_loaded = readiness.condition("models", "loading");
    let scratch = scratch(settings)?;
    let service = service(settings, &scratch, readiness, metrics.clone(), &beats).await?;
    let start = Start { began, metrics: metrics.clone() };
    let platform = Platform::of(settings, &service)?;
    let routes = routes(settings, &service, &tokens, platform.is_some());
    info!(?settings, access = ?settings.access(), "effective configuration");
    if settings.check_config {
        println!("configuration is good");
        return Ok(());
    }

    let health = HealthServer::bind(settings.health_address, beats, flags, metrics);
    let health = health
        .await
        .with_context(|| format!("HEALTH_ADDRESS {}: cannot listen", settings.health_address))?;
    let health = health.with_hosts(&settings.health_hosts);
    info!(address = %health.address()?, "health endpoints");
    let address = settings.address();
    let listener = Listener::bind(address, settings.limits().listener).await;
    let listener = listener.with_context(|| format!("SERVER_ADDRESS {address}: cannot listen"))?;
    info!(address = %listener.address()?, profile = ?settings.profile, "listening");
    if settings.trusts_the_platform() {
        warn!(
            reads = ?settings.access().read,
            writes = ?settings.access().write,
            "whoever reaches this address is let in without a token: the profile sagemaker leaves it to \
             the platform to keep others away"
        );
    }

    let (closing, closed) = (CancellationToken::new(), CancellationToken::new());
    let health = tokio::spawn(health.serve(closed.clone()));
    let answering = tokio::spawn(listener.serve(routes, closing.clone(), ANSWERS));
    let (rest, rested) = (CancellationToken::new(), CancellationToken::new());
    let at_start = settings.offers(ServiceName::Stereo);
    let load = load(service.clone(), at_start.then(|| Weights::of(settings)), models_loaded, start);
    let loading = tokio::spawn(runpod::work(platform, load, rest.clone(), rested.clone()));
    let renew = tokens.clone();
    let reading = hangup.read_again(given, move |list| renew.replace(config::tokens(list)));
    let reading = tokio::spawn(reading);
    let failed = stopped(Termination::listen()?, loading).await;
    info!("draining");
    // The platform's jobs end before their operations stop.
    rest.cancel();
    rested.cancelled().await;
    // The listener stays: whoever asks is told to ask elsewhere.
    service.drain(settings.drain()).await;
    closing.cancel();
    answering.await.context("answer requests")?;
    closed.cancel();
    health.await.context("serve the health endpoints")?;
    reading.abort();
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
    let tools = Tools::find().context("segments are read and written by it")?;
    let tools = tools.for_film(settings.damaged);
    let (encode, scratch) = (EncodeSettings::default(), scratch.path().to_owned());
    let effects = Effects::new(storage.clone(), tools.clone(), scratch.clone(), encode.clone());
    let limits = ServiceSettings {
        run_limit: Duration::from_secs(settings.run_limit_seconds),
        ..ServiceSettings::default()
    };
    let loaded = LoadedModels::default();
    let (mut offered, mut models) = (Registry::default(), Vec::new());
    let mut room = u64::MAX;
    if settings.offers(ServiceName::Stereo) {
        let engine = model::select(settings)?;
        let stereo = StereoSettings {
            tools: tools.clone(),
            scratch: scratch.clone(),
            side_by_side: match settings.side_by_side {
                SideBySide::Full => Layout::FullSbs,
                SideBySide::Half => Layout::HalfSbs,
            },
            encode,
            capabilities: engine.clone(),
            conversions: Arc::new(Conversions::new(settings, &aws, metrics.clone())),
            recipe: recipe::of(settings, &*engine),
        };
        let (model, free) = model::open(settings, &*engine, &metrics)?;
        room = free;
        models.push(model);
        offered = offered.with(Stereo::new(storage.clone(), stereo));
    }
    if settings.offers(ServiceName::Animate) {
        models.extend(animate::models(settings));
        let (storage, tools, scratch) = (storage.clone(), tools.clone(), scratch.clone());
        let own = SegmentSettings { storage, tools, scratch };
        offered = offered.with(Segment::new(own.clone())).with(Track::new(own.clone()));
        offered = offered.with(Animate::new(own));
    }
    let around = Surroundings { storage, tools, scratch };
    if let Some(own) = perception::open(settings, around, &aws)? {
        models.extend(own.models());
        offered = own.register(offered, loaded.clone());
    }
    let pool = ModelPool::new(room).with_metrics(metrics.clone()).with_listener(loaded.listener());
    let pool = models.into_iter().fold(pool, ModelPool::with);
    let beat = beats.register("engine", limits.run_limit + TASK_SLACK);
    let executor = Executor::start(settings.places(), pool, metrics.clone(), beat);
    let executor = executor.context("start the executor's thread")?;
    let stereo = settings.offers(ServiceName::Stereo);
    let engine = if stereo { settings.engine.0.name } else { "none" };
    let registry = offered
        .with(Health::new(engine, settings.device().as_str()))
        .with(MemoryStats::new(loaded))
        .with(Interpolate(effects.clone()))
        .with(Loop(effects));
    let service = Service::new(registry, executor, readiness, metrics, limits);
    Ok(service)
}

fn routes(
    settings: &Settings,
    service: &Arc<Service>,
    tokens: &Tokens,
    on_platform: bool,
) -> Router {
    let limits = settings.limits();
    let contract = sagemaker::routes(service.clone(), tokens.clone(), limits);
    let routes = match settings.profile {
        Profile::Sagemaker => contract,
        Profile::Runpod if on_platform => contract,
        Profile::Runpod => contract.merge(runpod::development(settings, service)),
        Profile::Http => {
            let retention = http::Retention::default();
            let clock = Arc::new(SystemClock);
            let rest = http::routes(service.clone(), tokens.clone(), limits, retention, clock);
            let routes = contract.merge(rest);
            if let Some(earlier) = settings.earlier_perception() {
                routes.merge(envelope::routes(service.clone(), tokens.clone(), limits, earlier))
            } else {
                routes
            }
        }
    };
    match settings.own_hosts() {
        Some(hosts) => hosts.guard(routes),
        None => routes,
    }
}

/// When the server was started, and where it is told how long that took.
struct Start {
    began: Instant,
    metrics: Arc<dyn MetricsSink>,
}

/// Loads the models, and before that what they need and lack; until it succeeds, no work is taken. Without an
/// engine there is nothing to load: other networks are when they are first asked for.
async fn load(
    service: Arc<Service>,
    engine: Option<Option<Weights>>,
    loaded: Flag,
    start: Start,
) -> Result<()> {
    let Some(weights) = engine else {
        loaded.raise();
        return Ok(());
    };
    let get = |models: &mut ModelPool, _: &CancellationToken| {
        models.get::<StereoModel>(STEREO_MODEL).map(drop)
    };
    let load = async || {
        let cancel = CancellationToken::new();
        service.executor().run(&cancel, get).await.and_then(|outcome| outcome)
    };
    let mut outcome = load().await;
    // Weights that are there and have no room are not fetched for that.
    let lacking = outcome.as_ref().err().filter(|why| why.kind == FailureKind::Internal);
    if let (Some(failure), Some(weights)) = (lacking, weights) {
        info!(why = failure.detail.as_deref(), "the weights are not all there");
        let fetched = weights.fetch(&|how_far| loaded.lower(how_far)).await;
        if let Err(error) = fetched {
            loaded.lower(format!("{error:#}"));
            return Err(error);
        }
        loaded.lower("loading");
        outcome = load().await;
    }
    match outcome {
        Ok(()) => {
            loaded.raise();
            let seconds = start.began.elapsed().as_secs_f64();
            start.metrics.gauge(crate::metrics::START_SECONDS, &[], seconds);
            info!(seconds, "ready");
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
    mut termination: Termination,
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
        () = termination.asked() => Ok(()),
        failed = load => {
            error!(error = format!("{failed:#}"), "cannot serve");
            Err(failed)
        }
    };
    tokio::spawn(termination.exit_on_next(1));
    outcome
}
