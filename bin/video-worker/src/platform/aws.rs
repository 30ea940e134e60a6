//! The AWS platform: SQS, S3, DynamoDB and, for the backend of that name, SageMaker.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use async_trait::async_trait;
use parallax_aws::{
    Aws, ConversionMetrics, DynamoLedger, RequestBy, S3Objects, SageMakerAsync, SageMakerSettings,
    SqsQueue, Tables,
};
use parallax_backends::Stub;
use parallax_conversion::{ChunkSettings, MediaAssembler, MediaChunker, Workplace};
use parallax_job::{Bucket, Buckets, JobId, Mode, ObjectKey, Scheme};
use parallax_ports::health::{Beats, Flags};
use parallax_ports::{
    Assembler, Chunker, Cut, Error, Ids, InferenceBackend, Kind, MediaError, Message, MetricsSink,
    ObjectStore, Queue, Receipt, SetClock, SystemClock,
};
use parallax_worker::{Config, Inbox, Operator, Ports, Role, Roles};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use url::Url;

use super::opened::Opened;
use super::report::Checks;
use crate::backend::Backend;
use crate::config::{AwsSettings, CompletionOwner, Pace, SagemakerRequest, Settings};

/// The longest single receive while messages come. A stop waits for the one that runs, since dropping it
/// could leave a message hidden; so this, and not the twenty seconds that SQS allows, bounds a drain.
const LONGEST_POLL: Duration = Duration::from_secs(8);
/// How long an endpoint may keep a request in its own queue, plus slack for clocks and uploads.
const QUEUEING: Duration = Duration::from_secs(1800);
const SLACK: Duration = Duration::from_secs(1200);

/// Deliveries that suffice: each of a segment's attempts may end with its worker, and there are eight.
const ENOUGH_RECEIVES: u32 = 10;

/// A queue with the variable that names it.
struct Named {
    variable: &'static str,
    url: String,
    queue: SqsQueue,
}

/// Clients for everything that the settings name; nothing has been asked yet.
struct Connected {
    aws: Aws,
    /// `None` where no role receives segments or announces them again.
    segments: Option<Named>,
    /// `None` where no role receives output events.
    output_events: Option<Named>,
    /// `None` where somebody else asks for reassembly.
    reassembly: Option<Named>,
    chunking: Option<Named>,
    dead: Option<Named>,
    objects: S3Objects,
    tables: Tables,
    ledger: DynamoLedger,
    buckets: Buckets,
}

/// What a daemon with neither roles nor a reason to leave something out does.
fn usual_roles() -> Roles {
    Roles::from_iter([Role::Segments, Role::OutputEvents, Role::Reconcile])
}

/// Whether any of the roles asks the backend, or about what it was asked.
fn ask_a_backend(roles: &Roles) -> bool {
    usual_roles().iter().any(|role| roles.has(role))
}

/// What the roles need, and nothing of others': their variables may be unset, and what they name out of
/// reach.
async fn connect(settings: &Settings, roles: &Roles) -> Result<Connected> {
    let names = &settings.aws;
    let aws = Aws::load(&parallax_aws::Settings {
        sagemaker_region: names.sagemaker_region.clone(),
        ..parallax_aws::Settings::default()
    })
    .await;
    if aws.region().is_none() {
        bail!("AWS_REGION is not set: PLATFORM=aws needs it");
    }
    let named = |variable: &'static str, url: &Option<String>| -> Result<Named> {
        let url = queue_url(variable, required(variable, url)?)?;
        Ok(Named { variable, url: url.to_owned(), queue: SqsQueue::new(aws.sqs(), url) })
    };
    let optional = |variable: &'static str, url: &Option<String>| match url.as_deref() {
        None | Some("") => Ok(None),
        Some(_) => named(variable, url).map(Some),
    };
    let needed = |by: &[Role], variable: &'static str, url: &Option<String>| {
        let any = by.iter().any(|role| roles.has(*role));
        any.then(|| named(variable, url)).transpose()
    };
    let elsewhere = settings.reassembly_is_elsewhere();
    let tables = tables(names, elsewhere)?;
    let mut ledger = DynamoLedger::new(aws.dynamodb(), tables.clone(), pool(settings)?);
    if settings.completion_owner == CompletionOwner::JobWorker {
        ledger = ledger.beside_a_completion_owner();
    }
    Ok(Connected {
        segments: needed(
            &[Role::Segments, Role::Reconcile],
            "VIDEO_WORKER_QUEUE_URL",
            &names.video_worker_queue_url,
        )?,
        output_events: needed(
            &[Role::OutputEvents],
            "OUTPUT_EVENTS_QUEUE_URL",
            &names.output_events_queue_url,
        )?,
        reassembly: match elsewhere {
            true => optional("REASSEMBLY_QUEUE_URL", &names.reassembly_queue_url)?,
            false => Some(named("REASSEMBLY_QUEUE_URL", &names.reassembly_queue_url)?),
        },
        chunking: optional("CHUNKING_QUEUE_URL", &names.chunking_queue_url)?,
        dead: optional("DEAD_LETTER_QUEUE_URL", &names.dead_letter_queue_url)?,
        buckets: Buckets {
            input: bucket("INPUT_BUCKET_NAME", &settings.input_bucket_name)?,
            output: bucket("OUTPUT_BUCKET_NAME", &settings.output_bucket_name)?,
        },
        objects: S3Objects::new(aws.s3()),
        tables,
        ledger,
        aws,
    })
}

