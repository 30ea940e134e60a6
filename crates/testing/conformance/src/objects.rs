//! What an [`ObjectStore`] promises.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parallax_job::{Bucket, Notification, ObjectKey, Record, Uri, parse_notification};

use parallax_ports::{Kind, ObjectStore, Queue};

/// One store and what the suite needs around it.
#[derive(Debug)]
pub struct Setup {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// A bucket in it, empty.
    pub bucket: Bucket,
    /// The queue that the store notifies of every write to the bucket, if it does. Empty.
    pub events: Option<Arc<dyn Queue>>,
    /// An empty local folder.
    pub scratch: PathBuf,
    /// Whether the store keeps notes here.
    pub notes: bool,
}

impl Setup {
    fn uri(&self, name: &str) -> Uri {
        self.bucket.uri(&ObjectKey::AsyncResponse(name.to_owned())).unwrap()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.scratch.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The keys and sizes of the events that arrive, until none come.
    async fn announced(&self) -> Vec<(String, Option<u64>)> {
        let Some(queue) = &self.events else { return Vec::new() };
        let mut found = Vec::new();
        loop {
            let wait = Duration::from_millis(if found.is_empty() { 5000 } else { 100 });
            let batch = queue.receive(10, wait, Duration::from_secs(600)).await.unwrap();
            if batch.is_empty() {
                return found;
            }
            for message in batch {
                queue.delete(&message.receipt).await.unwrap();
                let Ok(Notification::Records(records)) = parse_notification(&message.body) else {
                    continue;
                };
                for record in records {
                    let Record::Created(event) = record else { panic!("{record:?}") };
                    assert_eq!(event.bucket, self.bucket.name());
                    found.push((event.key, event.size));
                }
            }
        }
    }
}

/// Runs every rule, each in a fresh bucket.
///
/// # Panics
/// Where the store breaks a promise.
pub async fn all(make: impl AsyncFn() -> Setup) {
    what_is_missing_is_named(make().await).await;
    objects_are_read_as_written(make().await).await;
    reading_is_limited(make().await).await;
    files_go_up_and_come_down(make().await).await;
    a_failed_upload_leaves_nothing(make().await).await;
    deleting_is_final_and_repeatable(make().await).await;
    a_note_lasts_as_long_as_its_object(make().await).await;
    readers_see_whole_objects(make().await).await;
    a_dropped_write_leaves_nothing_in_part(make().await).await;
    writes_are_announced(make().await).await;
}

/// `None` from head, `NotFound` from the others.
pub async fn what_is_missing_is_named(s: Setup) {
    let uri = s.uri("missing.out");
    assert_eq!(s.store.head(&uri).await.unwrap(), None);
    assert_eq!(s.store.read(&uri, 10).await.unwrap_err().kind(), Kind::NotFound);
    let to = s.scratch.join("never");
    assert_eq!(s.store.download(&uri, &to).await.unwrap_err().kind(), Kind::NotFound);
    s.store.write(&s.uri("missing.out/below"), b"x").await.unwrap();
    assert_eq!(s.store.head(&uri).await.unwrap(), None, "a prefix is not an object");
}

/// Any bytes, under any allowed name, replaced by later ones.
pub async fn objects_are_read_as_written(s: Setup) {
    let every: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for (name, bytes) in [
        ("a.out", &b""[..]),
        ("deep/er/and/deeper.out", b"x"),
        ("sp ace+plus%2F&'quote' \"two\".out", b"\0\xff"),
        ("zw\u{f6}lf \u{6f22}\u{5b57}.out", &every),
    ] {
        let uri = s.uri(name);
        s.store.write(&uri, b"the old one, longer than some").await.unwrap();
        let old = s.store.head(&uri).await.unwrap().unwrap();
        s.store.write(&uri, bytes).await.unwrap();
        let new = s.store.head(&uri).await.unwrap().unwrap();
        assert_eq!(new.size, bytes.len() as u64, "{uri}");
        assert!(new.modified >= old.modified, "{uri}");
        assert_eq!(s.store.read(&uri, 1 << 20).await.unwrap(), bytes, "{uri}");
    }
}

/// An object of exactly the limit is read, a larger one refused.
pub async fn reading_is_limited(s: Setup) {
    let uri = s.uri("ten.out");
    s.store.write(&uri, b"0123456789").await.unwrap();
    assert_eq!(s.store.read(&uri, 10).await.unwrap().len(), 10);
    assert_eq!(s.store.read(&uri, 9).await.unwrap_err().kind(), Kind::Rejected);
    assert_eq!(s.store.read(&uri, 0).await.unwrap_err().kind(), Kind::Rejected);
}

/// Files of any size round-trip; the file stays, and changing it later changes no object.
pub async fn files_go_up_and_come_down(s: Setup) {
    for (n, size) in [0usize, 1, 3 << 20].into_iter().enumerate() {
        let bytes: Vec<u8> = (0..size).map(|i| (i * 7 + i / 256) as u8).collect();
        let from = s.file(&format!("from{n}"), &bytes);
        let uri = s.uri(&format!("up/{n}.out"));
        s.store.upload(&from, &uri).await.unwrap();
        assert_eq!(std::fs::read(&from).unwrap(), bytes, "the file is left alone");
        std::fs::remove_file(&from).unwrap();
        let to = s.scratch.join(format!("to{n}"));
        s.store.download(&uri, &to).await.unwrap();
        assert!(std::fs::read(&to).unwrap() == bytes, "{size} bytes come back");
        // Replacing the object does not reach a copy that was taken.
        s.store.write(&uri, b"replaced").await.unwrap();
        assert!(std::fs::read(&to).unwrap() == bytes, "a download is a copy");
    }
}

/// There is no object when there is no file, and an older object stays.
pub async fn a_failed_upload_leaves_nothing(s: Setup) {
    let (missing, uri) = (s.scratch.join("no such file"), s.uri("kept.out"));
    assert!(s.store.upload(&missing, &uri).await.is_err());
    assert_eq!(s.store.head(&uri).await.unwrap(), None);
    s.store.write(&uri, b"old").await.unwrap();
    assert!(s.store.upload(&missing, &uri).await.is_err());
    assert_eq!(s.store.read(&uri, 10).await.unwrap(), b"old");
}

/// A store that keeps notes keeps them as long as the bytes that they came with.
pub async fn a_note_lasts_as_long_as_its_object(s: Setup) {
    let file = s.file("noted", b"bytes");
    let uri = s.uri("noted.out");
    assert_eq!(s.store.note(&uri).await.unwrap(), None);
    let note = format!("{{\"n\": \"{}\"}}", "x".repeat(parallax_ports::LONGEST_NOTE - 9));
    s.store.upload_noted(&file, &uri, &note).await.unwrap();
    assert_eq!(s.store.read(&uri, 100).await.unwrap(), b"bytes");
    assert_eq!(s.store.note(&uri).await.unwrap(), s.notes.then_some(note));
    s.store.upload_noted(&file, &uri, "other").await.unwrap();
    assert_eq!(s.store.note(&uri).await.unwrap().as_deref(), s.notes.then_some("other"));
    s.store.write_noted(&uri, b"few bytes", "third").await.unwrap();
    assert_eq!(s.store.note(&uri).await.unwrap().as_deref(), s.notes.then_some("third"));
    assert_eq!(s.store.read(&uri, 99).await.unwrap(), b"few bytes");
    s.store.upload(&file, &uri).await.unwrap();
    assert_eq!(s.store.note(&uri).await.unwrap(), None, "other bytes, no note");
    s.store.upload_noted(&file, &uri, "other").await.unwrap();
    s.store.delete(&uri).await.unwrap();
    assert_eq!(s.store.note(&uri).await.unwrap(), None);
}

/// Deleting twice, or what never was, succeeds.
pub async fn deleting_is_final_and_repeatable(s: Setup) {
    let uri = s.uri("gone.out");
    s.store.delete(&uri).await.unwrap();
    s.store.write(&uri, b"x").await.unwrap();
    s.store.delete(&uri).await.unwrap();
    s.store.delete(&uri).await.unwrap();
    assert_eq!(s.store.head(&uri).await.unwrap(), None);
    assert_eq!(s.store.read(&uri, 1).await.unwrap_err().kind(), Kind::NotFound);
    s.store.write(&uri, b"again").await.unwrap();
    assert_eq!(s.store.read(&uri, 9).await.unwrap(), b"again");
}

/// While one writes, others see the old object or the new one.
pub async fn readers_see_whole_objects(s: Setup) {
    let uri = s.uri("contested.out");
    let versions: Vec<Vec<u8>> = (1..=12u8).map(|v| vec![v; usize::from(v) * 20_000]).collect();
    s.store.write(&uri, &versions[0]).await.unwrap();
    let writer = {
        let (store, uri, versions) = (s.store.clone(), uri.clone(), versions.clone());
        tokio::spawn(async move {
            for version in &versions {
                store.write(&uri, version).await.unwrap();
            }
        })
    };
    let mut last = 0;
    while !writer.is_finished() {
        let seen = s.store.read(&uri, 1 << 20).await.unwrap();
        let version = seen[0];
        assert!(seen == versions[usize::from(version) - 1], "a part of version {version}");
        assert!(version >= last, "version {version} after {last}");
        last = version;
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    assert!(s.store.read(&uri, 1 << 20).await.unwrap() == versions[11], "the last one stays");
}

/// A write whose future is dropped shows nothing or everything.
pub async fn a_dropped_write_leaves_nothing_in_part(s: Setup) {
    let bytes = vec![7u8; 4 << 20];
    let from = s.file("large", &bytes);
    for n in 0..6u64 {
        let uri = s.uri(&format!("dropped/{n}.out"));
        let budget = Duration::from_micros(n * n * 150);
        let _ = tokio::time::timeout(budget, s.store.upload(&from, &uri)).await;
        for _ in 0..3 {
            if let Some(meta) = s.store.head(&uri).await.unwrap() {
                assert_eq!(meta.size, bytes.len() as u64, "a part is visible");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Every write and upload raises an event that names the object; deleting raises none.
pub async fn writes_are_announced(s: Setup) {
    if s.events.is_none() {
        return;
    }
    let from = s.file("from", b"12345");
    let names = ["plain.out", "sp ace+plus%2F\u{6f22}.out"];
    s.store.write(&s.uri(names[0]), b"1").await.unwrap();
    s.store.upload(&from, &s.uri(names[1])).await.unwrap();
    let mut found = s.announced().await;
    found.sort();
    found.dedup();
    let key = |name: &str| ObjectKey::AsyncResponse(name.to_owned()).to_string();
    assert_eq!(found, [(key(names[0]), Some(1)), (key(names[1]), Some(5))]);
    s.store.write(&s.uri(names[0]), b"22").await.unwrap();
    s.store.delete(&s.uri(names[1])).await.unwrap();
    let mut found = s.announced().await;
    found.dedup();
    assert_eq!(found, [(key(names[0]), Some(2))], "replacing is announced, deleting is not");
}
