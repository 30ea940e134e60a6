//! One replica: started, crashed, drained and started again until the end of the history.

use std::sync::Arc;
use std::time::Duration;

use parallax_ports::fault::{Faults, Faulty, Rates};
use parallax_ports::health::Beats;
use parallax_ports::{Ids, NoMetrics, Queue};
use parallax_worker::{Config, Inbox, Pipeline, Ports, Roles, Stop, run};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::gpu::Reach;
use super::studio::Studio;
use super::world::World;

/// Runs replica `number` until `end`, then drains it. `single` replaces the random faults of the
/// first incarnation.
pub async fn live(
    world: Arc<World>,
    number: u64,
    rates: Rates,
    single: Option<Arc<Faults>>,
    end: CancellationToken,
) {
    let mut rng = StdRng::seed_from_u64(world.seed ^ (number + 1).wrapping_mul(0x9e37_79b9));
    let mut single = single;
    loop {
        let calm = world.calm.is_cancelled();
        let faults = single.take().unwrap_or_else(|| {
            let rates = if calm { Rates::NONE } else { rates };
            Arc::new(Faults::seeded(rng.random(), rates))
        });
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
        let deploy = async {
            // Now and then a deployment drains the replica.
            if rates.crash > 0.0 {
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
        let pipeline = Pipeline::new(ports(&world, &faults, rng.random()), world.config.clone());
        let life = run(Arc::new(pipeline.expect("a valid configuration")), &world.roles, stop);
        tokio::select! {
            biased;
            () = faults.crashed.cancelled() => {}
            () = healed => {}
            () = ending => {}
            ended = life => {
                if let Err(error) = ended {
                    world.gpu.violated(format!("replica {number}: {error}"));
                    return;
                }
                if end.is_cancelled() {
                    return;
                }
            }
        }
        world.trace(format!("replica {number} is down"));
        sleep(Duration::from_secs(rng.random_range(1..180))).await;
        if end.is_cancelled() && world.calm.is_cancelled() {
            return;
        }
    }
}

fn ports(world: &World, faults: &Arc<Faults>, seed: u64) -> Ports {
    let queue = |q: &Arc<parallax_ports::memory::MemoryQueue>| -> Arc<dyn Queue> {
        Arc::new(Faulty::new(q.clone(), faults.clone()))
    };
    let inbox =
        |name, q| Inbox { name, queue: queue(q), dead_letters: Some(queue(&world.dead_letters)) };
    let reach: Arc<dyn parallax_ports::ObjectStore> =
        Arc::new(Faulty::new(world.objects.clone(), faults.clone()));
    let studio = Arc::new(Studio {
        buckets: world.config.buckets.clone(),
        totals: world.totals.clone(),
        objects: world.objects.clone(),
        reach: reach.clone(),
        faults: faults.clone(),
    });
    Ports {
        ledger: Arc::new(Faulty::new(world.ledger.clone(), faults.clone())),
        objects: reach,
        segments: inbox("segments", &world.segments),
        output_events: inbox("output-events", &world.output_events),
        chunking: Some(inbox("chunking", &world.chunking)),
        reassembly: inbox("reassembly", &world.reassembly),
        backend: Arc::new(Reach {
            gpu: world.gpu.clone(),
            objects: world.objects.clone(),
            faults: faults.clone(),
        }),
        chunker: studio.clone(),
        assembler: studio,
        metrics: Arc::new(NoMetrics),
        beats: Beats::default(),
        clock: world.clock.clone(),
        ids: Arc::new(Ids::seeded(seed)),
    }
}

/// Everything that a process may be told, for a scenario.
pub fn roles() -> Roles {
    Roles::all()
}

/// The configuration of all replicas.
pub fn config(buckets: parallax_job::Buckets, limit: u32) -> Config {
    Config { max_in_flight: limit, ..Config::new(buckets) }
}
