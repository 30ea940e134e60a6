//! The embedded adapters keep the same contracts as all others, also over several connections.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parallax_conformance::memory::MemoryQueue;
use parallax_conformance::{ledger, objects, operators, queue, watching};
use parallax_job::{Bucket, Timestamp};
use parallax_local::{Database, LocalObjects, SqliteLedger, SqliteQueue, Transfer};
use parallax_ports::{Clock, Ledger, Queue, SystemClock, TokioClock};

/// A fresh database file in `folder`.
fn fresh(folder: &Path) -> std::path::PathBuf {
    tempfile::tempdir_in(folder).unwrap().keep().join("parallax.db")
}

/// Handles to one new queue, each over a connection of its own, as in several processes.
async fn queues(folder: &Path, connections: usize, clock: Arc<dyn Clock>) -> Vec<Arc<dyn Queue>> {
    let path = fresh(folder);
    let mut queues: Vec<Arc<dyn Queue>> = Vec::new();
    for _ in 0..connections {
        let db = Database::open(&path).await.unwrap();
        let queue = SqliteQueue::new(db, "it's a \"queue\"", clock.clone());
        queues.push(Arc::new(queue.with_poll(Duration::from_millis(50))));
    }
    queues
}

async fn ledgers(folder: &Path, connections: usize) -> Vec<Arc<dyn Ledger>> {
    let path = fresh(folder);
    let mut ledgers: Vec<Arc<dyn Ledger>> = Vec::new();
    for _ in 0..connections {
        ledgers.push(Arc::new(SqliteLedger::new(Database::open(&path).await.unwrap())));
    }
    ledgers
}

#[tokio::test]
async fn sqlite_queue_in_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let terms = queue::Terms::real(Duration::from_millis(300));
    queue::all(terms, async || queues(folder.path(), 1, Arc::new(SystemClock)).await).await;
}

#[tokio::test]
async fn sqlite_queue_over_several_connections() {
    let folder = tempfile::tempdir().unwrap();
    let terms = queue::Terms::real(Duration::from_millis(300));
    queue::all(terms, async || queues(folder.path(), 3, Arc::new(SystemClock)).await).await;
}

#[tokio::test(start_paused = true)]
async fn sqlite_queue_on_a_paused_clock() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(TokioClock::starting_at(Timestamp(1_700_000_000_000)));
    let terms = queue::Terms::strict(Duration::from_secs(30));
    queue::all(terms, async || queues(folder.path(), 2, clock.clone()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_ledger() {
    let folder = tempfile::tempdir().unwrap();
    ledger::all(async || ledgers(folder.path(), 1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_ledger_for_operators() {
    let folder = tempfile::tempdir().unwrap();
    operators::ledger(async || {
        SqliteLedger::new(Database::open(fresh(folder.path())).await.unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_for_those_who_watch() {
    let folder = tempfile::tempdir().unwrap();
    watching::records(async || {
        SqliteLedger::new(Database::open(fresh(folder.path())).await.unwrap())
    })
    .await;
    let db = Database::open(fresh(folder.path())).await.unwrap();
    watching::look(&SqliteQueue::new(db, "looked into", Arc::new(SystemClock))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_objects_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock);
    let store =
        Arc::new(LocalObjects::open(folder.path().join("objects"), clock, Vec::new()).unwrap());
    let bucket = store.bucket("output").unwrap();
    let scratch = folder.path().to_owned();
    let setup =
        objects::Setup { store: store.clone(), bucket, events: None, scratch, notes: false };
    operators::listing(&*store, &setup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_ledger_over_several_connections() {
    let folder = tempfile::tempdir().unwrap();
    ledger::all(async || ledgers(folder.path(), 4).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_ledger_histories() {
    let folder = tempfile::tempdir().unwrap();
    let plan = ledger::Differential { seeds: 0..12, steps: 300, read_every: 10 };
    ledger::differential(plan, async || ledgers(folder.path(), 2).await).await;
}

async fn objects_with(transfer: Transfer) {
    let folder = tempfile::tempdir().unwrap();
    objects::all(async || {
        let home = tempfile::tempdir_in(&folder).unwrap().keep();
        let events: Arc<dyn Queue> = Arc::new(MemoryQueue::default());
        let routes = vec![("output/".to_owned(), events.clone())];
        let store = LocalObjects::open(home.join("objects"), Arc::new(SystemClock), routes);
        let store = store.unwrap().with_transfer(transfer);
        let bucket = store.bucket("output").unwrap();
        assert!(matches!(bucket, Bucket::Folder { .. }));
        let scratch = home.join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        let notes = xattr::set(&scratch, "user.test", b"x").is_ok();
        objects::Setup { store: Arc::new(store), bucket, events: Some(events), scratch, notes }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_objects_by_copy() {
    objects_with(Transfer::Copy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_objects_by_link() {
    objects_with(Transfer::Link).await;
}
