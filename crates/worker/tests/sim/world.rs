//! What outlives processes, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parallax_job::{Bucket, Buckets, JobId, JobStatus, Mode, ObjectKey, Scheme, Timestamp};
use parallax_ports::fault::{Faults, Rates};
use parallax_ports::ledger::rules::Change;
use parallax_ports::ledger::{Job, SegmentState};
use parallax_ports::memory::{MemoryLedger, MemoryObjects, MemoryQueue};
use parallax_ports::{Clock, Custody, Ledger, ObjectStore, Queue, TokioClock};
use parallax_worker::{Config, Mutant, Roles};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::gpu::{Gpu, Moods};
use super::link::{Link, Weather};
use super::process;

/// What one history is about.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    /// Share of calls and events that go wrong; 0 for none.
    pub trouble: f64,
    pub mutant: Option<Mutant>,
    /// Fixed shape instead of one drawn from the seed: custody, replicas, jobs.
    pub shape: Option<(Custody, u64, u32)>,
    /// One crash in the first replica instead of random faults.
    pub crash: Option<(u64, bool)>,
}

impl Scenario {
    pub fn troubled(seed: u64) -> Self {
        Self { seed, trouble: 1.0, mutant: None, shape: None, crash: None }
    }

    pub fn calm(seed: u64) -> Self {
        Self { trouble: 0.0, ..Self::troubled(seed) }
    }
}

/// What became of it.
#[derive(Debug)]
pub struct History {
    pub violations: Vec<String>,
    pub invocations: u64,
    pub segments: u64,
    pub failed_jobs: u64,
    pub reassembly_messages: u64,
    pub jobs: u64,
    /// Port calls of the first replica's first life.
    pub calls: Vec<&'static str>,
    /// Everything that happened, with its time.
    pub trace: Vec<String>,
}

#[derive(Debug)]
pub struct World {
    pub seed: u64,
    pub clock: Arc<dyn Clock>,
    pub config: Config,
    pub roles: Roles,
    pub ledger: Arc<MemoryLedger>,
    pub objects: Arc<MemoryObjects>,
    pub segments: Arc<MemoryQueue>,
    pub output_events: Arc<MemoryQueue>,
    pub chunking: Arc<MemoryQueue>,
    pub reassembly: Arc<MemoryQueue>,
    pub dead_letters: Arc<MemoryQueue>,
    pub gpu: Arc<Gpu>,
    pub totals: Arc<BTreeMap<JobId, u32>>,
    /// Cancelled when the faults stop.
    pub calm: CancellationToken,
    links: Vec<Arc<Link>>,
    journal: Arc<Journal>,
}

/// What the ledger was seen to do.
#[derive(Debug)]
struct Journal {
    start: Instant,
    lines: Mutex<Vec<String>>,
    completed: Mutex<BTreeSet<(JobId, u32, u32)>>,
    statuses: Mutex<BTreeMap<JobId, JobStatus>>,
}

impl World {
    pub fn trace(&self, text: String) {
        self.journal.trace(text);
    }
}

impl Journal {
    fn trace(&self, text: String) {
        let at = self.start.elapsed().as_secs_f64();
        self.lines.lock().unwrap().push(format!("{at:.3} {text}"));
    }

    fn watch(&self, gpu: &Gpu, outputs: &MemoryObjects, change: &Change) {
        // Idle replicas renew their reservations all the time: they would drown the rest.
        let idle = change.put_holder.as_ref().is_some_and(|holder| holder.work.is_none());
        if *change != Change::default() && !idle {
            self.trace(format!("{change:?}"));
        }
        gpu.watch(change);
        if let Some(completion) = &change.completion {
            let key =
                (completion.job_id.clone(), completion.segment_index, completion.total_segments);
            if !self.completed.lock().unwrap().insert(key.clone()) {
                gpu.violated(format!("{key:?} completed twice"));
            }
            if !outputs.uris().contains(&completion.output_s3_uri) {
                gpu.violated(format!("{key:?} completed without an output"));
            }
        }
        if let Some(job) = &change.job {
            let mut statuses = self.statuses.lock().unwrap();
            let before = statuses.insert(job.job_id.clone(), job.status);
            let before = before.unwrap_or(JobStatus::Created);
            if before != job.status && !before.may_become(job.status) {
                gpu.violated(format!("{} went from {before} to {}", job.job_id, job.status));
            }
        }
        if let Some(trigger) = &change.trigger {
            let done = self.completed.lock().unwrap();
            let count = done.iter().filter(|(job, ..)| *job == trigger.job_id).count();
            if count == 0 {
                gpu.violated(format!("{} triggered without completions", trigger.job_id));
            }
        }
    }
}

