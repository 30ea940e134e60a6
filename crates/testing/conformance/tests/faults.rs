//! What the fault wrappers promise.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parallax_conformance::fault::{Faults, Faulty, Outage, Rates};
use parallax_conformance::memory::MemoryQueue;
use parallax_job::Uri;
use parallax_ports::{Kind, ObjectMeta, ObjectStore, Queue, Result};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn an_outage_holds_where_nothing_else_goes_wrong() {
    let from = Instant::now();
    let until = from + Duration::from_secs(60);
    let outage = Outage { calls: "queue.", from, until, kind: Kind::Unavailable };
    let faults = Faults::seeded(0, Rates::NONE, Arc::default()).with_outages(Arc::new([outage]));
    let queue = Faulty::new(Arc::new(MemoryQueue::default()), Arc::new(faults));
    assert_eq!(queue.send("a", &[]).await.unwrap_err().kind(), Kind::Unavailable);
    tokio::time::advance(Duration::from_secs(60)).await;
    queue.send("a", &[]).await.unwrap();
}

/// A store that copies and keeps notes, and nothing else.
#[derive(Debug, Default)]
struct Copies(AtomicBool, AtomicBool);

#[async_trait]
impl ObjectStore for Copies {
    async fn link(&self, _: &Uri, _: std::time::Duration) -> Result<Option<String>> {
        Ok(None)
    }

    async fn head(&self, _: &Uri) -> Result<Option<ObjectMeta>> {
        unreachable!("only copies are asked for")
    }

    async fn read(&self, _: &Uri, _: u64) -> Result<Vec<u8>> {
        unreachable!("only copies are asked for")
    }

    async fn write(&self, _: &Uri, _: &[u8]) -> Result<()> {
        unreachable!("only copies are asked for")
    }

    async fn download(&self, _: &Uri, _: &Path) -> Result<()> {
        unreachable!("only copies are asked for")
    }

    async fn upload(&self, _: &Path, _: &Uri) -> Result<()> {
        unreachable!("only copies are asked for")
    }

    async fn write_noted(&self, _: &Uri, _: &[u8], _: &str) -> Result<()> {
        unreachable!("only copies are asked for")
    }

    async fn upload_noted(&self, _: &Path, _: &Uri, note: &str) -> Result<()> {
        self.1.store(note == "a note", Ordering::Relaxed);
        Ok(())
    }

    async fn note(&self, _: &Uri) -> Result<Option<String>> {
        unreachable!("only copies are asked for")
    }

    async fn copy(&self, _: &Uri, _: &Uri) -> Result<bool> {
        self.0.store(true, Ordering::Relaxed);
        Ok(true)
    }

    async fn delete(&self, _: &Uri) -> Result<()> {
        unreachable!("only copies are asked for")
    }
}

#[tokio::test]
async fn a_store_that_copies_does_so_through_its_faults() {
    let copies = Arc::new(Copies::default());
    let uri: Uri = "s3://bucket/a".parse().unwrap();
    let faulty = |faults| Faulty::new(copies.clone(), Arc::new(faults));
    let faults = Faults::seeded(0, Rates::NONE, Arc::default()).traced();
    assert!(faulty(faults).copy(&uri, &uri).await.unwrap());
    assert!(copies.0.load(Ordering::Relaxed));
    let refused = Faults::seeded(0, Rates { refuse: 1.0, ..Rates::NONE }, Arc::default());
    faulty(refused).copy(&uri, &uri).await.unwrap_err();
}

#[tokio::test]
async fn a_note_goes_through_faults_with_its_object() {
    let store = Arc::new(Copies::default());
    let uri: Uri = "s3://bucket/a".parse().unwrap();
    let faulty =
        |rates| Faulty::new(store.clone(), Arc::new(Faults::seeded(0, rates, Arc::default())));
    let refuse = Rates { refuse: 1.0, ..Rates::NONE };
    let upload = async |rates| faulty(rates).upload_noted(Path::new("a"), &uri, "a note").await;
    upload(refuse).await.unwrap_err();
    assert!(!store.1.load(Ordering::Relaxed));
    upload(Rates::NONE).await.unwrap();
    assert!(store.1.load(Ordering::Relaxed), "the note was dropped on the way");
}
