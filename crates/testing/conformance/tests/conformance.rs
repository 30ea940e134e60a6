//! The adapters in memory keep the contracts that they state.

use std::sync::Arc;
use std::time::Duration;

use parallax_conformance::fault::Tally;
use parallax_conformance::memory::{
    MemoryLedger, MemoryMedia, MemoryObjects, MemoryQueue, MemoryRecords,
};
use parallax_conformance::weak::{EventWeakness, QueueWeakness, WeakEvents, WeakQueue};
use parallax_conformance::{ledger, media, objects, operators, queue, watching};
use parallax_job::{Bucket, Buckets, JobId, ObjectKey, Scheme, Timestamp};
use parallax_ports::{Ledger, ObjectStore, Queue, SystemClock, TokioClock};

#[tokio::test(start_paused = true)]
async fn memory_queue() {
    let terms = queue::Terms::strict(Duration::from_secs(30));
    queue::all(terms, async || {
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::default());
        vec![queue.clone(), queue]
    })
    .await;
}

fn weak_queue(weakness: QueueWeakness, tally: &Arc<Tally>) -> Arc<dyn Queue> {
    Arc::new(WeakQueue::new(7, weakness, tally.clone()))
}

#[tokio::test(start_paused = true)]
async fn weak_queue_that_keeps_its_promises() {
    let terms = queue::Terms::strict(Duration::from_secs(30));
    queue::all(terms, async || {
        let queue = weak_queue(QueueWeakness::default(), &Arc::default());
        vec![queue.clone(), queue]
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn weak_queue_whose_stale_receipts_act() {
    let strict = queue::Terms::strict(Duration::from_secs(30));
    let terms = queue::Terms { stale_is_inert: false, ..strict };
    let tally = Arc::new(Tally::default());
    let weakness = QueueWeakness { stale: 1.0, shuffle: 1.0, ..QueueWeakness::default() };
    queue::all(terms, async || {
        let queue = weak_queue(weakness, &tally);
        vec![queue.clone(), queue]
    })
    .await;
    assert!(tally.counts()["stale receipt acted"] > 0);
}

/// Whatever it does to a message, a message that nobody deletes comes again, and one that is
/// deleted often enough stays away.
#[tokio::test(start_paused = true)]
async fn a_weak_queue_loses_nothing_and_forgets_in_the_end() {
    let weakness = QueueWeakness {
        again: 0.3,
        undead: 0.3,
        empty: 0.3,
        shuffle: 0.5,
        lag: 0.5,
        stale: 0.5,
        pace: -0.1,
    };
    let tally = Arc::new(Tally::default());
    let queue = weak_queue(weakness, &tally);
    for n in 0..50 {
        queue.send(&n.to_string(), &[]).await.unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..2000 {
        let wait = Duration::from_secs(20);
        for message in queue.receive(10, wait, Duration::from_secs(60)).await.unwrap() {
            if round > 100 {
                queue.delete(&message.receipt).await.unwrap();
            }
            seen.insert(message.body);
        }
    }
    assert_eq!(seen.len(), 50);
    assert!(
        queue
            .receive(10, Duration::from_secs(900), Duration::from_secs(60))
            .await
            .unwrap()
            .is_empty()
    );
    let counts = tally.counts();
    for what in [
        "delivered again while hidden",
        "delivered again after deletion",
        "empty receive",
        "messages reordered",
        "message appeared late",
    ] {
        assert!(counts.contains_key(what), "{what}: {counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_lost_repeated_late_and_in_company_and_a_flush_brings_the_rest() {
    let tally = Arc::new(Tally::default());
    let queue = Arc::new(MemoryQueue::default());
    let weakness = EventWeakness {
        lose: 0.2,
        double: 0.2,
        late: 0.5,
        latest: Duration::from_secs(3600),
        gather: 0.2,
    };
    let events = WeakEvents::new(queue.clone(), 7, weakness, tally.clone());
    for n in 0..100 {
        let event = parallax_job::ObjectEvent {
            bucket: "b".to_owned(),
            key: format!("input/job-{n}/source.mp4"),
            size: Some(1),
        };
        events.send(&parallax_job::s3_notification(&[event]), &[]).await.unwrap();
    }
    events.flush().await.unwrap();
    let arrived = queue.contents().len() as u64;
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert_eq!(queue.contents().len() as u64, arrived, "nothing arrives twice by a flush");
    let counts = tally.counts();
    let alone = 100 - counts["event in company"] - counts["event lost"] + counts["event repeated"];
    assert_eq!(arrived, alone + 1, "{counts:?}");
    assert!(counts["event late"] > 0);
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
            notes: true,
        }
    })
    .await;
}

#[tokio::test]
async fn memory_for_operators() {
    operators::ledger(async || MemoryLedger::default()).await;
    let store = Arc::new(MemoryObjects::new(Arc::new(SystemClock), Vec::new()));
    let setup = objects::Setup {
        store: store.clone(),
        bucket: Bucket::Cloud { scheme: Scheme::S3, name: "output".to_owned() },
        events: None,
        scratch: std::path::PathBuf::new(),
        notes: true,
    };
    operators::listing(&*store, &setup).await;
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

#[tokio::test]
async fn memory_for_those_who_watch() {
    watching::records(async || MemoryRecords::default()).await;
    watching::look(&MemoryQueue::default()).await;
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

#[tokio::test]
async fn media_steps_in_memory() {
    let objects = Arc::new(MemoryObjects::new(Arc::new(SystemClock), Vec::new()));
    let bucket = |name: &str| Bucket::Cloud { scheme: Scheme::S3, name: name.to_owned() };
    let buckets = Buckets { input: bucket("input"), output: bucket("output") };
    let job: JobId = "job".parse().unwrap();
    let source = buckets.input.uri(&ObjectKey::Source(job.clone())).unwrap();
    objects.write(&source, b"source").await.unwrap();
    let steps = Arc::new(MemoryMedia::new(objects.clone(), buckets.clone(), |_| 3));
    let setup = media::Setup { chunker: steps.clone(), assembler: steps, objects, buckets, job };
    media::all(&setup).await;
}
