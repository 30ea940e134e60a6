//! A deployment on AWS as far as one machine can play it: moto for SQS, S3 and DynamoDB, the
//! emulator for SageMaker, real daemons.
//!
//! Bucket notifications are moto's own: an object that is written raises the event that its
//! bucket's configuration asks for, and nothing here sends events in their place.

mod endpoint;
mod jobs;
mod moto;
mod resources;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use parallax_aws::{Aws, DynamoLedger, S3Objects, SqsQueue};
use parallax_job::{Bucket, Buckets, Scheme};
use parallax_ports::Depth;
use tempfile::TempDir;

use endpoint::REGION;

pub use endpoint::{Endpoint, Service};
pub use jobs::{Cut, Order, content};
pub use moto::{EventFaults, Moto};
pub use resources::{QueueUrls, Queues};

const ENDPOINT: &str = "stereo-endpoint";
const INPUT: &str = "stereo-input";
const OUTPUT: &str = "stereo-output";

/// The deployment, and the harness's own access to it.
#[derive(Debug)]
pub struct Cloud {
    /// The server behind everything but the endpoint.
    pub moto: Moto,
    /// The queues.
    pub queues: Queues,
    /// The buckets.
    pub buckets: Buckets,
    /// Every object.
    pub objects: S3Objects,
    /// The ledger of the endpoint's permits.
    pub ledger: DynamoLedger,
    tables: parallax_aws::Tables,
    sqs: aws_sdk_sqs::Client,
    folder: TempDir,
}

/// A message that nobody took.
#[derive(Debug, Clone)]
pub struct Left {
    /// Its body.
    pub body: String,
    /// The attribute `reason`, which dead letters have.
    pub reason: Option<String>,
    /// How often it was received, this time included.
    pub receive_count: u32,
}

