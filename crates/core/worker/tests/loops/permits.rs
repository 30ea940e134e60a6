//! How many permits a process has in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parallax_conformance::fault::{Faults, Faulty, Rates};
use parallax_conformance::memory::MemoryQueue;
use parallax_ports::{
    Clock, Custody, InferenceBackend, Invocation, Invoked, Ledger, Message, Queue, Receipt, Result,
};
use parallax_worker::{Config, Ports, Role};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, written};

/// The same time for each segment, and the most that it had at once.
#[derive(Debug)]
struct Quick {
    time: Duration,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Quick {
    fn taking(time: Duration) -> Arc<Self> {
        Arc::new(Self { time, now: 0.into(), most: 0.into() })
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Default for Quick {
    fn default() -> Self {
        Self { time: Duration::from_secs(1), now: 0.into(), most: 0.into() }
    }
}

/// A queue that is far away: messages are under way for 300 ms.
#[derive(Debug)]
struct Far(Arc<MemoryQueue>);

#[async_trait]
impl Queue for Far {
    async fn receive(&self, max: usize, wait: Duration, hidden: Duration) -> Result<Vec<Message>> {
        let messages = self.0.receive(max, wait, hidden).await?;
        if !messages.is_empty() {
            sleep(Duration::from_millis(300)).await;
        }
        Ok(messages)
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        self.0.delete(receipt).await
    }

    async fn change_visibility(&self, receipt: &Receipt, hidden: Duration) -> Result<()> {
        self.0.change_visibility(receipt, hidden).await
    }

    async fn send(&self, body: &str, attributes: &[(&str, &str)]) -> Result<()> {
        self.0.send(body, attributes).await
    }
}

#[async_trait]
impl InferenceBackend for Quick {
    fn custody(&self) -> Custody {
        Custody::Caller
    }

    async fn invoke(&self, _: &Invocation, _: &CancellationToken) -> Result<Invoked> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        sleep(self.time).await;
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

/// Ports that count the calls of the ledger.
fn traced(stage: &Stage, ports: Ports) -> (Ports, Arc<Faults>) {
    let faults = Arc::new(Faults::seeded(0, Rates::NONE, Arc::default()).traced());
    let ledger = Arc::new(Faulty::new(stage.ledger.clone(), faults.clone()));
    (Ports { ledger, ..ports }, faults)
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_passed_permits_takes_free_ones_too() {
    let stage = Stage::new();
    stage.job("job", 60).await;
    let quick = Arc::new(Quick::default());
    let time = Duration::from_secs(90);
    let running = stage.run(stage.ports(quick.clone()), stage.config(), &[Role::Segments], time);
    tokio::join!(running, work_comes(&stage, 60));
    assert_eq!(quick.most(), 5, "the limit of the configuration");
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
        assert_eq!(quick.most(), 1);
        let now = stage.clock.now();
        stage.ledger.complete(&elsewhere.fence(), true, now).await.unwrap();
    };
    tokio::join!(running, work_comes(&stage, 60), ending);
    assert_eq!(quick.most(), 2);
    assert_eq!(stage.segments.contents(), []);
}

#[tokio::test(start_paused = true)]
async fn others_permits_are_asked_for_now_and_then() {
    let stage = Stage::new();
    stage.job("job", 60).await;
    // The other permit of two works elsewhere.
    stage.intended(&Stage::segment("other", 0, 1)).await;
    let quick = Arc::new(Quick::default());
    let (ports, faults) = traced(&stage, stage.ports(quick.clone()));
    let config = Config { max_in_flight: 2, ..stage.config() };
    let time = Duration::from_secs(120);
    let running = stage.run(ports, config, &[Role::Segments], time);
    tokio::join!(running, work_comes(&stage, 60));
    assert_eq!(quick.most(), 1);
    assert_eq!(stage.segments.contents(), []);
    let asked = faults.trace().into_iter().filter(|call| *call == "ledger.reserve").count();
    assert!((10..30).contains(&asked), "{asked} times in a minute of work and another of none");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_always_has_a_permit_passed_on_asks_for_others_too() {
    let stage = Stage::new();
    stage.job("job", 300).await;
    let mut elsewhere = Vec::new();
    for index in 0..2 {
        elsewhere.push(stage.intended(&Stage::segment("other", index, 2)).await);
    }
    // By the time that a message is there, an earlier attempt has ended.
    let quick = Quick::taking(Duration::from_millis(850));
    let mut ports = stage.ports(quick.clone());
    ports.segments.queue = Arc::new(Far(stage.segments.clone()));
    let config = Config { max_in_flight: 6, ..stage.config() };
    let running = stage.run(ports, config, &[Role::Segments], Duration::from_secs(120));
    let ending = async {
        sleep(Duration::from_secs(50)).await;
        assert_eq!(quick.most(), 3);
        for row in elsewhere {
            stage.ledger.complete(&row.fence(), true, stage.clock.now()).await.unwrap();
        }
    };
    tokio::join!(running, work_comes(&stage, 300), ending);
    // One at least waits for the next message.
    assert_eq!(quick.most(), 5);
    assert_eq!(stage.segments.contents(), []);
}

#[tokio::test(start_paused = true)]
async fn a_process_without_a_permit_asks_soon_at_first_and_seldom_later() {
    let stage = Stage::new();
    stage.job("job", 1).await;
    let elsewhere = stage.intended(&Stage::segment("other", 0, 1)).await;
    let (ports, faults) = traced(&stage, stage.ports(Arc::new(Quick::default())));
    let config = Config { max_in_flight: 1, ..stage.config() };
    let running = stage.run(ports, config, &[Role::Segments], Duration::from_secs(300));
    let asked = || faults.trace().into_iter().filter(|call| *call == "ledger.reserve").count();
    let looking = async {
        sleep(Duration::from_secs(4)).await;
        assert!((3..=6).contains(&asked()), "{} times in 4 s", asked());
        sleep(Duration::from_secs(236)).await;
        assert!((20..60).contains(&asked()), "{} times in 4 min", asked());
        stage.ledger.complete(&elsewhere.fence(), true, stage.clock.now()).await.unwrap();
        stage
            .segments
            .send(&written(&stage.input(&Stage::segment("job", 0, 1))), &[])
            .await
            .unwrap();
    };
    tokio::join!(running, looking);
    assert_eq!(stage.segments.contents(), []);
}

#[tokio::test(start_paused = true)]
async fn permits_go_from_attempt_to_attempt_and_an_idle_process_keeps_one() {
    let stage = Stage::new();
    stage.job("job", 60).await;
    let quick = Arc::new(Quick::default());
    let (ports, faults) = traced(&stage, stage.ports(quick.clone()));
    let running = stage.run(ports, stage.config(), &[Role::Segments], Duration::from_secs(200));
    let looking = async {
        sleep(Duration::from_secs(150)).await;
        assert_eq!(stage.segments.contents(), []);
        assert_eq!(stage.ledger.holders().await.unwrap().len(), 1);
    };
    tokio::join!(running, work_comes(&stage, 60), looking);
    let asked = faults.trace().into_iter().filter(|call| *call == "ledger.reserve").count();
    assert!(asked < 30, "{asked} times for 60 segments and three minutes");
}

#[tokio::test(start_paused = true)]
async fn whoever_waited_for_one_permit_asks_for_the_next_at_once() {
    let stage = Stage::new();
    stage.job("job", 2).await;
    let mut elsewhere = Vec::new();
    for index in 0..2 {
        elsewhere.push(stage.intended(&Stage::segment("other", index, 2)).await);
        let event = written(&stage.input(&Stage::segment("job", index, 2)));
        stage.segments.send(&event, &[]).await.unwrap();
    }
    let quick = Arc::new(Quick::default());
    let config = Config { max_in_flight: 2, ..stage.config() };
    let time = Duration::from_secs(60);
    let running = stage.run(stage.ports(quick.clone()), config, &[Role::Segments], time);
    let ending = async {
        sleep(Duration::from_millis(300)).await;
        for row in elsewhere {
            stage.ledger.complete(&row.fence(), true, stage.clock.now()).await.unwrap();
        }
    };
    tokio::join!(running, ending);
    assert_eq!(quick.most(), 2);
    assert_eq!(stage.segments.contents(), []);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_found_work_again_asks_soon_again() {
    let stage = Stage::new();
    stage.job("job", 2).await;
    // The other permit of two works elsewhere.
    stage.intended(&Stage::segment("other", 0, 1)).await;
    for index in 0..2 {
        let event = written(&stage.input(&Stage::segment("job", index, 2)));
        stage.segments.send(&event, &[]).await.unwrap();
    }
    let (ports, faults) = traced(&stage, stage.ports(Quick::taking(Duration::from_secs(100))));
    let config = Config { max_in_flight: 2, ..stage.config() };
    let running = stage.run(ports, config, &[Role::Segments], Duration::from_secs(150));
    let asked = || faults.trace().into_iter().filter(|call| *call == "ledger.reserve").count();
    let looking = async {
        sleep(Duration::from_secs(99)).await;
        let seldom = asked();
        sleep(Duration::from_secs(11)).await;
        let soon = asked() - seldom;
        assert!(soon >= 4, "{soon} times in the 10 s after its permit was passed on");
    };
    tokio::join!(running, looking);
}
