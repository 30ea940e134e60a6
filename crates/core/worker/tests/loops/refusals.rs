//! A backend that takes no work for a while.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parallax_conformance::fault::{Faults, Faulty, Outage, Rates};
use parallax_conformance::memory::MemoryQueue;
use parallax_ports::ledger::SegmentState;
use parallax_ports::{
    Clock, Custody, Error, InferenceBackend, Invocation, Invoked, Kind, Locations, Message, Queue,
    Receipt, Result,
};
use parallax_worker::{Config, Inbox, Ports, Role, retry_now};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::stage::{Endpoint, Stage, written};

/// Refuses at first.
#[derive(Debug)]
pub struct Moody {
    until: Mutex<Instant>,
    retry_after: Option<Duration>,
    refused: AtomicUsize,
    taken: Mutex<Vec<Instant>>,
}

impl Moody {
    pub fn refusing_for(time: Duration, retry_after: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            until: Mutex::new(Instant::now() + time),
            retry_after,
            refused: AtomicUsize::new(0),
            taken: Mutex::default(),
        })
    }

    pub fn taken(&self) -> Vec<Instant> {
        self.taken.lock().unwrap().clone()
    }
}

#[async_trait]
impl InferenceBackend for Moody {
    fn custody(&self) -> Custody {
        Custody::Caller
    }

    async fn invoke(&self, _: &Invocation, _: &CancellationToken) -> Result<Invoked> {
        if Instant::now() < *self.until.lock().unwrap() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let error = Error::new(Kind::Unavailable, "503");
            return Err(match self.retry_after {
                Some(after) => error.with_retry_after(after),
                None => error,
            });
        }
        self.taken.lock().unwrap().push(Instant::now());
        sleep(Duration::from_secs(1)).await;
        Ok(Invoked::Written)
    }
}

/// A queue that gives a message up after so many deliveries, as a redrive policy says.
#[derive(Debug)]
struct Strict {
    inner: Arc<MemoryQueue>,
    most: u32,
    delivered: AtomicUsize,
    given_up: AtomicUsize,
}

impl Strict {
    fn before(inner: &Arc<MemoryQueue>, most: u32) -> Arc<Self> {
        let (delivered, given_up) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { inner: inner.clone(), most, delivered, given_up })
    }
}

#[async_trait]
impl Queue for Strict {
    async fn receive(&self, max: usize, wait: Duration, hidden: Duration) -> Result<Vec<Message>> {
        let mut messages = self.inner.receive(max, wait, hidden).await?;
        for message in messages.extract_if(.., |message| message.receive_count > self.most) {
            self.given_up.fetch_add(1, Ordering::Relaxed);
            self.inner.delete(&message.receipt).await?;
        }
        self.delivered.fetch_add(messages.len(), Ordering::Relaxed);
        Ok(messages)
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        self.inner.delete(receipt).await
    }

    async fn change_visibility(&self, receipt: &Receipt, hidden: Duration) -> Result<()> {
        self.inner.change_visibility(receipt, hidden).await
    }

    async fn send(&self, body: &str, attributes: &[(&str, &str)]) -> Result<()> {
        self.inner.send(body, attributes).await
    }
}

