//! What outlives processes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use parallax_conformance::fault::{Faults, Outage};
use parallax_conformance::memory::{MemoryLedger, MemoryObjects};
use parallax_conformance::weak::{WeakEvents, WeakQueue};
use parallax_job::{
    Bucket, Buckets, JobId, JobStatus, Mode, Notification, ObjectKey, Record, Scheme, Segment,
    Timestamp, parse_notification,
};
use parallax_ports::ledger::Job;
use parallax_ports::{Clock, Custody, Kind, Ledger, ObjectStore, Queue, TokioClock};
use parallax_worker::Config;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::endpoint::{Endpoint, Told};
use super::history::Traces;
use super::process::Skewed;
use super::scenario::{Climate, OUTAGES, Scenario, Shape, Topics};
use super::server::Server;
use super::watch::Watch;

/// A message that nobody can handle.
pub const POISON: &str = "[[[";
/// What object stores send when notifications are set up.
const TEST_EVENT: &str = r#"{"Event":"s3:TestEvent"}"#;

#[derive(Debug)]
pub struct World {
    pub scenario: Scenario,
    pub climate: Climate,
    pub custody: Custody,
    pub replicas: u64,
    pub clock: Arc<dyn Clock>,
    pub config: Config,
    /// The limit before and after a time.
    pub limits: (u32, u32, Instant),
    pub outages: Arc<[Outage]>,
    pub ledger: Arc<MemoryLedger>,
    pub objects: Arc<MemoryObjects>,
    pub segments: Arc<WeakQueue>,
    pub output_events: Arc<WeakQueue>,
    pub chunking: Arc<WeakQueue>,
    pub reassembly: Arc<WeakQueue>,
    pub dead_letters: Arc<WeakQueue>,
    /// What the queues themselves moved away.
    pub redriven: Arc<WeakQueue>,
    pub server: Arc<Server>,
    pub endpoint: Arc<Endpoint>,
    pub watch: Arc<Watch>,
    pub totals: Arc<BTreeMap<JobId, u32>>,
    /// Cancelled when the faults stop.
    pub calm: CancellationToken,
    /// The faults of every life, by replica and number of the life.
    pub calls: Mutex<BTreeMap<(u64, u32), Arc<Faults>>>,
    lives: Mutex<BTreeMap<u64, u32>>,
    cuts: Mutex<BTreeMap<JobId, Instant>>,
    events: Vec<Arc<WeakEvents>>,
}

/// The queues of a world.
struct Queues {
    segments: Arc<WeakQueue>,
    output_events: Arc<WeakQueue>,
    chunking: Arc<WeakQueue>,
    reassembly: Arc<WeakQueue>,
    dead_letters: Arc<WeakQueue>,
    /// Where a queue with a policy puts what it gave out too often.
    redriven: Arc<WeakQueue>,
}

impl Queues {
    /// `ledger` is there before the first message is deleted.
    fn new(
        climate: &Climate,
        watch: &Arc<Watch>,
        ledger: &Arc<Mutex<Option<Arc<MemoryLedger>>>>,
        rng: &mut StdRng,
    ) -> Self {
        let mut plain = || WeakQueue::new(rng.random(), climate.queues, watch.tally.clone());
        let (dead_letters, redriven) = (Arc::new(plain()), Arc::new(plain()));
        let mut queue = || match climate.policy {
            Some(most) => plain().redriving(most, redriven.clone()),
            None => plain(),
        };
        let (segments, output_events, chunking) = (queue(), queue(), queue());
        let reassembly = Arc::new(queue());
        let segments = {
            let (watch, ledger, dead) = (watch.clone(), ledger.clone(), dead_letters.clone());
            Arc::new(segments.watched(move |body| {
                let ledger = ledger.lock().unwrap().clone().expect("the ledger is made by then");
                may_be_deleted(body, &ledger, &dead, &watch);
            }))
        };
        let (output_events, chunking) = (Arc::new(output_events), Arc::new(chunking));
        Self { segments, output_events, chunking, reassembly, dead_letters, redriven }
    }
}

fn shape(rng: &mut StdRng) -> Shape {
    Shape {
        custody: if rng.random() { Custody::Backend } else { Custody::Caller },
        // One to eight, mostly few.
        replicas: 1 + (8.0 * rng.random::<f64>().powi(2)) as u64,
        jobs: rng.random_range(1..=3),
        segments: None,
    }
}

