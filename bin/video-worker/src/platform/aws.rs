//! The AWS platform: SQS, S3, DynamoDB and, for the backend of that name, SageMaker.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use parallax_aws::{
    Aws, DynamoLedger, RequestBy, S3Objects, SageMakerAsync, SageMakerSettings, SqsQueue, Tables,
};
use parallax_conversion::{ChunkSettings, MediaAssembler, MediaChunker, Workplace};
use parallax_job::{Bucket, Buckets, JobId, Mode, Scheme};
use parallax_ports::health::Beats;
use parallax_ports::{
    Assembler, Chunker, Cut, Error, Ids, InferenceBackend, Kind, MediaError, MetricsSink,
    ObjectStore, Queue, SystemClock,
};
use parallax_worker::{Config, Inbox, Ports, Role, Roles};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Opened;
use crate::config::{AwsSettings, Backend, Settings};

/// The longest single receive. A stop waits for the one that runs, since dropping it could leave a
/// message hidden; so this, and not the twenty seconds that SQS allows, bounds a drain.
const LONGEST_POLL: Duration = Duration::from_secs(8);
/// Time for all checks of the surroundings together.
const CHECKS: Duration = Duration::from_secs(9);
/// How long an endpoint may keep a request in its own queue, plus slack for clocks and uploads.
const QUEUEING: Duration = Duration::from_secs(1800);
const SLACK: Duration = Duration::from_secs(1200);

pub(super) async fn ports(
    settings: &Settings,
    scratch: &Path,
    metrics: Arc<dyn MetricsSink>,
    beats: Beats,
) -> Result<Opened> {
    let names = &settings.aws;
    let roles = settings
        .roles
        .clone()
        .unwrap_or_else(|| Roles::from_iter([Role::Segments, Role::OutputEvents, Role::Reconcile]));
    let aws = Aws::load(&parallax_aws::Settings {
        sagemaker_region: names.sagemaker_region.clone(),
        ..parallax_aws::Settings::default()
    })
    .await;
    if aws.region().is_none() {
        bail!("AWS_REGION is not set");
    }
    let queue = |variable: &str, url: &Option<String>| -> Result<SqsQueue> {
        Ok(SqsQueue::new(aws.sqs(), required(variable, url)?))
    };
    let segments = queue("VIDEO_WORKER_QUEUE_URL", &names.video_worker_queue_url)?;
    let output_events = queue("OUTPUT_EVENTS_QUEUE_URL", &names.output_events_queue_url)?;
    let reassembly = queue("REASSEMBLY_QUEUE_URL", &names.reassembly_queue_url)?;
    let optional = |url: &Option<String>| {
        url.as_ref().filter(|url| !url.is_empty()).map(|url| SqsQueue::new(aws.sqs(), url))
    };
    let chunking = optional(&names.chunking_queue_url);
    let dead = optional(&names.dead_letter_queue_url);
    let s3 = S3Objects::new(aws.s3());
    let ledger = DynamoLedger::new(aws.dynamodb(), tables(names)?, pool(settings)?);
    let buckets = Buckets {
        input: bucket(&settings.input_bucket_name),
        output: bucket(&settings.output_bucket_name),
    };
    let checks = async {
        for (variable, queue) in [
            ("VIDEO_WORKER_QUEUE_URL", Some(&segments)),
            ("OUTPUT_EVENTS_QUEUE_URL", Some(&output_events)),
            ("REASSEMBLY_QUEUE_URL", Some(&reassembly)),
            ("CHUNKING_QUEUE_URL", chunking.as_ref()),
            ("DEAD_LETTER_QUEUE_URL", dead.as_ref()),
        ] {
            if let Some(queue) = queue {
                queue.check().await.map_err(|error| named(variable, &error))?;
            }
        }
        for (variable, bucket) in
            [("INPUT_BUCKET_NAME", &buckets.input), ("OUTPUT_BUCKET_NAME", &buckets.output)]
        {
            s3.check_bucket(bucket.name()).await.map_err(|error| named(variable, &error))?;
        }
        ledger.check().await.map_err(|error| named("*_TABLE_NAME", &error))
    };
    timeout(CHECKS, checks).await.context("AWS did not answer within 9 s: is it reachable?")??;

    let objects: Arc<dyn ObjectStore> = Arc::new(s3);
    let workplace = super::workplace(settings, &roles, objects.clone(), &buckets, scratch)?;
    let backend: Arc<dyn InferenceBackend> = match settings.inference_backend {
        Backend::Sagemaker => {
            let by = RequestBy::Object { objects: objects.clone(), bucket: buckets.output.clone() };
            let endpoint = required("SAGEMAKER_ENDPOINT_NAME", &names.sagemaker_endpoint_name)?;
            let endpoint = SageMakerSettings {
                run_limit: Duration::from_secs(names.sagemaker_invoke_timeout_seconds),
                queue_limit: QUEUEING,
                ..SageMakerSettings::new(endpoint, by)
            };
            endpoint.validate().map_err(|why| anyhow::anyhow!("SAGEMAKER_ENDPOINT_NAME: {why}"))?;
            Arc::new(SageMakerAsync::new(aws.sagemaker(), endpoint))
        }
        _ => super::backend(settings, &objects, workplace.as_ref())?,
    };
    let (chunker, assembler) = media_steps(workplace);
    let dead_letters = dead.map(|queue| Arc::new(queue) as Arc<dyn Queue>);
    let inbox = |name, queue: SqsQueue| Inbox {
        name,
        queue: Arc::new(queue),
        dead_letters: dead_letters.clone(),
    };
    let run_limit = Duration::from_secs(names.sagemaker_invoke_timeout_seconds);
    let config = Config {
        poll_wait: Duration::from_secs(names.sqs_long_poll_wait_seconds).min(LONGEST_POLL),
        deadline: QUEUEING + run_limit + SLACK,
        ..Config::new(buckets)
    };
    let ports = Ports {
        ledger: Arc::new(ledger),
        objects,
        segments: inbox("segments", segments),
        output_events: inbox("output-events", output_events),
        chunking: chunking.map(|queue| inbox("chunking", queue)),
        reassembly: inbox("reassembly", reassembly),
        backend,
        chunker,
        assembler,
        metrics,
        beats,
        clock: Arc::new(SystemClock),
        ids: Arc::new(Ids::random()),
    };
    Ok(Opened { ports, config, roles, _state: None })
}

