//! One replica: started, crashed, drained and started again until the end of the history.

use std::sync::Arc;
use std::time::Duration;

use parallax_conformance::fault::{Faults, Faulty, Rates};
use parallax_conformance::memory::MemoryMedia;
use parallax_conformance::weak::WeakQueue;
use parallax_job::Timestamp;
use parallax_ports::health::{Beats, Flags};
use parallax_ports::{
    Clock, Custody, Ids, InferenceBackend, NoMetrics, ObjectStore, Queue, ServiceClock, SetClock,
};
use parallax_worker::{Config, Inbox, Mutant, Pipeline, Ports, Stop, run};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::bugs;
use super::endpoint::EndpointReach;
use super::server::ServerReach;
use super::studio::Studio;
use super::world::World;

/// A clock that is wrong.
#[derive(Debug)]
pub struct Skewed {
    pub inner: Arc<dyn Clock>,
    pub by_ms: i64,
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        Timestamp(self.inner.now().0 + self.by_ms)
    }
}

/// Runs replica `number` until `end`, then drains it. Its lives so far are counted in the world.
pub async fn live(world: Arc<World>, number: u64, end: CancellationToken) {
    loop {
        let life = world.begin_life(number);
        let seed = world.scenario.seed ^ (number + 1).wrapping_mul(0x9e37_79b9);
        let mut rng = StdRng::seed_from_u64(seed.wrapping_add(u64::from(life) << 40));
        let faults = Arc::new(faults(&world, number, life, &mut rng));
        world.calls.lock().unwrap().entry((number, life)).or_insert_with(|| faults.clone());
        let healed = {
            let (faults, calm) = (faults.clone(), world.calm.clone());
            async move {
                calm.cancelled().await;
                faults.heal();
                std::future::pending::<()>().await;
            }
        };
        let stop = Stop::default();
        let lifetime = Duration::from_secs(rng.random_range(600..14_400));
        let deployments = world.climate.deployments && !world.calm.is_cancelled();
        let deploy = async {
            // Now and then a deployment drains the replica.
            if deployments {
                sleep(lifetime).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let ending = {
            let (stop, end) = (stop.clone(), end.clone());
            async move {
                tokio::select! {
                    biased;
                    () = end.cancelled() => {}
                    () = deploy => {}
                }
                stop.soft.cancel();
                std::future::pending::<()>().await;
            }
        };
        let mut config = Config { max_in_flight: world.limit_now(), ..world.config.clone() };
        let previous = world.climate.previous > 0.0 && rng.random_bool(world.climate.previous);
        if previous {
            world.watch.tally.count("process of the previous release");
            config.unanswered = config.deadline;
        }
        let pipeline =
            Pipeline::new(ports(&world, &faults, previous, &mut rng), bugs::config(config));
        let pipeline = Arc::new(pipeline.expect("a valid configuration"));
        let roles = bugs::roles(world.scenario.mutant);
        let run = run(pipeline, &roles, stop);
        tokio::select! {
            biased;
            () = faults.crashed.cancelled() => {}
            () = healed => {}
            () = ending => {}
            ended = run => {
                if let Err(error) = ended {
                    world.watch.violated(format!("replica {number}: {error}"));
                    return;
                }
                world.watch.tally.count("process drained");
            }
        }
        world.watch.trace(|| format!("replica {number} is down"));
        if end.is_cancelled() {
            return;
        }
        tokio::select! {
            biased;
            () = end.cancelled() => return,
            () = sleep(Duration::from_secs(rng.random_range(1..180))) => {}
        }
    }
}

fn faults(world: &World, number: u64, life: u32, rng: &mut StdRng) -> Faults {
    let scenario = &world.scenario;
    let crash = scenario.crashes.iter().find(|c| c.replica == number && c.life == life);
    if let Some(crash) = crash {
        return Faults::crash_at(crash.at, crash.after).traced();
    }
    let calm = world.calm.is_cancelled();
    let rates = if calm { Rates::NONE } else { world.climate.rates };
    let faults = Faults::seeded(rng.random(), rates, world.watch.tally.clone());
    if calm { faults } else { faults.with_outages(world.outages.clone()) }
}

fn ports(world: &World, faults: &Arc<Faults>, previous: bool, rng: &mut StdRng) -> Ports {
    let bug = world.scenario.mutant;
    let queue =
        |q: &Arc<WeakQueue>| -> Arc<dyn Queue> { Arc::new(Faulty::new(q.clone(), faults.clone())) };
    let inbox = |name, q| Inbox {
        name,
        queue: queue(q),
        dead_letters: Some(bugs::dead_letters(bug, queue(&world.dead_letters))),
        max_receives: world.climate.policy,
    };
    let reach: Arc<dyn ObjectStore> = Arc::new(Faulty::new(world.objects.clone(), faults.clone()));
    let totals = world.totals.clone();
    let media =
        MemoryMedia::new(world.objects.clone(), world.config.buckets.clone(), move |job_id| {
            totals[job_id]
        });
    let studio = Arc::new(Studio {
        media: media.with_reach(reach.clone()),
        faults: faults.clone(),
        watch: world.watch.clone(),
    });
    let backend: Arc<dyn InferenceBackend> = match world.custody {
        Custody::Caller => {
            Arc::new(ServerReach { server: world.server.clone(), faults: faults.clone() })
        }
        Custody::Backend => {
            let (endpoint, faults) = (world.endpoint.clone(), faults.clone());
            Arc::new(EndpointReach { endpoint, previous, faults, reach: reach.clone() })
        }
    };
    let skew = world.climate.clock_skew.as_millis() as i64;
    let mut by_ms = if skew > 0 { rng.random_range(-skew..=skew) } else { 0 };
    // Some machines' clocks are wrong by far, which the ledger's answers tell them.
    let wrong = world.climate.wrong_clock.as_millis() as i64;
    let ledger_clock = ServiceClock::default();
    if wrong > 0 && rng.random_bool(0.5) {
        by_ms = rng.random_range(-wrong..=wrong);
        world.watch.tally.count("clock wrong by far");
        let now = world.clock.now();
        // Whole seconds, and a moment on the way.
        let theirs = Timestamp(now.0 - now.0.rem_euclid(1000) + 500);
        ledger_clock.told(theirs, Timestamp(now.0 + by_ms));
    }
    let mut clocks = vec![("ledger", ledger_clock.clone())];
    for (name, ahead) in
        [("queue", world.climate.queue_ahead_ms), ("store", world.climate.store_ahead_ms)]
    {
        let clock = ServiceClock::default();
        let now = world.clock.now();
        clock.told(Timestamp(now.0 + ahead), Timestamp(now.0 + by_ms));
        clocks.push((name, clock));
    }
    let own: Arc<dyn Clock> = Arc::new(Skewed { inner: world.clock.clone(), by_ms });
    let clock: Arc<dyn Clock> = match bug {
        Some(Mutant::TrustOwnClock) => own,
        _ => Arc::new(SetClock::new(own, ledger_clock)),
    };
    let segments = inbox("segments", &world.segments);
    Ports {
        ledger: Arc::new(Faulty::new(world.ledger.clone(), faults.clone())),
        turns: None,
        switches: None,
        objects: reach,
        segments: Inbox { queue: bugs::segments(bug, segments.queue.clone()), ..segments },
        output_events: inbox("output-events", &world.output_events),
        chunking: Some(inbox("chunking", &world.chunking)),
        reassembly: inbox("reassembly", &world.reassembly),
        backend: bugs::backend(bug, backend),
        chunker: studio.clone(),
        assembler: studio,
        metrics: Arc::new(NoMetrics),
        beats: Beats::default(),
        flags: Flags::default(),
        clock,
        clocks,
        ids: Arc::new(Ids::seeded(rng.random())),
    }
}

impl World {
    /// The limit that a process is told when it starts: it changes once.
    fn limit_now(&self) -> u32 {
        let (before, after, at) = self.limits;
        if Instant::now() < at { before } else { after }
    }
}
