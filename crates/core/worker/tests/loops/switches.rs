//! Roles that were paused before a process starts, and a ledger that is slow to say so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parallax_conformance::memory::{MemoryLedger, MemoryQueue};
use parallax_ports::ledger::Resend;
use parallax_ports::{Clock, Error, Kind, Ledger, Queue, Result, Switches};
use parallax_worker::{Inbox, Ports, Role};
use tokio::time::{Instant, sleep};

use crate::refusals::Moody;
use crate::stage::{Endpoint, Stage};

/// Switches that take their time, and whose first answers are errors.
#[derive(Debug)]
struct Slow {
    ledger: Arc<MemoryLedger>,
    takes: Duration,
    errors: AtomicU32,
}

#[async_trait]
impl Switches for Slow {
    async fn paused(&self) -> Result<BTreeSet<String>> {
        sleep(self.takes).await;
        let fewer = |left: u32| left.checked_sub(1);
        match self.errors.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer) {
            Ok(_) => Err(Error::new(Kind::Unavailable, "the ledger is away")),
            Err(_) => self.ledger.paused().await,
        }
    }

    async fn set_paused(&self, role: &str, paused: bool) -> Result<bool> {
        self.ledger.set_paused(role, paused).await
    }
}

/// A queue for each role, with a message that would become a dead letter, and slow switches.
async fn stand(stage: &Stage, takes: Duration, errors: u32) -> (Ports, [Arc<MemoryQueue>; 4]) {
    let ports = stage.ports(Moody::refusing_for(Duration::ZERO, None));
    let sources: Arc<MemoryQueue> = Arc::default();
    let switches = Slow { ledger: stage.ledger.clone(), takes, errors: errors.into() };
    let ports = Ports {
        chunking: Some(Inbox {
            name: "chunking",
            queue: sources.clone(),
            ..ports.segments.clone()
        }),
        switches: Some(Arc::new(switches)),
        ..ports
    };
    let queues = [stage.segments.clone(), stage.events.clone(), stage.reassembly.clone(), sources];
    for queue in &queues {
        queue.send("nonsense", &[]).await.unwrap();
    }
    (ports, queues)
}

/// How many of the messages were received by nobody.
fn untouched(queues: &[Arc<MemoryQueue>]) -> usize {
    queues.iter().map(|queue| queue.contents().len()).sum()
}

#[tokio::test(start_paused = true)]
async fn what_was_paused_before_a_start_receives_nothing_however_late_that_is_known() {
    for (takes, errors) in [(3, 0), (0, 4), (60, 0)] {
        let stage = Stage::new();
        for role in Role::RECEIVING {
            stage.ledger.set_paused(role.as_str(), true).await.unwrap();
        }
        let (ports, queues) = stand(&stage, Duration::from_secs(takes), errors).await;
        let (flags, beats) = (ports.flags.clone(), ports.beats.clone());
        let running = stage.run(ports, stage.config(), &Role::RECEIVING, Duration::from_secs(600));
        let watching = async {
            sleep(Duration::from_secs(14)).await;
            let down = flags.lowered();
            assert_eq!(down.is_empty(), takes == 3, "readiness tells who is silent: {down:?}");
            sleep(Duration::from_secs(500)).await;
            assert_eq!(beats.overdue(), []);
            assert_eq!(flags.lowered().is_empty(), takes < 60);
        };
        tokio::join!(running, watching);
        assert_eq!(untouched(&queues), 4, "{takes} s, {errors} errors");
        assert_eq!(stage.dead.contents(), []);
        assert_eq!(stage.ledger.holders().await.unwrap(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn roles_begin_once_it_is_known_that_they_are_not_paused() {
    let stage = Stage::new();
    let (ports, queues) = stand(&stage, Duration::from_secs(3), 2).await;
    stage.run(ports, stage.config(), &Role::RECEIVING, Duration::from_secs(120)).await;
    assert_eq!((untouched(&queues), stage.dead.contents().len()), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_who_does_not_say_what_is_paused() {
    let stage = Stage::new();
    let (ports, queues) = stand(&stage, Duration::from_secs(3600), 0).await;
    let (began, time) = (Instant::now(), Duration::from_secs(1));
    stage.run(ports, stage.config(), &Role::RECEIVING, time).await;
    assert!(began.elapsed() < time * 2, "{:?}", began.elapsed());
    assert_eq!(untouched(&queues), 4);
}

#[tokio::test(start_paused = true)]
async fn while_reassembly_is_paused_it_is_not_asked_for_again() {
    let stage = Stage::new();
    let job_id = stage.job("job", 1).await;
    let row = stage.intended(&Stage::segment("job", 0, 1)).await;
    stage.ledger.complete(&row.fence(), true, stage.clock.now()).await.unwrap();
    let resend = Resend { unconfirmed: Duration::ZERO, unfinished: Duration::ZERO };
    stage.ledger.trigger(&job_id, "n", resend, stage.clock.now()).await.unwrap();
    stage.ledger.triggered(&job_id, stage.clock.now()).await.unwrap();
    stage.ledger.set_paused(Role::Reassembly.as_str(), true).await.unwrap();
    let config = stage.config();
    let time = config.resend.unfinished * 2;
    let run = async || {
        let ports = stage.ports(Arc::new(Endpoint));
        stage.run(ports, config.clone(), &[Role::Reconcile], time).await;
        stage.reassembly.sent()
    };
    assert_eq!(run().await, 0, "its message waits in the queue");
    stage.ledger.set_paused(Role::Reassembly.as_str(), false).await.unwrap();
    assert!(run().await > 0);
}
