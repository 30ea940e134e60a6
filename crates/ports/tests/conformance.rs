//! The adapters in memory keep the contracts that they state.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::{Bucket, Scheme, Timestamp};
use parallax_ports::conformance::{ledger, objects, queue};
use parallax_ports::memory::{MemoryLedger, MemoryObjects, MemoryQueue};
use parallax_ports::{Ledger, Queue, SystemClock, TokioClock};

#[tokio::test(start_paused = true)]
async fn memory_queue() {
    let terms = queue::Terms::strict(Duration::from_secs(30));
    queue::all(terms, async || {
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::default());
        vec![queue.clone(), queue]
    })
    .await;
}

#[tokio::test]
async fn memory_objects() {
    let folders = tempfile::tempdir().unwrap();
    objects::all(async || {
        let events: Arc<dyn Queue> = Arc::new(MemoryQueue::default());
        let routes = vec![("output/".to_owned(), events.clone())];
        let scratch = tempfile::tempdir_in(&folders).unwrap().keep();
        objects::Setup {
            store: Arc::new(MemoryObjects::new(Arc::new(SystemClock), routes)),
            bucket: Bucket::Cloud { scheme: Scheme::S3, name: "output".to_owned() },
            events: Some(events),
            scratch,
        }
    })
    .await;
}

fn memory() -> Vec<Arc<dyn Ledger>> {
    vec![Arc::new(MemoryLedger::default())]
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_ledger() {
    ledger::all(async || memory()).await;
}

/// The model against itself: the histories are playable, and answers do not depend on chance.
#[tokio::test]
async fn memory_ledger_histories() {
    let plan = ledger::Differential { seeds: 0..20, steps: 150, read_every: 10 };
    ledger::differential(plan, async || memory()).await;
}

#[tokio::test(start_paused = true)]
async fn the_paused_clock_and_the_queue_agree() {
    let clock = TokioClock::starting_at(Timestamp(0));
    let queue = MemoryQueue::default();
    queue.send("x", &[]).await.unwrap();
    let hidden = Duration::from_secs(1000);
    queue.receive(1, Duration::ZERO, hidden).await.unwrap();
    queue.receive(1, hidden * 2, hidden).await.unwrap();
    assert_eq!(parallax_ports::Clock::now(&clock), Timestamp(1_000_000));
}