impl Cloud {
    /// Builds the deployment; `pool` names what the permits limit: the endpoint, `http` or `stub`.
    pub async fn start(faults: EventFaults, pool: &str) -> Self {
        let moto = Moto::start(faults);
        let settings = parallax_aws::Settings {
            region: Some(REGION.to_owned()),
            endpoint_url: Some(moto.url.clone()),
            ..parallax_aws::Settings::default()
        };
        let credentials = Credentials::new("test", "test", None, None, "tests");
        let aws = Aws::load(&settings).await.with_credentials(credentials);
        let queues = resources::queues(&aws).await;
        resources::buckets(&aws, &queues, INPUT, OUTPUT).await;
        let tables = resources::tables(&aws).await;
        let cloud = |name: &str| Bucket::Cloud { scheme: Scheme::S3, name: name.to_owned() };
        Self {
            moto,
            queues,
            buckets: Buckets { input: cloud(INPUT), output: cloud(OUTPUT) },
            objects: S3Objects::new(aws.s3()),
            ledger: DynamoLedger::new(aws.dynamodb(), tables.clone(), pool),
            tables,
            sqs: aws.sqs(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The pool of permits of the SageMaker endpoint.
    pub fn endpoint_pool() -> &'static str {
        ENDPOINT
    }

    /// `video-worker` with the environment file of a deployment, and nothing that only this daemon
    /// knows but where its own scratch space and health endpoints are.
    pub fn worker(&self) -> Command {
        let mut command = endpoint::program("video-worker", &self.moto.url);
        let Queues { chunking, video_worker, output_events, reassembly } = &self.queues;
        for (name, value) in [
            ("PLATFORM", "aws"),
            ("INPUT_BUCKET_NAME", INPUT),
            ("OUTPUT_BUCKET_NAME", OUTPUT),
            ("JOBS_TABLE_NAME", &self.tables.jobs),
            ("SEGMENT_COMPLETIONS_TABLE_NAME", &self.tables.completions),
            ("REASSEMBLY_TRIGGERED_TABLE_NAME", &self.tables.triggers),
            ("INFERENCE_INVOCATIONS_TABLE_NAME", &self.tables.invocations),
            ("CHUNKING_QUEUE_URL", &chunking.queue),
            ("VIDEO_WORKER_QUEUE_URL", &video_worker.queue),
            ("OUTPUT_EVENTS_QUEUE_URL", &output_events.queue),
            ("REASSEMBLY_QUEUE_URL", &reassembly.queue),
            ("DEAD_LETTER_QUEUE_URL", &video_worker.dead_letters),
            ("HEALTH_ADDRESS", "127.0.0.1:0"),
        ] {
            command.env(name, value);
        }
        command.env("STATE_DIR", self.folder.path().join("state"));
        command.env("TMPDIR", self.folder.path());
        command
    }

    /// `video-worker` before the SageMaker endpoint.
    pub fn worker_of(&self, endpoint: &Endpoint) -> Command {
        let mut command = self.worker();
        command.env("INFERENCE_BACKEND", "sagemaker");
        command.env("SAGEMAKER_ENDPOINT_NAME", ENDPOINT).env("SAGEMAKER_REGION", REGION);
        command.env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", endpoint.url());
        command
    }

    /// A container of its own.
    pub fn container(&self, run: Duration) -> Service {
        endpoint::container(|name| endpoint::program(name, &self.moto.url), run)
    }

    /// An endpoint with as many instances, and the emulator's options for what goes wrong.
    pub fn endpoint(&self, instances: usize, run: Duration, options: &[(&str, &str)]) -> Endpoint {
        let containers: Vec<_> = (0..instances).map(|_| self.container(run)).collect();
        let urls: Vec<_> = containers.iter().map(|container| container.url.clone()).collect();
        Endpoint::new(self.emulator(&urls, options), containers)
    }

    /// An endpoint before containers that run already, by their addresses.
    pub fn endpoint_before(&self, containers: &[String]) -> Endpoint {
        Endpoint::new(self.emulator(containers, &[]), Vec::new())
    }

    fn emulator(&self, containers: &[String], options: &[(&str, &str)]) -> Service {
        let mut command = endpoint::program("sagemaker-emulator", &self.moto.url);
        command.args(["--endpoint", ENDPOINT]);
        for container in containers {
            command.args(["--container", container]);
        }
        for (option, folder) in [("--responses", "responses"), ("--failures", "failures")] {
            command.arg(option).arg(format!("s3://{OUTPUT}/sagemaker-async-{folder}/"));
        }
        for (option, value) in options {
            command.args([option, value]);
        }
        Service::start(&mut command)
    }

    /// How full a queue is.
    pub async fn depth(&self, url: &str) -> Depth {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesDelayed as Delayed,
            ApproximateNumberOfMessagesNotVisible as Hidden,
        };
        let call = self.sqs.get_queue_attributes().queue_url(url);
        let call = call.set_attribute_names(Some(vec![Visible, Hidden, Delayed]));
        let found = call.send().await.unwrap().attributes.unwrap();
        let count = |name| found.get(&name).map_or(0, |text| text.parse().unwrap());
        Depth { visible: count(Visible) + count(Delayed), hidden: count(Hidden) }
    }

    /// Whether the queues that the daemons receive from have nothing, visible or hidden.
    pub async fn working_queues_are_empty(&self) -> bool {
        for url in [&self.queues.video_worker.queue, &self.queues.output_events.queue] {
            if self.depth(url).await != (Depth { visible: 0, hidden: 0 }) {
                return false;
            }
        }
        true
    }

    /// Takes every visible message off a queue.
    pub async fn take_all(&self, url: &str) -> Vec<Left> {
        let mut taken = Vec::new();
        loop {
            let call = self.sqs.receive_message().queue_url(url).max_number_of_messages(10);
            let call = call.wait_time_seconds(0).message_attribute_names("All");
            let count = MessageSystemAttributeName::ApproximateReceiveCount;
            let call = call.message_system_attribute_names(count.clone());
            let messages = call.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return taken;
            }
            for message in messages {
                let reason = message.message_attributes().and_then(|all| all.get("reason"));
                taken.push(Left {
                    reason: reason.and_then(|value| value.string_value.clone()),
                    receive_count: message.attributes.as_ref().unwrap()[&count].parse().unwrap(),
                    body: message.body.unwrap(),
                });
                let call = self.sqs.delete_message().queue_url(url);
                call.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
            }
        }
    }

    /// The queue at an address, as a port.
    pub fn queue(&self, url: &str) -> Arc<SqsQueue> {
        Arc::new(SqsQueue::new(self.sqs.clone(), url))
    }

    /// A folder of the test's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