/// How many permits there are, how many later, and from when on.
fn limits(scenario: &Scenario, now: Instant, rng: &mut StdRng) -> (u32, u32, Instant) {
    let limit = rng.random_range(1..=3);
    let changes = scenario.trouble > 0.0 && rng.random_bool(0.2);
    let changed = if changes { rng.random_range(1..=3) } else { limit };
    (limit, changed, now + Duration::from_secs(rng.random_range(0..7200)))
}

fn config(scenario: &Scenario, lease: Duration) -> Config {
    let bucket = |name: &str| Bucket::Cloud { scheme: Scheme::S3, name: name.to_owned() };
    let buckets = Buckets { input: bucket("source-bucket"), output: bucket("result-bucket") };
    Config {
        mutant: scenario.mutant,
        lease,
        reassembly_lease: lease,
        // Unlike every other time: by it the queue tells a message that is in hand from one that
        // was put off for as long as a lease.
        visibility: Duration::from_secs(125),
        ..Config::new(buckets)
    }
}

/// The ways of buckets' events to chunking, segments and output events, then that of topics; and what
/// an endpoint tells by the last.
fn ways(
    queues: &Queues,
    climate: &Climate,
    watch: &Watch,
    rng: &mut StdRng,
) -> (Vec<Arc<WeakEvents>>, Told) {
    let mut way = |to: &Arc<WeakQueue>| {
        let to: Arc<dyn Queue> = to.clone();
        Arc::new(WeakEvents::new(to, rng.random(), climate.events, watch.tally.clone()))
    };
    let mut events = vec![way(&queues.chunking), way(&queues.segments), way(&queues.output_events)];
    let topics = way(&queues.output_events);
    events.push(topics.clone());
    let topics = (climate.topics != Topics::None).then_some(topics as Arc<dyn Queue>);
    (events, Told { topics, instead: climate.topics == Topics::Instead })
}

