//! Everything that outlives a process, in memory, and processes on it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_conformance::fault::{Faults, Faulty, Rates};
use parallax_conformance::memory::{MemoryLedger, MemoryObjects, MemoryQueue};
use parallax_job::{
    Bucket, Buckets, JobId, JobStatus, Mode, ObjectEvent, ObjectKey, Scheme, Segment, Timestamp,
    Uri, s3_notification,
};
use parallax_ports::health::{Beats, Flags};
use parallax_ports::ledger::{HolderId, Intent, IntentOutcome, Job, SegmentRow};
use parallax_ports::metrics::Kind;
use parallax_ports::{
    Assembler, Chunker, Clock, Custody, Cut, Ids, InferenceBackend, Invocation, Invoked, Ledger,
    Locations, MediaError, MetricsSink, ObjectStore, Queue, Result, TokioClock,
};
use parallax_worker::{Config, Inbox, METRICS, Operator, Pipeline, Ports, Role, Roles, Stop, run};
use tokio_util::sync::CancellationToken;

/// Takes numbers that are in the table, with the labels that it says, and no others.
#[derive(Debug)]
struct Known;

impl Known {
    fn check(kind: Kind, name: &str, labels: &[(&str, &str)]) {
        let known = METRICS.iter().find(|metric| metric.name == name);
        let known = known.unwrap_or_else(|| panic!("{name} is not in the table"));
        let names: Vec<&str> = labels.iter().map(|(name, _)| *name).collect();
        assert_eq!((known.kind, known.labels), (kind, &names[..]), "{name}");
    }
}

impl MetricsSink for Known {
    fn count(&self, name: &'static str, labels: &[(&'static str, &'static str)], _: u64) {
        Self::check(Kind::Counter, name, labels);
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &'static str)], _: f64) {
        Self::check(Kind::Gauge, name, labels);
    }

    fn observe(&self, name: &'static str, labels: &[(&'static str, &'static str)], _: f64) {
        Self::check(Kind::Histogram, name, labels);
    }
}

/// An endpoint that is never asked: its attempts are in the ledger already.
#[derive(Debug)]
pub struct Endpoint;

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

pub struct Stage {
    pub clock: Arc<TokioClock>,
    pub ledger: Arc<MemoryLedger>,
    pub objects: Arc<MemoryObjects>,
    pub segments: Arc<MemoryQueue>,
    pub events: Arc<MemoryQueue>,
    pub reassembly: Arc<MemoryQueue>,
    pub dead: Arc<MemoryQueue>,
    pub buckets: Buckets,
}

fn cloud(name: &str) -> Bucket {
    Bucket::Cloud { scheme: Scheme::S3, name: name.to_owned() }
}

/// A queue's event of an object that was written.
pub fn written(uri: &Uri) -> String {
    let Uri::Object { bucket, key, .. } = uri else { panic!("{uri}") };
    s3_notification(&[ObjectEvent { bucket: bucket.clone(), key: key.clone(), size: Some(7) }])
}

impl Stage {
    pub fn new() -> Self {
        let clock = Arc::new(TokioClock::starting_at(Timestamp(1_700_000_000_000)));
        Self {
            ledger: Arc::default(),
            objects: Arc::new(MemoryObjects::new(clock.clone(), Vec::new())),
            segments: Arc::default(),
            events: Arc::default(),
            reassembly: Arc::default(),
            dead: Arc::default(),
            buckets: Buckets { input: cloud("input"), output: cloud("output") },
            clock,
        }
    }

    /// A job that is cut into `total` segments.
    pub async fn job(&self, name: &str, total: u32) -> JobId {
        let job_id: JobId = name.parse().unwrap();
        let job = Job::new(job_id.clone(), Mode::Sbs, self.clock.now());
        let status = JobStatus::ChunkingComplete;
        let job = Job { total_segments: Some(total), status, ..job };
        self.ledger.create_job(&job).await.unwrap();
        job_id
    }

    pub fn segment(job: &str, index: u32, total: u32) -> Segment {
        Segment::new(job.parse().unwrap(), index, total, Mode::Sbs).unwrap()
    }

    pub fn input(&self, segment: &Segment) -> Uri {
        self.buckets.input.uri(&ObjectKey::Segment(segment.clone())).unwrap()
    }

    /// An attempt at a segment that is recorded, and of which no more is known.
    pub async fn intended(&self, segment: &Segment) -> SegmentRow {
        self.intended_until(segment, None).await
    }

