//! A deployment in memory with its console, and requests as bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parallax_conformance::fault::{Faults, Faulty, Rates, Tally};
use parallax_conformance::memory::{MemoryLedger, MemoryObjects, MemoryQueue, MemoryRecords};
use parallax_console::{Console, Deployment, NamedQueue, Settings};
use parallax_job::{
    Bucket, Buckets, JobId, JobStatus, Mode, ObjectKey, Scheme, Segment, Timestamp,
};
use parallax_listener::{Limits, Listener};
use parallax_ports::ledger::{
    AttemptError, Cost, HolderId, Intent, IntentOutcome, Job, SegmentRow,
};
use parallax_ports::{Custody, Ledger, ObjectStore, Queue, SystemClock};
use parallax_secret::{Given, Secret, one_line};
use parallax_worker::Operator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const TOKEN: &str = "a-token-of-the-tests";

/// Every attempt has a holder of its own.
static HOLDERS: AtomicU64 = AtomicU64::new(0);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// A console that is being served, and what it shows.
pub(crate) struct Served {
    pub(crate) host: String,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) objects: Arc<MemoryObjects>,
    pub(crate) segments: Arc<MemoryQueue>,
    pub(crate) dead: Arc<MemoryQueue>,
    pub(crate) records: Arc<MemoryRecords>,
    /// Every call of the ledger goes through these.
    pub(crate) faults: Arc<Faults>,
    pub(crate) buckets: Buckets,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// How a console is served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) token: Option<&'static str>,
    pub(crate) everybody_reads: bool,
}

/// On loopback, with a token.
pub(crate) const USUAL: Way = Way { token: Some(TOKEN), everybody_reads: true };

fn bucket(name: &str) -> Bucket {
    Bucket::Cloud { scheme: Scheme::S3, name: name.to_owned() }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_system_clock()
}