/// Runs a history to its end.
pub fn run(scenario: &Scenario) -> History {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(history(scenario))
}

async fn history(scenario: &Scenario) -> History {
    let seed = scenario.seed;
    let mut rng = StdRng::seed_from_u64(seed);
    let drawn = (
        if rng.random::<bool>() { Custody::Backend } else { Custody::Caller },
        rng.random_range(1..=3),
        rng.random_range(1..=3),
    );
    let (custody, replicas, jobs) = scenario.shape.unwrap_or(drawn);
    let limit = rng.random_range(1..=3);
    let trouble = scenario.trouble * rng.random_range(0.2..1.5);
    let rates = Rates {
        refuse: 0.01 * trouble,
        lose_reply: 0.01 * trouble,
        delay: 0.01 * trouble,
        longest: Duration::from_secs(200),
        crash: 0.004 * trouble,
        lose_message: 0.0,
        duplicate: 0.03 * trouble,
    };
    let moods = Moods {
        fail: 0.06 * trouble,
        reject: 0.004 * trouble,
        lie: 0.02 * trouble,
        vanish: 0.01 * trouble,
    };
    let weather = Weather { lose: 0.05 * trouble, double: 0.08 * trouble, late: 0.1 * trouble };
    let world = Arc::new(world(scenario, &mut rng, custody, limit, jobs, moods, weather));

    let single = scenario.crash.map(|(at, after)| Arc::new(Faults::crash_at(at, after).traced()));
    let traced = single.clone();
    let end = CancellationToken::new();
    let mut lives = JoinSet::new();
    for number in 0..replicas {
        let single = single.clone().filter(|_| number == 0);
        lives.spawn(process::live(world.clone(), number, rates, single, end.clone()));
    }
    let arrivals = upload(&world, &mut rng);
    arrivals.await;

    // Trouble for a while, then calm: from then on everything must come to an end.
    sleep(Duration::from_secs(rng.random_range(1800..10_800))).await;
    world.calm.cancel();
    world.gpu.heal();
    world.links.iter().for_each(|link| link.heal());
    let patience = Instant::now() + Duration::from_secs(24 * 3600);
    loop {
        sleep(Duration::from_secs(60)).await;
        let mut open = 0;
        for job in world.totals.keys() {
            let status = world.ledger.job(job).await.unwrap().unwrap().status;
            open += usize::from(!status.is_terminal());
        }
        let held = world.ledger.holders().await.unwrap();
        let bound = held.iter().filter(|h| h.work.is_some()).count();
        if open == 0 && bound == 0 {
            break;
        }
        if Instant::now() > patience {
            world.gpu.violated(format!("stuck: {open} jobs open, {bound} permits bound"));
            break;
        }
    }
    // Late events are still to be drained.
    sleep(Duration::from_secs(4000)).await;
    end.cancel();
    while let Some(done) = lives.join_next().await {
        done.expect("a replica panicked");
    }
    verdict(scenario, &world, traced).await
}

fn world(
    scenario: &Scenario,
    rng: &mut StdRng,
    custody: Custody,
    limit: u32,
    jobs: u32,
    moods: Moods,
    weather: Weather,
) -> World {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(Timestamp(1_750_000_000_000)));
    let gpu = Arc::new(Gpu::new(rng.random(), limit as usize, custody, moods));
    let journal = Arc::new(Journal {
        start: Instant::now(),
        lines: Mutex::default(),
        completed: Mutex::default(),
        statuses: Mutex::default(),
    });
    let queue = || Arc::new(MemoryQueue::default());
    let (segments, output_events, chunking) = (queue(), queue(), queue());
    let mut link = |to: &Arc<MemoryQueue>| Arc::new(Link::new(to.clone(), rng.random(), weather));
    let links = vec![link(&chunking), link(&segments), link(&output_events)];
    let routes = ["source-bucket/input/", "source-bucket/segments/", "result-bucket/"]
        .iter()
        .zip(&links)
        .map(|(prefix, link)| ((*prefix).to_owned(), link.clone() as Arc<dyn Queue>))
        .collect();
    let objects = Arc::new(MemoryObjects::new(clock.clone(), routes));
    let outputs = objects.clone();
    let ledger = {
        let (gpu, journal) = (gpu.clone(), journal.clone());
        Arc::new(MemoryLedger::watched(move |change| journal.watch(&gpu, &outputs, change)))
    };
    let bucket = |name: &str| Bucket::Cloud { scheme: Scheme::S3, name: name.to_owned() };
    let buckets = Buckets { input: bucket("source-bucket"), output: bucket("result-bucket") };
    let totals =
        (0..jobs).map(|n| (format!("job-{n}").parse().unwrap(), rng.random_range(1..=6))).collect();
    let config = Config { mutant: scenario.mutant, ..process::config(buckets, limit) };
    World {
        seed: scenario.seed,
        clock,
        config,
        roles: process::roles(),
        ledger,
        objects,
        segments,
        output_events,
        chunking,
        reassembly: queue(),
        dead_letters: queue(),
        gpu,
        totals: Arc::new(totals),
        calm: CancellationToken::new(),
        links,
        journal,
    }
}