fn required<'a>(variable: &str, value: &'a Option<String>) -> Result<&'a str> {
    match value.as_deref() {
        Some(value) if !value.is_empty() => Ok(value),
        _ => bail!("{variable} is not set: PLATFORM=aws needs it"),
    }
}

fn named(variable: &str, error: &Error) -> anyhow::Error {
    anyhow::anyhow!("{variable}: {}", error.chain())
}

fn tables(names: &AwsSettings) -> Result<Tables> {
    let name = |variable, value| required(variable, value).map(str::to_owned);
    Ok(Tables {
        jobs: name("JOBS_TABLE_NAME", &names.jobs_table_name)?,
        completions: name("SEGMENT_COMPLETIONS_TABLE_NAME", &names.segment_completions_table_name)?,
        triggers: name("REASSEMBLY_TRIGGERED_TABLE_NAME", &names.reassembly_triggered_table_name)?,
        invocations: name(
            "INFERENCE_INVOCATIONS_TABLE_NAME",
            &names.inference_invocations_table_name,
        )?,
    })
}

/// What the permits limit: an endpoint, or everything behind another backend.
fn pool(settings: &Settings) -> Result<String> {
    match settings.inference_backend {
        Backend::Sagemaker => {
            let name = &settings.aws.sagemaker_endpoint_name;
            required("SAGEMAKER_ENDPOINT_NAME", name).map(str::to_owned)
        }
        Backend::Http => Ok("http".to_owned()),
        Backend::Stub => Ok("stub".to_owned()),
        Backend::Draft | Backend::Copy => Ok("engine".to_owned()),
    }
}

fn bucket(name: &str) -> Bucket {
    Bucket::Cloud { scheme: Scheme::S3, name: name.to_owned() }
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

/// Media steps of a daemon whose roles have none: never called, and an error if they were.
#[derive(Debug)]
struct Elsewhere;

impl Elsewhere {
    fn refuse() -> MediaError {
        Error::new(Kind::Rejected, "this daemon's roles have no media work").into()
    }
}

#[async_trait]
impl Chunker for Elsewhere {
    async fn plan(
        &self,
        _: &JobId,
        _: Mode,
        _: &CancellationToken,
    ) -> std::result::Result<Box<dyn Cut>, MediaError> {
        Err(Self::refuse())
    }
}

#[async_trait]
impl Assembler for Elsewhere {
    async fn assemble(
        &self,
        _: &JobId,
        _: u32,
        _: &CancellationToken,
    ) -> std::result::Result<(), MediaError> {
        Err(Self::refuse())
    }
}