pub async fn submit(stage: &Stage, count: u32) {
    stage.job("job", count).await;
    for index in 0..count {
        let input = stage.input(&Stage::segment("job", index, count));
        stage.write(&input).await;
        stage.segments.send(&written(&input), &[]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_minutes_loses_no_live_work_and_ends_when_the_backend_is_back() {
    const COUNT: u32 = 12;
    let outage = Duration::from_secs(600);
    let stage = Stage::new();
    submit(&stage, COUNT).await;
    let backend = Moody::refusing_for(outage, None);
    let strict = Strict::before(&stage.segments, 5);
    let ports = stage.ports(backend.clone());
    let segments = Inbox { queue: strict.clone(), max_receives: Some(5), ..ports.segments.clone() };
    let began = Instant::now();
    let roles = [Role::Segments, Role::Reconcile];
    stage.run(Ports { segments, ..ports }, stage.config(), &roles, outage * 2).await;
    assert_eq!(strict.given_up.load(Ordering::Relaxed), 0, "live work in the dead letters");
    let taken = backend.taken();
    assert_eq!(taken.len(), COUNT as usize, "each once: {taken:?}");
    let back = began + outage;
    assert!(taken[0] - back <= Duration::from_secs(15), "{:?}", taken[0] - back);
    let last = *taken.last().unwrap() - taken[0];
    assert!(last <= Duration::from_secs(15), "all are taken up soon after the first: {last:?}");
    let refused = backend.refused.load(Ordering::Relaxed);
    assert!(refused <= 5 + 600 / 5, "one message at a time finds out: {refused}");
}

#[tokio::test(start_paused = true)]
async fn events_wait_in_their_queue_while_the_ledger_is_out() {
    const COUNT: u32 = 20;
    let stage = Stage::new();
    stage.job("job", COUNT).await;
    let mut rows = Vec::new();
    for index in 0..COUNT {
        let response = format!("s3://output/sagemaker-async-responses/{index}.out").parse();
        let locations = Locations { response: response.ok(), failure: None };
        let row = stage.invoked(&Stage::segment("job", index, COUNT), locations.clone()).await;
        stage.write(&row.output).await;
        stage.write(locations.response.as_ref().unwrap()).await;
        let event = written(locations.response.as_ref().unwrap());
        stage.events.send(&event, &[]).await.unwrap();
        rows.push(row);
    }
    let time = Duration::from_secs(600);
    let began = Instant::now();
    let out =
        Outage { calls: "ledger.", from: began, until: began + time, kind: Kind::Unavailable };
    let faults = Faults::seeded(1, Rates::NONE, Arc::default()).with_outages([out].into());
    let ports = stage.ports(Arc::new(Endpoint));
    let ledger = Arc::new(Faulty::new(stage.ledger.clone(), Arc::new(faults)));
    let strict = Strict::before(&stage.events, 5);
    let output_events =
        Inbox { queue: strict.clone(), max_receives: Some(5), ..ports.output_events.clone() };
    let ports = Ports { ledger, output_events, ..ports };
    stage.run(ports, stage.config(), &[Role::OutputEvents], time + time / 4).await;
    assert_eq!(strict.given_up.load(Ordering::Relaxed), 0, "live events in the dead letters");
    for row in &rows {
        assert_eq!(stage.state(row).await.state, SegmentState::Done, "{}", row.segment);
    }
    let delivered = strict.delivered.load(Ordering::Relaxed);
    let probes = 600 / 5;
    assert!(delivered <= probes + 2 * COUNT as usize, "one at a time finds out: {delivered}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_on_purpose_is_not_announced_and_no_header_makes_it_wait_for_ever() {
    const COUNT: u32 = 6;
    let stage = Stage::new();
    submit(&stage, COUNT).await;
    let hour = Duration::from_secs(3600);
    let backend = Moody::refusing_for(Duration::from_secs(400), Some(hour * 100));
    let (sweep, unattended) = (Duration::from_secs(5), Duration::from_secs(10));
    let longest_retry_after = Duration::from_secs(1200);
    let config = Config { sweep, unattended, longest_retry_after, ..stage.config() };
    let roles = [Role::Segments, Role::Reconcile];
    let running = stage.run(stage.ports(backend.clone()), config, &roles, hour);
    let watching = async {
        sleep(Duration::from_secs(1000)).await;
        assert_eq!(
            stage.segments.sent(),
            u64::from(COUNT),
            "nothing is announced before it is due"
        );
        sleep(Duration::from_secs(1500)).await;
        assert_eq!(backend.taken().len(), COUNT as usize);
    };
    tokio::join!(running, watching);
}

#[tokio::test(start_paused = true)]
async fn an_operator_ends_the_waits_of_a_job() {
    const COUNT: u32 = 3;
    let stage = Stage::new();
    submit(&stage, COUNT).await;
    let backend = Moody::refusing_for(Duration::from_secs(200), Some(Duration::from_secs(3000)));
    let config = Config { longest_retry_after: Duration::from_secs(3000), ..stage.config() };
    let ports = stage.ports(backend.clone());
    let operator = stage.operator(Vec::new());
    let running = stage.run(ports, config, &[Role::Segments], Duration::from_secs(900));
    let operating = async {
        sleep(Duration::from_secs(400)).await;
        assert_eq!(backend.taken(), [], "they wait");
        let job = "job".parse().unwrap();
        let set_going = retry_now(&operator, &job, stage.clock.now()).await.unwrap();
        assert_eq!(set_going, [0, 1, 2]);
        sleep(Duration::from_secs(90)).await;
        assert_eq!(backend.taken().len(), COUNT as usize);
        assert_eq!(retry_now(&operator, &job, stage.clock.now()).await.unwrap(), [0; 0]);
        let nobody = retry_now(&operator, &"nobody".parse().unwrap(), stage.clock.now()).await;
        assert_eq!(nobody.unwrap_err().kind(), Kind::NotFound);
    };
    tokio::join!(running, operating);
}
