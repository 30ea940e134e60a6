//! Objects in a map, with notifications to queues.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use parallax_job::{ObjectEvent, Timestamp, Uri, s3_notification_at};

use super::lock;
use parallax_ports::{Clock, Error, Kind, Listing, ObjectMeta, ObjectStore, Queue, Result};

/// An object store that lives as long as the process.
///
/// ```
/// use std::sync::Arc;
///
/// use parallax_conformance::memory::{MemoryObjects, MemoryQueue};
/// use parallax_ports::{Kind, ObjectStore, Queue, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // What is written under this folder is told to the queue, as a bucket's notifications are.
/// let queue = Arc::new(MemoryQueue::default());
/// let routes = vec![("films/".to_owned(), queue.clone() as Arc<dyn Queue>)];
/// let objects = MemoryObjects::new(Arc::new(SystemClock), routes);
///
/// let clip = "s3://films/clip.mp4".parse()?;
/// assert_eq!(objects.head(&clip).await?, None);
/// objects.write_noted(&clip, b"twelve bytes", "made by hand").await?;
/// assert_eq!(objects.head(&clip).await?.map(|meta| meta.size), Some(12));
/// assert_eq!(objects.note(&clip).await?.as_deref(), Some("made by hand"));
/// assert_eq!(queue.sent(), 1);
///
/// // A reader says how much it is ready to hold.
/// assert_eq!(objects.read(&clip, 12).await?, b"twelve bytes");
/// let refused = objects.read(&clip, 11).await.map_err(|error| error.kind());
/// assert_eq!(refused, Err(Kind::Rejected));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MemoryObjects {
    clock: Arc<dyn Clock>,
    objects: Mutex<BTreeMap<Uri, Held>>,
    routes: Vec<(String, Arc<dyn Queue>)>,
}

#[derive(Debug)]
struct Held {
    modified: Timestamp,
    bytes: Vec<u8>,
    note: Option<String>,
}

impl MemoryObjects {
    /// An empty store. A write under `{bucket}/{prefix}` notifies the queue of every route whose
    /// text is a prefix of that.
    pub fn new(clock: Arc<dyn Clock>, routes: Vec<(String, Arc<dyn Queue>)>) -> Self {
        Self { clock, objects: Mutex::default(), routes }
    }

    /// Whether there is an object, for watchers that cannot wait.
    pub fn contains(&self, uri: &Uri) -> bool {
        lock(&self.objects).contains_key(uri)
    }

    /// What was noted with an object, for watchers that cannot wait.
    pub fn noted(&self, uri: &Uri) -> Option<String> {
        lock(&self.objects).get(uri).and_then(|held| held.note.clone())
    }

    async fn put(&self, uri: &Uri, bytes: Vec<u8>, note: Option<&str>) -> Result<()> {
        let Uri::Object { bucket, key, .. } = uri else {
            return Err(Error::new(Kind::Rejected, format!("{uri}: not an object in a bucket")));
        };
        let size = Some(bytes.len() as u64);
        let modified = self.clock.now();
        let held = Held { modified, bytes, note: note.map(str::to_owned) };
        lock(&self.objects).insert(uri.clone(), held);
        let name = format!("{bucket}/{key}");
        for (_, queue) in self.routes.iter().filter(|(prefix, _)| name.starts_with(prefix)) {
            let event = ObjectEvent { bucket: bucket.clone(), key: key.clone(), size };
            queue.send(&s3_notification_at(&[event], modified), &[]).await?;
        }
        Ok(())
    }

    fn get(&self, uri: &Uri) -> Result<Vec<u8>> {
        let objects = lock(&self.objects);
        let found = objects.get(uri).map(|held| held.bytes.clone());
        found.ok_or_else(|| Error::new(Kind::NotFound, format!("{uri}: no such object")))
    }
}

fn io(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Internal, format!("{what} {}", path.display())).with_source(error)
}

#[async_trait]
impl ObjectStore for MemoryObjects {
    async fn link(&self, _: &Uri, _: std::time::Duration) -> Result<Option<String>> {
        Ok(None)
    }

    async fn head(&self, uri: &Uri) -> Result<Option<ObjectMeta>> {
        let objects = lock(&self.objects);
        Ok(objects
            .get(uri)
            .map(|held| ObjectMeta { size: held.bytes.len() as u64, modified: held.modified }))
    }

    async fn read(&self, uri: &Uri, limit: u64) -> Result<Vec<u8>> {
        let bytes = self.get(uri)?;
        if bytes.len() as u64 > limit {
            let text = format!("{uri}: {} bytes, at most {limit} are read", bytes.len());
            return Err(Error::new(Kind::Rejected, text));
        }
        Ok(bytes)
    }

    async fn write(&self, uri: &Uri, bytes: &[u8]) -> Result<()> {
        self.put(uri, bytes.to_vec(), None).await
    }

    async fn write_noted(&self, uri: &Uri, bytes: &[u8], note: &str) -> Result<()> {
        self.put(uri, bytes.to_vec(), Some(note)).await
    }

    async fn download(&self, uri: &Uri, to: &Path) -> Result<()> {
        let bytes = self.get(uri)?;
        tokio::fs::write(to, bytes).await.map_err(|error| io("write", to, error))
    }

    async fn upload(&self, from: &Path, uri: &Uri) -> Result<()> {
        let bytes = tokio::fs::read(from).await.map_err(|error| io("read", from, error))?;
        self.put(uri, bytes, None).await
    }

    async fn upload_noted(&self, from: &Path, uri: &Uri, note: &str) -> Result<()> {
        let bytes = tokio::fs::read(from).await.map_err(|error| io("read", from, error))?;
        self.put(uri, bytes, Some(note)).await
    }

    async fn note(&self, uri: &Uri) -> Result<Option<String>> {
        Ok(self.noted(uri))
    }

    async fn copy(&self, _: &Uri, _: &Uri) -> Result<bool> {
        Ok(false)
    }

    async fn delete(&self, uri: &Uri) -> Result<()> {
        lock(&self.objects).remove(uri);
        Ok(())
    }
}

#[async_trait]
impl Listing for MemoryObjects {
    async fn list(&self, folder: &Uri, after: Option<&Uri>, limit: usize) -> Result<Vec<Uri>> {
        let below = format!("{folder}/");
        let objects = lock(&self.objects);
        let found = objects.keys().filter(|uri| uri.to_string().starts_with(&below));
        Ok(found
            .filter(|uri| after.is_none_or(|after| *uri > after))
            .take(limit)
            .cloned()
            .collect())
    }
}
