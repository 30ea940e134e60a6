//! One history from its beginning to the verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::process;
use super::scenario::Scenario;
use super::verdict::verdict;
use super::world::World;

/// Port calls by replica and life.
pub type Traces = BTreeMap<(u64, u32), Vec<&'static str>>;

/// What became of it.
#[derive(Debug)]
pub struct History {
    pub violations: Vec<String>,
    pub replicas: u64,
    pub jobs: u64,
    pub failed_jobs: u64,
    pub segments: u64,
    pub invocations: u64,
    /// Processes started.
    pub lives: u64,
    /// Port calls of all processes.
    pub calls: u64,
    pub virtual_seconds: u64,
    /// What went wrong, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Port calls, until all was done, of the lives that were to crash.
    pub crash_lives: Traces,
    /// Everything that happened, with its time, when traced.
    pub trace: Vec<String>,
}

/// Sums over histories.
#[derive(Debug, Default)]
pub struct Totals {
    pub histories: u64,
    replicas: u64,
    most_replicas: u64,
    jobs: u64,
    pub failed_jobs: u64,
    segments: u64,
    pub invocations: u64,
    lives: u64,
    calls: u64,
    virtual_seconds: u64,
    pub faults: BTreeMap<&'static str, u64>,
}

impl Totals {
    pub fn add(mut self, history: &History) -> Self {
        self.histories += 1;
        self.replicas += history.replicas;
        self.most_replicas = self.most_replicas.max(history.replicas);
        self.jobs += history.jobs;
        self.failed_jobs += history.failed_jobs;
        self.segments += history.segments;
        self.invocations += history.invocations;
        self.lives += history.lives;
        self.calls += history.calls;
        self.virtual_seconds += history.virtual_seconds;
        for (what, count) in &history.faults {
            *self.faults.entry(what).or_default() += count;
        }
        self
    }

    pub fn and(mut self, other: Self) -> Self {
        self.histories += other.histories;
        self.replicas += other.replicas;
        self.most_replicas = self.most_replicas.max(other.most_replicas);
        self.jobs += other.jobs;
        self.failed_jobs += other.failed_jobs;
        self.segments += other.segments;
        self.invocations += other.invocations;
        self.lives += other.lives;
        self.calls += other.calls;
        self.virtual_seconds += other.virtual_seconds;
        for (what, count) in other.faults {
            *self.faults.entry(what).or_default() += count;
        }
        self
    }

    pub fn print(&self, title: &str) {
        println!("{title}: {} histories", self.histories);
        println!("  replicas {} (at most {} in one)", self.replicas, self.most_replicas);
        println!("  processes started {}", self.lives);
        println!("  jobs {}, failed by the model {}", self.jobs, self.failed_jobs);
        println!("  segments {}, invocations {}", self.segments, self.invocations);
        println!("  port calls {}, virtual hours {}", self.calls, self.virtual_seconds / 3600);
        for (what, count) in &self.faults {
            println!("  {count:>9} {what}");
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

/// The replicas that run now.
struct Fleet {
    lives: JoinSet<()>,
    end: CancellationToken,
}

impl Fleet {
    fn start(world: &Arc<World>) -> Self {
        let end = CancellationToken::new();
        let mut lives = JoinSet::new();
        for number in 0..world.replicas {
            lives.spawn(process::live(world.clone(), number, end.clone()));
        }
        Self { lives, end }
    }

    /// Drains all of it.
    async fn stop(mut self) {
        self.end.cancel();
        while let Some(done) = self.lives.join_next().await {
            done.expect("a replica panicked");
        }
    }
}

async fn history(scenario: &Scenario) -> History {
    let mut rng = StdRng::seed_from_u64(scenario.seed);
    let world = Arc::new(World::new(scenario, &mut rng));
    let start = Instant::now();
    let mut fleet = Fleet::start(&world);
    world.upload(&mut rng).await;
    for _ in 0..scenario.halts {
        sleep(Duration::from_secs_f64(400.0 * rng.random::<f64>())).await;
        fleet.stop().await;
        world.stands_still();
        fleet = Fleet::start(&world);
    }

    // Trouble until all is done, or for a while. From then on everything must come to an end.
    let trouble = start + Duration::from_secs(rng.random_range(3600..14_400));
    let troubled = scenario.trouble > 0.0
        || scenario.silences > 0
        || scenario.patience() > 0
        || scenario.recuts;
    while troubled && Instant::now() < trouble && world.open() != (0, 0) {
        sleep(Duration::from_secs(30)).await;
        world.cut_anew(&mut rng).await;
    }
    world.heal();
    let patience = Instant::now() + Duration::from_secs(24 * 3600);
    while world.open() != (0, 0) {
        sleep(Duration::from_secs(30)).await;
        if Instant::now() > patience {
            let (open, bound) = world.open();
            world.watch.violated(format!("stuck: {open} jobs open, {bound} permits bound"));
            break;
        }
    }
    let traces = world.traces();
    // Reservations of processes that crashed last become void.
    sleep(Duration::from_secs(120)).await;
    // What comes late meets a world in which all is done.
    world.flush().await;
    let patience = Instant::now() + Duration::from_secs(6 * 3600);
    while let Some((name, _)) = world.queues().iter().find(|(_, queue)| !queue.is_empty()) {
        sleep(Duration::from_secs(30)).await;
        if Instant::now() > patience {
            world.watch.violated(format!("{name}: messages that nobody settles"));
            break;
        }
    }
    fleet.stop().await;
    verdict(&world, start.elapsed(), traces)
}
