//! Outcomes that become known through an endpoint's topics.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::{
    Bucket, Buckets, JobId, JobStatus, Mode, ObjectKey, Scheme, Segment, Timestamp,
};
use parallax_ports::health::Beats;
use parallax_ports::ledger::{HolderId, Intent, IntentOutcome, Job, SegmentRow, SegmentState};
use parallax_ports::memory::{MemoryLedger, MemoryObjects, MemoryQueue};
use parallax_ports::{
    Assembler, Chunker, Clock, Custody, Cut, Ids, InferenceBackend, Invocation, Invoked, Ledger,
    Locations, MediaError, NoMetrics, ObjectStore, Queue, Result, TokioClock,
};
use parallax_worker::{Config, Inbox, Pipeline, Ports, Role, Roles, Stop, run};
use tokio_util::sync::CancellationToken;

/// An endpoint that is never asked: its attempts are in the ledger already.
#[derive(Debug)]
struct Endpoint;

#[async_trait]
impl InferenceBackend for Endpoint {
    fn custody(&self) -> Custody {
        Custody::Backend
    }

    fn attempt_name(&self, segment: &Segment, attempt: u32) -> Option<String> {
        Some(format!("id-{}-{attempt}", segment.index))
    }

    async fn invoke(&self, _: &Invocation, _: &CancellationToken) -> Result<Invoked> {
        unreachable!("no role of the test invokes")
    }
}

#[derive(Debug)]
struct NoMedia;

#[async_trait]
impl Chunker for NoMedia {
    async fn plan(
        &self,
        _: &JobId,
        _: Mode,
        _: &CancellationToken,
    ) -> std::result::Result<Box<dyn Cut>, MediaError> {
        unreachable!("no role of the test cuts")
    }
}

#[async_trait]
impl Assembler for NoMedia {
    async fn assemble(
        &self,
        _: &JobId,
        _: u32,
        _: &CancellationToken,
    ) -> std::result::Result<(), MediaError> {
        unreachable!("no role of the test joins")
    }
}

struct World {
    clock: Arc<TokioClock>,
    ledger: Arc<MemoryLedger>,
    objects: Arc<MemoryObjects>,
    events: Arc<MemoryQueue>,
    buckets: Buckets,
}

fn cloud(name: &str) -> Bucket {
    Bucket::Cloud { scheme: Scheme::S3, name: name.to_owned() }
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TokioClock::starting_at(Timestamp(1_700_000_000_000)));
        Self {
            ledger: Arc::default(),
            objects: Arc::new(MemoryObjects::new(clock.clone(), Vec::new())),
            events: Arc::new(MemoryQueue::default()),
            buckets: Buckets { input: cloud("input"), output: cloud("output") },
            clock,
        }
    }

    /// An attempt at segment `index` of three that the endpoint has accepted.
    async fn invoked(&self, index: u32, locations: Locations) -> SegmentRow {
        let now = self.clock.now();
        let job_id: JobId = "job".parse().unwrap();
        let job = Job { total_segments: Some(3), ..Job::new(job_id.clone(), Mode::Sbs, now) };
        let job = Job { status: JobStatus::ChunkingComplete, ..job };
        self.ledger.create_job(&job).await.unwrap();
        let holder = HolderId(format!("h{index}"));
        let later = now + Duration::from_secs(3600);
        self.ledger.reserve(&holder, 5, later, now).await.unwrap();
        let result = ObjectKey::Result { job_id: job_id.clone(), index };
        let intent = Intent {
            segment: Segment::new(job_id, index, 3, Mode::Sbs).unwrap(),
            nonce: holder.0.clone(),
            holder,
            custody: Custody::Backend,
            input: "s3://input/x".parse().unwrap(),
            output: self.buckets.output.uri(&result).unwrap(),
            deadline: later,
            now,
        };
        let IntentOutcome::Recorded(row) = self.ledger.record_intent(&intent).await.unwrap() else {
            panic!("recorded")
        };
        self.ledger.record_invoked(&row.fence(), &locations, later).await.unwrap();
        *row
    }

    /// Delivers messages to the output-events loop, alone, and lets it finish.
    async fn deliver(&self, bodies: &[String]) {
        for body in bodies {
            self.events.send(body, &[]).await.unwrap();
        }
        let inbox = |name, queue: &Arc<MemoryQueue>| Inbox {
            name,
            queue: queue.clone(),
            dead_letters: None,
        };
        let other = Arc::new(MemoryQueue::default());
        let ports = Ports {
            ledger: self.ledger.clone(),
            objects: self.objects.clone(),
            segments: inbox("segments", &other),
            output_events: inbox("output-events", &self.events),
            chunking: None,
            reassembly: inbox("reassembly", &other),
            backend: Arc::new(Endpoint),
            chunker: Arc::new(NoMedia),
            assembler: Arc::new(NoMedia),
            metrics: Arc::new(NoMetrics),
            beats: Beats::default(),
            clock: self.clock.clone(),
            ids: Arc::new(Ids::seeded(1)),
        };
        let pipeline = Pipeline::new(ports, Config::new(self.buckets.clone())).unwrap();
        let stop = Stop::default();
        let soft = stop.soft.clone();
        let roles = Roles::from_iter([Role::OutputEvents]);
        let ending = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            soft.cancel();
        };
        let (ended, ()) = tokio::join!(run(Arc::new(pipeline), &roles, stop), ending);
        ended.unwrap();
    }

    async fn state(&self, row: &SegmentRow) -> SegmentRow {
        self.ledger.segment(&row.segment).await.unwrap().unwrap()
    }

    async fn write(&self, uri: &parallax_job::Uri) {
        self.objects.write(uri, b"bytes").await.unwrap();
    }
}

