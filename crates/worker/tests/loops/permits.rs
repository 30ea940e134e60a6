//! How many permits a process has in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parallax_ports::fault::{Faults, Faulty, Rates};
use parallax_ports::{
    Clock, Custody, InferenceBackend, Invocation, Invoked, Ledger, Queue, Result,
};
use parallax_worker::{Config, Ports, Role};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, written};

/// A second for a segment, and the most that it had at once.
#[derive(Debug, Default)]
struct Quick {
    now: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl InferenceBackend for Quick {
    fn custody(&self) -> Custody {
        Custody::Caller
    }

    async fn invoke(&self, _: &Invocation, _: &CancellationToken) -> Result<Invoked> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
        self.now.fetch_sub(1, Ordering::Relaxed);
        Ok(Invoked::Written)
    }
}

/// Sends the events of `count` segments after a while in which the process finds nothing to do.
async fn work_comes(stage: &Stage, count: u32) {
    sleep(Duration::from_secs(30)).await;
    for index in 0..count {
        let event = written(&stage.input(&Stage::segment("job", index, count)));
        stage.segments.send(&event, &[]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_passed_permits_takes_free_ones_too() {
    let stage = Stage::new();
    stage.job("job", 60).await;
    let quick = Arc::new(Quick::default());
    let time = Duration::from_secs(90);
    let running = stage.run(stage.ports(quick.clone()), stage.config(), &[Role::Segments], time);
    tokio::join!(running, work_comes(&stage, 60));
    assert_eq!(quick.most.load(Ordering::Relaxed), 5, "the limit of the configuration");
    assert_eq!(stage.segments.contents(), []);
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_another_gives_back_is_taken_by_whoever_is_busy() {
    let stage = Stage::new();
    stage.job("job", 60).await;
    let elsewhere = stage.intended(&Stage::segment("other", 0, 1)).await;
    let quick = Arc::new(Quick::default());
    let config = Config { max_in_flight: 2, ..stage.config() };
    let time = Duration::from_secs(120);
    let running = stage.run(stage.ports(quick.clone()), config, &[Role::Segments], time);
    let ending = async {
        sleep(Duration::from_secs(50)).await;
        assert_eq!(quick.most.load(Ordering::Relaxed), 1);
        let now = stage.clock.now();
        stage.ledger.complete(&elsewhere.fence(), true, now).await.unwrap();
    };
    tokio::join!(running, work_comes(&stage, 60), ending);
    assert_eq!(quick.most.load(Ordering::Relaxed), 2);
    assert_eq!(stage.segments.contents(), []);
}

#[tokio::test(start_paused = true)]
async fn others_permits_are_asked_for_now_and_then() {
    let stage = Stage::new();
    stage.job("job", 60).await;
    // The other permit of two works elsewhere.
    stage.intended(&Stage::segment("other", 0, 1)).await;
    let faults = Arc::new(Faults::seeded(0, Rates::NONE, Arc::default()).traced());
    let ledger = Arc::new(Faulty::new(stage.ledger.clone(), faults.clone()));
    let quick = Arc::new(Quick::default());
    let ports = Ports { ledger, ..stage.ports(quick.clone()) };
    let config = Config { max_in_flight: 2, ..stage.config() };
    let time = Duration::from_secs(120);
    let running = stage.run(ports, config, &[Role::Segments], time);
    tokio::join!(running, work_comes(&stage, 60));
    assert_eq!(quick.most.load(Ordering::Relaxed), 1);
    assert_eq!(stage.segments.contents(), []);
    let asked = faults.trace().into_iter().filter(|call| *call == "ledger.reserve").count();
    assert!((10..30).contains(&asked), "{asked} times in a minute of work and another of none");
}