impl Connected {
    /// Asks whether everything is there and may be seen.
    async fn check(&self) -> Result<()> {
        let mut checks = Checks::default();
        for named in self.queues().chain(&self.dead) {
            let queue = named.queue.clone();
            checks.add(named.variable, &named.url, "sqs:GetQueueAttributes", async move {
                queue.check().await
            });
        }
        let Buckets { input, output } = &self.buckets;
        for (variable, bucket) in [("INPUT_BUCKET_NAME", input), ("OUTPUT_BUCKET_NAME", output)] {
            let (objects, name) = (self.objects.clone(), bucket.name().to_owned());
            checks.add(variable, bucket.name(), "s3:ListBucket", async move {
                objects.check_bucket(&name).await
            });
        }
        for (variable, table) in [
            ("JOBS_TABLE_NAME", &self.tables.jobs),
            ("SEGMENT_COMPLETIONS_TABLE_NAME", &self.tables.completions),
            ("REASSEMBLY_TRIGGERED_TABLE_NAME", &self.tables.triggers),
            ("INFERENCE_INVOCATIONS_TABLE_NAME", &self.tables.invocations),
        ]
        .into_iter()
        .filter(|(_, table)| !table.is_empty())
        {
            let (ledger, name) = (self.ledger.clone(), table.clone());
            checks.add(variable, table, "dynamodb:DescribeTable", async move {
                ledger.check_table(&name).await
            });
        }
        checks.run().await?;
        self.check_policies()
    }

    /// Those that work comes from.
    fn queues(&self) -> impl Iterator<Item = &Named> {
        let all = [&self.segments, &self.output_events, &self.reassembly, &self.chunking];
        all.into_iter().flatten()
    }

    /// Whether live work can end in the dead letters of the queues' own.
    fn check_policies(&self) -> Result<()> {
        for named in self.queues() {
            let Some(most) = named.queue.max_receives() else { continue };
            let Named { variable, url, .. } = named;
            if most < 2 {
                bail!(
                    "{variable} {url:?}: its redrive policy has maxReceiveCount {most}: a worker that \
                     restarts would send live work to the dead letters; allowed is 2 or more"
                );
            }
            if most < ENOUGH_RECEIVES {
                warn!(
                    variable,
                    url,
                    max_receive_count = most,
                    recommended = ENOUGH_RECEIVES,
                    "the queue's redrive policy is tight: workers that die or services that fail \
                     a few times in a row move live work to its dead letters"
                );
            }
        }
        Ok(())
    }
}

/// The ledger and the queues alone.
pub(super) async fn operator(settings: &Settings) -> Result<Operator> {
    let it = connect(settings, &usual_roles()).await?;
    let shared = |named: Named| Arc::new(named.queue) as Arc<dyn Queue>;
    let or_elsewhere =
        |named: Option<Named>| named.map_or_else(|| Arc::new(Elsewhere) as _, shared);
    Ok(Operator {
        ledger: Arc::new(it.ledger),
        objects: Arc::new(it.objects),
        buckets: it.buckets,
        segments: or_elsewhere(it.segments),
        output_events: or_elsewhere(it.output_events),
        chunking: it.chunking.map(shared),
        reassembly: or_elsewhere(it.reassembly),
        dead_letters: it.dead.map(shared),
    })
}