/// Jobs arrive over half an hour; so does one message that nobody can handle.
async fn upload(world: &World, rng: &mut StdRng) {
    for job_id in world.totals.keys() {
        sleep(Duration::from_secs(rng.random_range(0..600))).await;
        let job = Job::new(job_id.clone(), Mode::Sbs, world.clock.now());
        world.ledger.create_job(&job).await.unwrap();
        let key = ObjectKey::Source(job_id.clone());
        let uri = world.config.buckets.input.uri(&key).unwrap();
        world.objects.write(&uri, b"source").await.unwrap();
    }
    world.segments.send("[[[", &[]).await.unwrap();
    world.segments.send("{\"Event\":\"s3:TestEvent\"}", &[]).await.unwrap();
}

async fn verdict(scenario: &Scenario, world: &World, traced: Option<Arc<Faults>>) -> History {
    let gpu = &world.gpu;
    let mut failed_jobs = 0;
    let mut segments = 0;
    for (job_id, total) in &*world.totals {
        let job = world.ledger.job(job_id).await.unwrap().unwrap();
        segments += u64::from(*total);
        match job.status {
            JobStatus::Completed => {
                let done = world.ledger.completions(job_id, *total).await.unwrap().len();
                if done != *total as usize {
                    gpu.violated(format!("{job_id} completed with {done} of {total} segments"));
                }
                let uri = world.config.buckets.output.uri(&ObjectKey::Final(job_id.clone()));
                if world.objects.head(&uri.unwrap()).await.unwrap().is_none() {
                    gpu.violated(format!("{job_id} completed without a final file"));
                }
            }
            JobStatus::Failed => {
                failed_jobs += 1;
                let rows = world.ledger.segments(job_id).await.unwrap();
                let failed = rows.iter().any(|row| row.state == SegmentState::Failed);
                if !failed || job.reason.is_none() {
                    gpu.violated(format!("{job_id} failed without a segment or a reason"));
                }
                if gpu.blamed(job_id) == 0 {
                    gpu.violated(format!(
                        "{job_id} failed without the model's fault: {:?}",
                        job.reason
                    ));
                }
            }
            status => gpu.violated(format!("{job_id} ended {status}")),
        }
    }
    if !world.ledger.holders().await.unwrap().is_empty() {
        gpu.violated(format!("permits left: {:?}", world.ledger.holders().await.unwrap()));
    }
    if gpu.running() > 0 {
        gpu.violated(format!("{} still run", gpu.running()));
    }
    for (name, queue) in [
        ("segments", &world.segments),
        ("output-events", &world.output_events),
        ("chunking", &world.chunking),
        ("reassembly", &world.reassembly),
    ] {
        let left = queue.contents().len();
        // With every replica drained, what is left must at least be visible to the next one.
        if queue.hidden() > 0 {
            gpu.violated(format!(
                "{name}: {} of {left} messages hidden after the drain",
                queue.hidden()
            ));
        }
    }
    let dead = world.dead_letters.contents();
    let poison = dead.iter().filter(|(body, _)| body == "[[[").count();
    if poison == 0 || dead.iter().any(|(_, attributes)| attributes[0].1.is_empty()) {
        gpu.violated(format!("dead letters: {dead:?}"));
    }
    if let Some((body, why)) = dead.iter().find(|(body, _)| body != "[[[") {
        gpu.violated(format!("a good message was put aside: {body} {why:?}"));
    }
    let trace = world.journal.lines.lock().unwrap().clone();
    let mut history = History {
        violations: gpu.violations.lock().unwrap().clone(),
        invocations: gpu.invocations(),
        segments,
        failed_jobs,
        reassembly_messages: world.reassembly.sent(),
        jobs: world.totals.len() as u64,
        calls: traced.map(|faults| faults.trace()).unwrap_or_default(),
        trace,
    };
    if scenario.trouble == 0.0 && scenario.crash.is_none() && history.invocations != segments {
        let text =
            format!("{} invocations for {segments} segments without faults", history.invocations);
        history.violations.push(text);
    }
    history
}