    /// The same, with the lease of an owner who is handing it over.
    pub async fn intended_until(&self, segment: &Segment, lease: Option<Duration>) -> SegmentRow {
        let now = self.clock.now();
        let holder = HolderId(self.ledger.holders().await.unwrap().len().to_string());
        let later = now + Duration::from_secs(3600);
        self.ledger.reserve(&holder, 20, later, now).await.unwrap();
        let Segment { job_id, index, .. } = segment.clone();
        let intent = Intent {
            segment: segment.clone(),
            nonce: self.clock.now().to_string() + &holder.0,
            holder,
            custody: Custody::Backend,
            input: self.input(segment),
            output: self.buckets.output.uri(&ObjectKey::Result { job_id, index }).unwrap(),
            deadline: later,
            lease: lease.map(|lease| now + lease),
            now,
        };
        let IntentOutcome::Recorded(row) = self.ledger.record_intent(&intent).await.unwrap() else {
            panic!("recorded")
        };
        *row
    }

    /// An attempt that the endpoint has accepted.
    pub async fn invoked(&self, segment: &Segment, locations: Locations) -> SegmentRow {
        let row = self.intended(segment).await;
        self.ledger.record_invoked(&row.fence(), &locations, row.deadline).await.unwrap();
        row
    }

    pub async fn state(&self, row: &SegmentRow) -> SegmentRow {
        self.ledger.segment(&row.segment).await.unwrap().unwrap()
    }

    pub async fn write(&self, uri: &Uri) {
        self.objects.write(uri, b"sixteen bytes, ok").await.unwrap();
    }

    pub fn ports(&self, backend: Arc<dyn InferenceBackend>) -> Ports {
        let inbox = |name, queue: &Arc<MemoryQueue>| Inbox {
            name,
            queue: queue.clone(),
            dead_letters: Some(self.dead.clone() as Arc<dyn Queue>),
            max_receives: None,
        };
        Ports {
            ledger: self.ledger.clone(),
            turns: None,
            switches: Some(self.ledger.clone()),
            objects: self.objects.clone(),
            segments: inbox("segments", &self.segments),
            output_events: inbox("output-events", &self.events),
            chunking: None,
            reassembly: inbox("reassembly", &self.reassembly),
            backend,
            chunker: Arc::new(NoMedia),
            assembler: Arc::new(NoMedia),
            metrics: Arc::new(Known),
            beats: Beats::default(),
            flags: Flags::default(),
            clock: self.clock.clone(),
            clocks: Vec::new(),
            ids: Arc::new(Ids::seeded(1)),
        }
    }

    /// Ports whose ledger takes up to `longest` for each answer, until the faults are healed.
    pub fn slow_ports(
        &self,
        backend: Arc<dyn InferenceBackend>,
        longest: Duration,
    ) -> (Ports, Arc<Faults>) {
        let rates = Rates { delay: 1.0, longest, ..Rates::NONE };
        let faults = Arc::new(Faults::seeded(7, rates, Arc::default()));
        let ledger = Arc::new(Faulty::new(self.ledger.clone(), faults.clone()));
        (Ports { ledger, ..self.ports(backend) }, faults)
    }

    /// What operators work on, with these dead letters.
    pub fn operator(&self, dead_letters: Vec<Arc<dyn Queue>>) -> Operator {
        Operator {
            ledger: self.ledger.clone(),
            switches: self.ledger.clone(),
            pool: "the pool \"mine\"".to_owned(),
            objects: self.objects.clone(),
            listing: self.objects.clone(),
            buckets: self.buckets.clone(),
            segments: self.segments.clone(),
            output_events: self.events.clone(),
            chunking: None,
            reassembly: self.reassembly.clone(),
            dead_letters,
        }
    }

    pub fn config(&self) -> Config {
        Config::new(self.buckets.clone())
    }

    /// Runs one process for `time`, then drains it.
    pub async fn run(&self, ports: Ports, config: Config, roles: &[Role], time: Duration) {
        let pipeline = Arc::new(Pipeline::new(ports, config).unwrap());
        let stop = Stop::default();
        let soft = stop.soft.clone();
        let roles = Roles::from_iter(roles.iter().copied());
        let ending = async {
            tokio::time::sleep(time).await;
            soft.cancel();
        };
        let (ended, ()) = tokio::join!(run(pipeline, &roles, stop), ending);
        ended.unwrap();
    }
}