impl World {
    pub fn new(scenario: &Scenario, rng: &mut StdRng) -> Self {
        let drawn = shape(rng);
        let Shape { custody, replicas, jobs, segments: total } = scenario.shape.unwrap_or(drawn);
        let climate = Climate::draw(scenario, rng);
        let now = Instant::now();
        let limits = limits(scenario, now, rng);
        let most = limits.0.max(limits.1) as usize;
        let outages = outages(scenario, &climate, now, rng);

        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(Timestamp(1_750_000_000_000)));
        let watch = Arc::new(Watch::new(
            most,
            unreached(scenario, custody, replicas, &climate),
            scenario.traced,
        ));
        let ledger_cell: Arc<Mutex<Option<Arc<MemoryLedger>>>> = Arc::default();
        let queues = Queues::new(&climate, &watch, &ledger_cell, rng);
        let (events, told) = ways(&queues, &climate, &watch, rng);
        let routes = ["source-bucket/input/", "source-bucket/segments/", "result-bucket/"]
            .iter()
            .zip(&events)
            .map(|(prefix, way)| ((*prefix).to_owned(), way.clone() as Arc<dyn Queue>))
            .collect();
        let store_clock = Arc::new(Skewed { inner: clock.clone(), by_ms: climate.store_ahead_ms });
        let objects = Arc::new(MemoryObjects::new(store_clock, routes));
        let ledger = {
            let (watch, objects) = (watch.clone(), objects.clone());
            Arc::new(MemoryLedger::watched(move |change| watch.changed(&objects, change)))
        };
        *ledger_cell.lock().unwrap() = Some(ledger.clone());
        let config = config(scenario, climate.lease);
        let mut total_of = || total.unwrap_or_else(|| rng.random_range(1..=6));
        let totals = (0..jobs).map(|n| (format!("job-{n}").parse().unwrap(), total_of())).collect();
        let instances = rng.random_range(1..=most);
        World {
            scenario: scenario.clone(),
            climate,
            custody,
            replicas,
            clock,
            config,
            limits,
            outages,
            server: Arc::new(Server::new(
                rng.random(),
                watch.clone(),
                objects.clone(),
                scenario.longest_run,
                climate.moods,
            )),
            endpoint: Arc::new(Endpoint::new(
                rng.random(),
                watch.clone(),
                objects.clone(),
                scenario.longest_run,
                instances,
                told,
                (climate.moods, climate.endpoint),
            )),
            ledger,
            objects,
            segments: queues.segments,
            output_events: queues.output_events,
            chunking: queues.chunking,
            reassembly: queues.reassembly,
            dead_letters: queues.dead_letters,
            redriven: queues.redriven,
            watch,
            totals: Arc::new(totals),
            calm: CancellationToken::new(),
            calls: Mutex::default(),
            lives: Mutex::default(),
            cuts: Mutex::default(),
            events,
        }
    }

    /// The number of the life that begins, from 0.
    pub fn begin_life(&self, replica: u64) -> u32 {
        let mut lives = self.lives.lock().unwrap();
        let next = lives.entry(replica).or_default();
        *next += 1;
        *next - 1
    }

    pub fn lives(&self) -> u64 {
        self.lives.lock().unwrap().values().map(|n| u64::from(*n)).sum()
    }

    /// The port calls so far of the lives that keep them.
    pub fn traces(&self) -> Traces {
        let calls = self.calls.lock().unwrap();
        let traces = calls.iter().map(|(life, faults)| (*life, faults.trace()));
        traces.filter(|(_, trace)| !trace.is_empty()).collect()
    }

    pub fn queues(&self) -> [(&'static str, &Arc<WeakQueue>); 4] {
        [
            ("segments", &self.segments),
            ("output-events", &self.output_events),
            ("chunking", &self.chunking),
            ("reassembly", &self.reassembly),
        ]
    }

    /// Nothing goes wrong from now on.
    pub fn heal(&self) {
        self.calm.cancel();
        self.server.heal();
        self.endpoint.heal();
        self.events.iter().for_each(|events| events.heal());
        self.queues().iter().for_each(|(_, queue)| queue.heal());
        self.dead_letters.heal();
    }

    /// Delivers every event that is still on its way.
    pub async fn flush(&self) {
        for events in &self.events {
            events.flush().await.unwrap();
        }
    }

    /// Jobs arrive over half an hour; so does a message that nobody can handle.
    pub async fn upload(&self, rng: &mut StdRng) {
        for job_id in self.totals.keys() {
            if self.scenario.crashes.is_empty() {
                sleep(Duration::from_secs(rng.random_range(0..600))).await;
            }
            let job = Job::new(job_id.clone(), Mode::Sbs, self.clock.now());
            self.ledger.create_job(&job).await.unwrap();
            let key = ObjectKey::Source(job_id.clone());
            let uri = self.config.buckets.input.uri(&key).unwrap();
            self.objects.write(&uri, b"source").await.unwrap();
        }
        if self.scenario.crashes.is_empty() {
            self.segments.send(POISON, &[]).await.unwrap();
            self.segments.send(TEST_EVENT, &[]).await.unwrap();
        }
    }

    /// Cuts jobs anew, each once, into another number of segments, as another part of a deployment
    /// may. Not before whoever cut a job first has done for certain.
    pub async fn cut_anew(&self, rng: &mut StdRng) {
        if !self.climate.recuts {
            return;
        }
        let settled = Duration::from_secs(if self.scenario.trouble > 0.0 { 1200 } else { 10 });
        for job_id in self.totals.keys() {
            let Some(job) = now(self.ledger.job(job_id)) else { continue };
            let cut = matches!(job.status, JobStatus::ChunkingComplete | JobStatus::Reassembling);
            let Some(total) =
                job.total_segments.filter(|total| cut && *total == self.totals[job_id])
            else {
                continue;
            };
            let since = *self.cuts.lock().unwrap().entry(job_id.clone()).or_insert(Instant::now());
            if since.elapsed() < settled || rng.random_bool(0.7) {
                continue;
            }
            self.watch.tally.count("job cut anew");
            let anew = if total > 1 && rng.random() { total - 1 } else { total + 1 };
            let to = JobStatus::ChunkingComplete;
            now(self.ledger.advance(job_id, to, Some(anew), None, self.clock.now()));
            for index in 0..anew {
                let segment = Segment::new(job_id.clone(), index, anew, Mode::Sbs).unwrap();
                let uri = self.config.buckets.input.uri(&ObjectKey::Segment(segment)).unwrap();
                self.objects.write(&uri, b"segment").await.unwrap();
            }
        }
    }

    /// Jobs that have not ended, and permits that are bound.
    pub fn open(&self) -> (usize, usize) {
        let ended = |id: &&JobId| now(self.ledger.job(id)).is_some_and(|j| j.status.is_terminal());
        let open = self.totals.keys().filter(|id| !ended(id)).count();
        let bound = now(self.ledger.holders()).iter().filter(|h| h.work.is_some()).count();
        (open, bound)
    }
}