fn message(status: &str, id: &str, more: &str) -> String {
    format!(
        r#"{{"eventName":"InferenceResult","invocationStatus":"{status}","inferenceId":"{id}",
            "failureReason":"out of memory"{more}}}"#
    )
}

#[tokio::test(start_paused = true)]
async fn a_result_is_matched_by_location_name_or_request_and_proven_by_its_object() {
    let world = World::new();
    let at = |n| Locations { response: format!("s3://output/r{n}").parse().ok(), failure: None };
    let mut rows = Vec::new();
    for index in 0..3 {
        let row = world.invoked(index, at(index)).await;
        world.write(&row.output).await;
        world.write(at(index).response.as_ref().unwrap()).await;
        rows.push(row);
    }
    let by_location =
        message("Completed", "?", r#","responseParameters":{"outputLocation":"s3://output/r0"}"#);
    let by_request = message(
        "Completed",
        "?",
        r#","requestParameters":{"inputLocation":"s3://output/sagemaker-invocation-requests/job/2.json"}"#,
    );
    world.deliver(&[by_location, message("Completed", "id-1-1", ""), by_request]).await;
    for row in &rows {
        assert_eq!(world.state(row).await.state, SegmentState::Done, "{}", row.segment);
    }
    assert_eq!(world.ledger.holders().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_claim_without_its_object_proves_nothing() {
    let world = World::new();
    let locations =
        Locations { response: "s3://output/r".parse().ok(), failure: "s3://output/f".parse().ok() };
    let row = world.invoked(0, locations).await;
    let claims = [message("Completed", "id-0-1", ""), message("Failed", "id-0-1", "")];
    world.deliver(&claims).await;
    assert_eq!(world.state(&row).await.state, SegmentState::Invoked);
    assert_eq!(world.ledger.holders().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_failure_objects_the_topic_is_believed() {
    let world = World::new();
    let row = world.invoked(0, Locations::default()).await;
    world.deliver(&[message("Failed", "id-0-2", "")]).await;
    assert_eq!(world.state(&row).await.state, SegmentState::Invoked, "another attempt's");
    world.deliver(&[message("Failed", "id-0-1", "")]).await;
    let ended = world.state(&row).await;
    assert_eq!((ended.state, ended.failures), (SegmentState::RetryWait, 1));
    assert_eq!(ended.last_error.unwrap().message, "out of memory");
}