/// Conversion metrics under the deployed names.
pub(crate) async fn conversions(namespace: &str) -> ConversionMetrics {
    let aws = Aws::load(&parallax_aws::Settings::default()).await;
    ConversionMetrics::new(aws.cloudwatch(), namespace)
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
    let dead_letters = it.dead.map(|named| Arc::new(named.queue) as Arc<dyn Queue>);
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
        ..Config::new(buckets)
    };
    let config = match settings.pace {
        Pace::Cloud => config,
        Pace::Quick => quick(config, run_limit),
    };
    let turns = format!("{}#sweep", pool(settings)?);
    let turns = DynamoLedger::new(it.aws.dynamodb(), it.tables.clone(), turns);
    let clocks = it.aws.clocks().clone();
    let ports = Ports {
        ledger: Arc::new(it.ledger),
        turns: Some(Arc::new(turns)),
        objects,
        segments: or_elsewhere("segments", it.segments),
        output_events: or_elsewhere("output-events", it.output_events),
        chunking: it.chunking.map(|named| inbox("chunking", named)),
        reassembly: or_elsewhere("reassembly", it.reassembly),
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
    Ok(Opened { ports, config, roles, _state: None })
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

fn required<'a>(variable: &str, value: &'a Option<String>) -> Result<&'a str> {
    match value.as_deref() {
        Some(value) if !value.is_empty() => Ok(value),
        _ => bail!("{variable} is not set: PLATFORM=aws needs it"),
    }
}

fn queue_url<'a>(variable: &str, url: &'a str) -> Result<&'a str> {
    // The parser forgives what no queue's address has: spaces, tabs and line ends.
    let read = Url::parse(url).ok().filter(|_| !url.contains(char::is_whitespace));
    match read {
        Some(read) if matches!(read.scheme(), "http" | "https") && read.path() != "/" => Ok(url),
        _ => bail!(
            "{variable} {url:?}: expected a queue's address, \
             such as https://sqs.eu-west-1.amazonaws.com/123456789012/name"
        ),
    }
}

fn tables(names: &AwsSettings, reassembly_is_elsewhere: bool) -> Result<Tables> {
    let name = |variable: &str, value: &Option<String>| -> Result<String> {
        let name = required(variable, value)?;
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        if !(3..=255).contains(&name.len()) || !name.bytes().all(fits) {
            bail!(
                "{variable} {name:?}: a table's name is 3 to 255 of a-z, A-Z, 0-9, '_', '.', '-'"
            );
        }
        Ok(name.to_owned())
    };
    Ok(Tables {
        jobs: name("JOBS_TABLE_NAME", &names.jobs_table_name)?,
        completions: name("SEGMENT_COMPLETIONS_TABLE_NAME", &names.segment_completions_table_name)?,
        triggers: match &names.reassembly_triggered_table_name {
            None if reassembly_is_elsewhere => String::new(),
            named => name("REASSEMBLY_TRIGGERED_TABLE_NAME", named)?,
        },
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
        other => Ok(other.pool().to_owned()),
    }
}

fn bucket(variable: &str, name: &Option<String>) -> Result<Bucket> {
    let bucket = Bucket::Cloud { scheme: Scheme::S3, name: required(variable, name)?.to_owned() };
    // An address in it shows whether the name can be one.
    let probe: JobId = "probe".parse()?;
    match bucket.uri(&ObjectKey::Source(probe)) {
        Ok(_) => Ok(bucket),
        Err(error) => bail!("{variable} {:?}: {error}", bucket.name()),
    }
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

/// Media steps and queues of a daemon whose roles have none: never called, and an error if they were.
#[derive(Debug)]
struct Elsewhere;

impl Elsewhere {
    fn refuse() -> MediaError {
        Error::new(Kind::Rejected, "this daemon's roles have no media work").into()
    }

    fn no_messages<T>() -> parallax_ports::Result<T> {
        Err(Error::new(Kind::Rejected, "this daemon's roles have no such queue"))
    }
}

#[async_trait]
impl Queue for Elsewhere {
    async fn receive(
        &self,
        _: usize,
        _: Duration,
        _: Duration,
    ) -> parallax_ports::Result<Vec<Message>> {
        Self::no_messages()
    }

    async fn delete(&self, _: &Receipt) -> parallax_ports::Result<()> {
        Self::no_messages()
    }

    async fn change_visibility(&self, _: &Receipt, _: Duration) -> parallax_ports::Result<()> {
        Self::no_messages()
    }

    async fn send(&self, _: &str, _: &[(&str, &str)]) -> parallax_ports::Result<()> {
        Self::no_messages()
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
