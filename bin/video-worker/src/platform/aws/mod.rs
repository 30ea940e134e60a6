//! The AWS platform: SQS, S3, DynamoDB and, for the backend of that name, SageMaker.

mod connect;
mod elsewhere;
mod operator;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parallax_aws::{
    Aws, ConversionMetrics, DynamoLedger, Numbers, RequestBy, SageMakerAsync, SageMakerSettings,
};
use parallax_backends::Stub;
use parallax_conversion::{ChunkSettings, MediaAssembler, MediaChunker, Workplace};
use parallax_job::Buckets;
use parallax_ports::health::{Beats, Flags};
use parallax_ports::{
    Assembler, Chunker, Ids, InferenceBackend, MetricsSink, ObjectStore, Queue, SetClock,
    SystemClock,
};
use parallax_worker::{Config, Inbox, Ports};

use super::opened::Opened;
use crate::backend::Backend;
use crate::config::{AwsSettings, Pace, SagemakerRequest, Settings};
use connect::{Named, ask_a_backend, connect, pool, required, usual_roles};
use elsewhere::Elsewhere;

pub(super) use operator::{operator, watched, with_dead_letters};

/// The longest single receive while messages come. A stop waits for the one that runs, since dropping it
/// could leave a message hidden; so this, and not the twenty seconds that SQS allows, bounds a drain.
const LONGEST_POLL: Duration = Duration::from_secs(8);
/// How long an endpoint may keep a request in its own queue, plus slack for clocks and uploads.
const QUEUEING: Duration = Duration::from_secs(1800);
const SLACK: Duration = Duration::from_secs(1200);

/// Conversion metrics under the deployed names, and the numbers that alarms look at.
pub(crate) async fn cloudwatch(settings: &Settings) -> (ConversionMetrics, Numbers) {
    let aws = Aws::load(&parallax_aws::Settings::default()).await;
    let namespace = &settings.metrics_namespace;
    // Where it cannot be told, the start ends before anything is reported.
    let backend = pool(settings).unwrap_or_default();
    let conversions = ConversionMetrics::new(aws.cloudwatch(), namespace);
    (conversions, Numbers::new(aws.cloudwatch(), namespace, backend))
}

pub(super) async fn ports(
    settings: &Settings,
    scratch: &Path,
    metrics: Arc<dyn MetricsSink>,
    health: (Beats, Flags),
) -> Result<Opened> {
    let names = &settings.aws;
    let roles = settings.roles.clone().unwrap_or_else(usual_roles);
    let it = connect(settings, &roles).await?;
    let objects: Arc<dyn ObjectStore> = Arc::new(it.objects.clone());
    let buckets = it.buckets.clone();
    // What can be told without asking anybody is told first.
    let workplace =
        super::backend::workplace(settings, &roles, objects.clone(), &buckets, scratch)?;
    let backend: Arc<dyn InferenceBackend> = match settings.inference_backend {
        _ if !ask_a_backend(&roles) => Arc::new(Stub::new(objects.clone())),
        Backend::Sagemaker => Arc::new(endpoint(names, &it.aws, &objects, &buckets)?),
        _ => super::backend::backend(settings, &objects, workplace.as_ref())?,
    };
    it.check().await?;
    let (chunker, assembler) = media_steps(workplace);
    let dead_letters = it.queues.dead.map(|named| Arc::new(named.queue) as Arc<dyn Queue>);
    let inbox = |name, named: Named| Inbox {
        name,
        max_receives: named.queue.max_receives(),
        queue: Arc::new(named.queue),
        dead_letters: dead_letters.clone(),
    };
    let or_elsewhere = |name, named: Option<Named>| {
        let none =
            Inbox { name, queue: Arc::new(Elsewhere), dead_letters: None, max_receives: None };
        named.map_or(none, |named| inbox(name, named))
    };
    let run_limit = Duration::from_secs(names.sagemaker_invoke_timeout_seconds);
    let asked = Duration::from_secs(names.sqs_long_poll_wait_seconds);
    let config = Config {
        poll_wait: asked.min(LONGEST_POLL),
        idle_poll_wait: asked,
        deadline: QUEUEING + run_limit + SLACK,
        unanswered: Config::until_asked() + run_limit,
        knows_completions: !it.tables.completions.is_empty(),
        ..Config::new(buckets)
    };
    let config = match settings.pace {
        Pace::Cloud => config,
        Pace::Quick => quick(config, run_limit),
    };
    let turns = format!("{}#sweep", pool(settings)?);
    let turns = DynamoLedger::new(it.aws.dynamodb(), it.tables.clone(), turns);
    let clocks = it.aws.clocks().clone();
    let ledger = Arc::new(it.ledger);
    let ports = Ports {
        ledger: ledger.clone(),
        turns: Some(Arc::new(turns)),
        switches: Some(ledger.clone()),
        objects,
        segments: or_elsewhere("segments", it.queues.segments),
        output_events: or_elsewhere("output-events", it.queues.output_events),
        chunking: it.queues.chunking.map(|named| inbox("chunking", named)),
        reassembly: or_elsewhere("reassembly", it.queues.reassembly),
        backend,
        chunker,
        assembler,
        metrics,
        beats: health.0,
        flags: health.1,
        clock: Arc::new(SetClock::new(Arc::new(SystemClock), clocks.ledger.clone())),
        clocks: vec![("ledger", clocks.ledger), ("queue", clocks.queue), ("store", clocks.store)],
        ids: Arc::new(Ids::random()),
    };
    Ok(Opened { ports, config, roles, replicas: ledger, _state: None })
}

/// Waits for services that are emulated on this machine: they lose and delay, but in seconds.
fn quick(config: Config, run_limit: Duration) -> Config {
    let Config { retry_after, refused_after, sweep, resend, .. } =
        Config::embedded(config.buckets.clone());
    Config {
        reservation: config.poll_wait + Duration::from_secs(3),
        idle_poll_wait: Duration::ZERO,
        deadline: run_limit + Duration::from_secs(15),
        unanswered: run_limit + Duration::from_secs(15),
        unattended: Duration::from_secs(10),
        retry_after,
        refused_after,
        sweep,
        resend,
        ..config
    }
}

fn endpoint(
    names: &AwsSettings,
    aws: &Aws,
    objects: &Arc<dyn ObjectStore>,
    buckets: &Buckets,
) -> Result<SageMakerAsync> {
    let request_by = match names.sagemaker_request {
        SagemakerRequest::Object => {
            RequestBy::Object { objects: objects.clone(), bucket: buckets.output.clone() }
        }
        SagemakerRequest::Inline => RequestBy::Inline,
    };
    let name = required("SAGEMAKER_ENDPOINT_NAME", &names.sagemaker_endpoint_name)?;
    let endpoint = SageMakerSettings {
        run_limit: Duration::from_secs(names.sagemaker_invoke_timeout_seconds),
        queue_limit: QUEUEING,
        ..SageMakerSettings::new(name, request_by)
    };
    endpoint.validate().map_err(|why| anyhow::anyhow!("SAGEMAKER_ENDPOINT_NAME: {why}"))?;
    Ok(SageMakerAsync::new(aws.sagemaker(), endpoint))
}

fn media_steps(workplace: Option<Workplace>) -> (Arc<dyn Chunker>, Arc<dyn Assembler>) {
    match workplace {
        Some(workplace) => (
            Arc::new(MediaChunker::new(workplace.clone(), ChunkSettings::default())),
            Arc::new(MediaAssembler::new(workplace)),
        ),
        None => (Arc::new(Elsewhere), Arc::new(Elsewhere)),
    }
}
