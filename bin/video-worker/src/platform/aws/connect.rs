//! Clients for what the settings name, checked before anything is received.

use std::fmt;

use anyhow::{Result, bail};
use parallax_aws::{Aws, DynamoLedger, S3Objects, SqsQueue, Tables};
use parallax_job::{Bucket, Buckets, JobId, ObjectKey, Scheme};
use parallax_worker::{Role, Roles};
use tracing::warn;
use url::Url;

use crate::backend::Backend;
use crate::config::{CompletionOwner, Settings};
use crate::platform::report::Checks;

/// Deliveries that suffice: each of a segment's attempts may end with its worker, and there are eight.
const ENOUGH_RECEIVES: u32 = 10;

/// A queue with the variable that names it.
pub(super) struct Named {
    pub(super) variable: &'static str,
    pub(super) url: String,
    pub(super) queue: SqsQueue,
}

/// The queues that the roles receive from or send to.
pub(super) struct Queues {
    /// `None` where no role receives segments or announces them again.
    pub(super) segments: Option<Named>,
    /// `None` where no role receives output events.
    pub(super) output_events: Option<Named>,
    /// `None` where somebody else asks for reassembly.
    pub(super) reassembly: Option<Named>,
    pub(super) chunking: Option<Named>,
    pub(super) dead: Option<Named>,
}

/// Clients for everything that the settings name; nothing has been asked yet.
pub(super) struct Connected {
    pub(super) aws: Aws,
    pub(super) queues: Queues,
    pub(super) objects: S3Objects,
    pub(super) tables: Tables,
    pub(super) ledger: DynamoLedger,
    pub(super) buckets: Buckets,
}

/// What a daemon with neither roles nor a reason to leave something out does.
pub(super) fn usual_roles() -> Roles {
    Roles::from_iter([Role::Segments, Role::OutputEvents, Role::Reconcile])
}

/// Whether any of the roles asks the backend, or about what it was asked.
pub(super) fn ask_a_backend(roles: &Roles) -> bool {
    usual_roles().iter().any(|role| roles.has(role))
}

/// What the roles need, and nothing of others': their variables may be unset, and what they name out of
/// reach.
///
/// # Errors
/// One message that names every variable that is missing or malformed.
pub(super) async fn connect(settings: &Settings, roles: &Roles) -> Result<Connected> {
    let aws = Aws::load(&parallax_aws::Settings {
        sagemaker_region: settings.aws.sagemaker_region.clone(),
        ..parallax_aws::Settings::default()
    })
    .await;
    let mut wrong = Wrong::default();
    if aws.region().is_none() {
        wrong.add("AWS_REGION is not set: PLATFORM=aws needs it");
    }
    let queues = queues(settings, roles, &aws, &mut wrong);
    let tables = tables(settings, &mut wrong);
    let input = wrong.note(bucket("INPUT_BUCKET_NAME", &settings.input_bucket_name));
    let output = wrong.note(bucket("OUTPUT_BUCKET_NAME", &settings.output_bucket_name));
    let pool = wrong.note(pool(settings));
    let asks_a_server = settings.inference_backend == Backend::Http && ask_a_backend(roles);
    if asks_a_server && settings.http.inference_http_url.is_empty() {
        wrong.add("INFERENCE_HTTP_URL is not set: INFERENCE_BACKEND=http needs it");
    }
    let (Some(input), Some(output), Some(pool), true) = (input, output, pool, wrong.is_nothing())
    else {
        bail!("{wrong}");
    };
    let mut ledger = DynamoLedger::new(aws.dynamodb(), tables.clone(), pool);
    if settings.completion_owner == CompletionOwner::JobWorker {
        ledger = ledger.beside_a_completion_owner();
    }
    let (buckets, objects) = (Buckets { input, output }, S3Objects::new(aws.s3()));
    Ok(Connected { queues, buckets, objects, tables, ledger, aws })
}

