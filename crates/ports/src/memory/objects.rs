//! Objects in a map, with notifications to queues.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use parallax_job::{ObjectEvent, Timestamp, Uri, s3_notification};

use super::lock;
use crate::{Clock, Error, Kind, ObjectMeta, ObjectStore, Queue, Result};

/// An object store that lives as long as the process.
#[derive(Debug)]
pub struct MemoryObjects {
    clock: Arc<dyn Clock>,
    objects: Mutex<BTreeMap<Uri, (Timestamp, Vec<u8>)>>,
    routes: Vec<(String, Arc<dyn Queue>)>,
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

    async fn put(&self, uri: &Uri, bytes: Vec<u8>) -> Result<()> {
        let Uri::Object { bucket, key, .. } = uri else {
            return Err(Error::new(Kind::Rejected, format!("{uri}: not an object in a bucket")));
        };
        let size = Some(bytes.len() as u64);
        lock(&self.objects).insert(uri.clone(), (self.clock.now(), bytes));
        let name = format!("{bucket}/{key}");
        for (_, queue) in self.routes.iter().filter(|(prefix, _)| name.starts_with(prefix)) {
            let event = ObjectEvent { bucket: bucket.clone(), key: key.clone(), size };
            queue.send(&s3_notification(&[event]), &[]).await?;
        }
        Ok(())
    }

    fn get(&self, uri: &Uri) -> Result<Vec<u8>> {
        let objects = lock(&self.objects);
        let found = objects.get(uri).map(|(_, bytes)| bytes.clone());
        found.ok_or_else(|| Error::new(Kind::NotFound, format!("{uri}: no such object")))
    }
}

fn io(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Internal, format!("{what} {}", path.display())).with_source(error)
}

#[async_trait]
impl ObjectStore for MemoryObjects {
    async fn head(&self, uri: &Uri) -> Result<Option<ObjectMeta>> {
        let objects = lock(&self.objects);
        Ok(objects
            .get(uri)
            .map(|(modified, bytes)| ObjectMeta { size: bytes.len() as u64, modified: *modified }))
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
        self.put(uri, bytes.to_vec()).await
    }

    async fn download(&self, uri: &Uri, to: &Path) -> Result<()> {
        let bytes = self.get(uri)?;
        tokio::fs::write(to, bytes).await.map_err(|error| io("write", to, error))
    }

    async fn upload(&self, from: &Path, uri: &Uri) -> Result<()> {
        let bytes = tokio::fs::read(from).await.map_err(|error| io("read", from, error))?;
        self.put(uri, bytes).await
    }

    async fn delete(&self, uri: &Uri) -> Result<()> {
        lock(&self.objects).remove(uri);
        Ok(())
    }
}