/// How long a permit may be held by an attempt that reached nobody, where nothing but crashes goes
/// wrong: the lease, a call's timeout, two sweeps, and the time until a process is there to sweep.
fn unreached(
    scenario: &Scenario,
    custody: Custody,
    replicas: u64,
    climate: &Climate,
) -> Option<Duration> {
    let crashes = scenario.crashes.len() as u32;
    if crashes == 0 || custody == Custody::Caller {
        return None;
    }
    let nobody = Duration::from_secs(180) * (u64::from(crashes) / replicas) as u32;
    Some(climate.lease + Duration::from_secs(60 + 2 * 30) + nobody)
}

/// The answer of a port in memory, which never waits.
pub fn now<T>(call: impl Future<Output = parallax_ports::Result<T>>) -> T {
    call.now_or_never().expect("memory ports answer at once").expect("memory ports do not fail")
}

fn outages(
    scenario: &Scenario,
    climate: &Climate,
    start: Instant,
    rng: &mut StdRng,
) -> Arc<[Outage]> {
    let mut all = Vec::new();
    for n in 0..scenario.ledger_outages {
        let from = start + Duration::from_secs(600 * u64::from(n) + rng.random_range(0..300));
        let until = from + Duration::from_secs(rng.random_range(100..250));
        all.push(Outage { calls: "ledger.", from, until, kind: Kind::Unavailable });
    }
    for n in 0..scenario.silences {
        let from = start + Duration::from_secs(600 * u64::from(n) + rng.random_range(0..300));
        let until = from + Duration::from_secs(rng.random_range(100..400));
        let calls = "queue.change_visibility";
        all.push(Outage { calls, from, until, kind: Kind::Timeout });
    }
    for n in 0..scenario.refusals {
        let from = start + Duration::from_secs(900 * u64::from(n) + rng.random_range(0..300));
        let until = from + Duration::from_secs(rng.random_range(50..600));
        let kind = if rng.random() { Kind::Throttled } else { Kind::Unavailable };
        all.push(Outage { calls: "backend.", from, until, kind });
    }
    for n in 0..scenario.service_outages {
        let from = start + Duration::from_secs(900 * u64::from(n) + rng.random_range(0..300));
        let until = from + Duration::from_secs(rng.random_range(50..600));
        let calls = if rng.random() { "ledger." } else { "objects." };
        let kinds = [Kind::Throttled, Kind::Unavailable, Kind::Timeout];
        all.push(Outage { calls, from, until, kind: kinds[rng.random_range(0..3)] });
    }
    while rng.random_bool(climate.outage.min(0.5)) {
        let (calls, kind) = OUTAGES[rng.random_range(0..OUTAGES.len())];
        let from = start + Duration::from_secs(rng.random_range(0..5400));
        let until = from + Duration::from_secs(rng.random_range(30..1800));
        all.push(Outage { calls, from, until, kind });
    }
    all.into()
}

/// A message of the segments queue may be deleted only when what it asks for is in the ledger, is
/// over, or was put aside: there is no other copy.
fn may_be_deleted(body: &str, ledger: &MemoryLedger, dead: &WeakQueue, watch: &Watch) {
    let Ok(Notification::Records(records)) = parse_notification(body) else {
        if body != TEST_EVENT && !dead.contents().iter().any(|(copy, _)| copy == body) {
            watch.violated(format!("deleted without a copy: {body}"));
        }
        return;
    };
    for record in records {
        let Record::Created(event) = record else { continue };
        let Ok(ObjectKey::Segment(segment)) = event.key.parse() else { continue };
        let over = || {
            now(ledger.job(&segment.job_id)).is_some_and(|job| {
                let cut = job.status >= JobStatus::ChunkingComplete;
                job.status.is_terminal() || (cut && job.total_segments != Some(segment.total))
            })
        };
        let aside = || dead.contents().iter().any(|(copy, _)| copy == body);
        if now(ledger.segment(&segment)).is_none() && !over() && !aside() {
            watch.violated(format!("{segment}: message deleted before anything was recorded"));
        }
    }
}