fn queues(settings: &Settings, roles: &Roles, aws: &Aws, wrong: &mut Wrong) -> Queues {
    let names = &settings.aws;
    let mut queue = |is_needed: bool, variable: &'static str, url: &Option<String>| {
        let is_unset = url.as_ref().is_none_or(String::is_empty);
        if is_unset && !is_needed {
            return None;
        }
        wrong.note(named(aws, variable, url))
    };
    // What another role alone needs is not looked at even where it is named.
    let own = |by: &[Role], url: &Option<String>| {
        let is_needed = by.iter().any(|role| roles.has(*role));
        (is_needed, url.clone().filter(|_| is_needed))
    };
    let (sends, segments) = own(&[Role::Segments, Role::Reconcile], &names.video_worker_queue_url);
    let (hears, events) = own(&[Role::OutputEvents], &names.output_events_queue_url);
    let (joins, cuts) = (!settings.reassembly_is_elsewhere(), roles.has(Role::Chunking));
    Queues {
        segments: queue(sends, "VIDEO_WORKER_QUEUE_URL", &segments),
        output_events: queue(hears, "OUTPUT_EVENTS_QUEUE_URL", &events),
        reassembly: queue(joins, "REASSEMBLY_QUEUE_URL", &names.reassembly_queue_url),
        chunking: queue(cuts, "CHUNKING_QUEUE_URL", &names.chunking_queue_url),
        dead: queue(false, "DEAD_LETTER_QUEUE_URL", &names.dead_letter_queue_url),
    }
}

fn named(aws: &Aws, variable: &'static str, url: &Option<String>) -> Result<Named> {
    let url = queue_url(variable, required(variable, url)?)?;
    Ok(Named { variable, url: url.to_owned(), queue: SqsQueue::new(aws.sqs(), url) })
}

/// Everything that is wrong with the names, so that a start says it at once.
#[derive(Debug, Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn add(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }

    fn note<T>(&mut self, found: Result<T>) -> Option<T> {
        found.map_err(|error| self.add(format!("{error:#}"))).ok()
    }

    fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl Queues {
    /// Those that work comes from.
    pub(super) fn working(&self) -> impl Iterator<Item = &Named> {
        let all = [&self.segments, &self.output_events, &self.reassembly, &self.chunking];
        all.into_iter().flatten()
    }
}

impl Connected {
    /// Asks whether everything is there and may be seen.
    pub(super) async fn check(&self) -> Result<()> {
        let mut checks = Checks::default();
        for named in self.queues.working().chain(&self.queues.dead) {
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

    /// Whether live work can end in the dead letters of the queues' own.
    fn check_policies(&self) -> Result<()> {
        for named in self.queues.working() {
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

pub(super) fn required<'a>(variable: &str, value: &'a Option<String>) -> Result<&'a str> {
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

/// The tables. What only whoever records completions and asks for reassembly needs may be unnamed where
/// that is a job-worker: the rows in the table of invocations say what this daemon has completed.
fn tables(settings: &Settings, wrong: &mut Wrong) -> Tables {
    let (names, completes) = (&settings.aws, !settings.reassembly_is_elsewhere());
    let mut name = |is_needed: bool, variable: &'static str, value: &Option<String>| {
        let is_unset = value.as_ref().is_none_or(String::is_empty);
        if is_unset && !is_needed {
            return String::new();
        }
        wrong.note(table(variable, value)).unwrap_or_default()
    };
    let (completions, triggers, invocations) = (
        &names.segment_completions_table_name,
        &names.reassembly_triggered_table_name,
        &names.inference_invocations_table_name,
    );
    Tables {
        jobs: name(true, "JOBS_TABLE_NAME", &names.jobs_table_name),
        completions: name(completes, "SEGMENT_COMPLETIONS_TABLE_NAME", completions),
        triggers: name(completes, "REASSEMBLY_TRIGGERED_TABLE_NAME", triggers),
        // Whatever the backend: the permits and the state of every segment are kept there.
        invocations: name(true, "INFERENCE_INVOCATIONS_TABLE_NAME", invocations),
    }
}

fn table(variable: &str, value: &Option<String>) -> Result<String> {
    let name = required(variable, value)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    if !(3..=255).contains(&name.len()) || !name.bytes().all(fits) {
        bail!("{variable} {name:?}: a table's name is 3 to 255 of a-z, A-Z, 0-9, '_', '.', '-'");
    }
    Ok(name.to_owned())
}

/// What the permits limit: an endpoint, or everything behind another backend.
pub(super) fn pool(settings: &Settings) -> Result<String> {
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