impl Served {
    pub(crate) async fn start(way: Way) -> Self {
        let ledger: Arc<MemoryLedger> = Arc::default();
        let objects = Arc::new(MemoryObjects::new(Arc::new(SystemClock), Vec::new()));
        let (segments, dead): (Arc<MemoryQueue>, Arc<MemoryQueue>) = Default::default();
        let records: Arc<MemoryRecords> = Arc::default();
        let faults = Faults::seeded(0, Rates::default(), Arc::<Tally>::default()).traced();
        let faults = Arc::new(faults);
        let buckets = Buckets { input: bucket("input"), output: bucket("output") };
        let operator = Operator {
            ledger: Arc::new(Faulty::new(ledger.clone(), faults.clone())),
            pool: "memory".to_owned(),
            switches: ledger.clone(),
            objects: objects.clone(),
            listing: objects.clone(),
            buckets: buckets.clone(),
            segments: segments.clone(),
            output_events: Arc::new(MemoryQueue::default()),
            chunking: None,
            reassembly: Arc::new(MemoryQueue::default()),
            dead_letters: vec![dead.clone()],
        };
        let named = |name: &str, queue: &Arc<MemoryQueue>| NamedQueue {
            name: name.to_owned(),
            queue: queue.clone(),
        };
        let deployment = Deployment {
            operator,
            queues: vec![named("segments", &segments)],
            dead_letters: vec![named("dead-letters", &dead)],
            replicas: records.clone(),
            acts: records.clone(),
            clock: Arc::new(SystemClock),
        };
        let token = way.token.map(Secret::new);
        let canary = Some(Secret::new("canary-of-the-servers"));
        let settings = Settings {
            hosts: vec!["console.example".to_owned()],
            token: Given::new("WORKER_CONSOLE_TOKEN", token, None, one_line).unwrap(),
            everybody_reads: way.everybody_reads,
            max_in_flight: 5,
            never_ends_attempts: None,
            secrets: Given::new("INFERENCE_HTTP_TOKEN", canary, None, one_line)
                .unwrap()
                .into_iter()
                .collect(),
            platform: "memory".to_owned(),
        };
        let stop = CancellationToken::new();
        let console = Console::new(deployment, settings, stop.clone());
        let limits = Limits { head: Duration::from_millis(500), ..Limits::default() };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), limits).await.unwrap();
        let host = listener.address().unwrap().to_string();
        let task = tokio::spawn(listener.serve(console.routes(), stop.clone(), Duration::ZERO));
        Self { host, ledger, objects, segments, dead, records, faults, buckets, stop, task }
    }

    /// Ends as the program does.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// The cookie of an operator who gave the token.
    pub(crate) async fn enter(&self) -> String {
        let form = format!("token={TOKEN}&name=ann&next=%2Fqueues");
        let answer = self.send("POST", "/enter", &[], form.as_bytes()).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some("/queues")),
            "{answer:?}"
        );
        let cookie = answer.header("set-cookie").unwrap();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }

    /// Asks as a page of the server does, with more `headers` or others in place of the usual ones.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut stream = self.open(method, path, headers, body).await;
        let mut answer = Vec::new();
        // A server that refuses without reading resets the connection after its answer.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer { status: status.unwrap_or(0), head: head.to_owned(), body: body.to_owned() }
    }

    /// The connection after a request was sent.
    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> TcpStream {
        let (origin, length) = (format!("http://{}", self.host), body.len().to_string());
        let usual = [
            ("host", &*self.host),
            ("origin", &*origin),
            ("content-length", &*length),
            ("connection", "close"),
        ];
        let others = usual.iter().filter(|(name, _)| !headers.iter().any(|(own, _)| own == name));
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in others.chain(headers).filter(|(_, value)| !value.is_empty()) {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(&self.host).await.unwrap();
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        stream
    }

    /// A job in a status.
    pub(crate) async fn job(&self, name: &str, status: JobStatus, total: u32) -> JobId {
        let id: JobId = name.parse().unwrap();
        let job = Job::new(id.clone(), Mode::Sbs, now() - Duration::from_secs(600));
        let job = Job { total_segments: Some(total), status, ..job };
        assert!(self.ledger.create_job(&job).await.unwrap());
        id
    }

    /// The next attempt at a segment, whose input is there.
    pub(crate) async fn attempt(&self, job: &JobId, index: u32, total: u32) -> SegmentRow {
        let segment = Segment::new(job.clone(), index, total, Mode::Sbs).unwrap();
        let input = self.buckets.input.uri(&ObjectKey::Segment(segment.clone())).unwrap();
        self.objects.write(&input, b"a segment").await.unwrap();
        let (now, later) = (now(), now() + Duration::from_secs(3600));
        let holder = HolderId(format!("holder-{}", HOLDERS.fetch_add(1, Ordering::Relaxed)));
        self.ledger.reserve(&holder, 20, later, now).await.unwrap();
        let result = ObjectKey::Result { job_id: job.clone(), index };
        let intent = Intent {
            segment,
            nonce: holder.0.clone(),
            holder,
            custody: Custody::Caller,
            input,
            output: self.buckets.output.uri(&result).unwrap(),
            deadline: later,
            lease: None,
            now,
        };
        let IntentOutcome::Recorded(row) = self.ledger.record_intent(&intent).await.unwrap() else {
            panic!("recorded")
        };
        *row
    }

    /// A job of three segments that failed at its second one, at the second attempt.
    pub(crate) async fn failed_job(&self, name: &str) -> JobId {
        let job = self.job(name, JobStatus::ChunkingComplete, 3).await;
        let first = self.attempt(&job, 0, 3).await;
        self.ledger.complete(&first.fence(), true, now()).await.unwrap();
        let error = AttemptError::new("model", "out of memory on <b>gpu</b> token=canary");
        let row = self.attempt(&job, 1, 3).await;
        let at = now() - Duration::from_secs(1);
        self.ledger.retry(&row.fence(), at, &error, Cost::Failure).await.unwrap();
        let row = self.attempt(&job, 1, 3).await;
        self.ledger.fail(&row.fence(), &error, now()).await.unwrap();
        job
    }

    /// A dead letter of a job that is not there.
    pub(crate) async fn dead_letter(&self, body: &str, reason: &str) {
        self.dead.send(body, &[("reason", reason), ("receive_count", "9")]).await.unwrap();
    }
}
