//! Objects as files: `root/{bucket}/{key}`.
//!
//! A write goes to a file in the bucket's own `.partial` folder, is synced, and takes its name in
//! one rename; so readers see whole objects, a file that has its name never changes again, and a
//! crash leaves nothing but a partial file that [`LocalObjects::sweep_partial`] removes. Each
//! bucket may be a mount of its own.
//!
//! Notifications are sent after the rename. A crash in between loses the event: whoever depends on
//! it has to look from time to time, as with any object store.

mod list;
mod place;
mod transfer;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use parallax_job::{Bucket, ObjectEvent, Timestamp, Uri, s3_notification};
use parallax_ports::{Clock, Error, Kind, ObjectMeta, ObjectStore, Queue, Result};

use crate::error::io;
use place::{Place, Root};

pub use transfer::Transfer;

/// The extended attribute that holds an object's note.
const NOTE: &str = "user.parallax.note";

/// The embedded object store.
#[derive(Debug)]
pub struct LocalObjects {
    root: Root,
    clock: Arc<dyn Clock>,
    routes: Vec<(String, Arc<dyn Queue>)>,
    transfer: Transfer,
}

impl LocalObjects {
    /// The store below `root`, which is made if need be. A write under `{bucket}/{prefix}`
    /// notifies the queue of every route whose text is a prefix of that.
    ///
    /// # Errors
    /// As the filesystem says.
    pub fn open(
        root: impl AsRef<Path>,
        clock: Arc<dyn Clock>,
        routes: Vec<(String, Arc<dyn Queue>)>,
    ) -> Result<Self> {
        let root = Root::open(root.as_ref())?;
        Ok(Self { root, clock, routes, transfer: Transfer::default() })
    }

    /// Chooses how files come in and go out. Defaults to [`Transfer::Copy`].
    #[must_use]
    pub fn with_transfer(mut self, transfer: Transfer) -> Self {
        self.transfer = transfer;
        self
    }

    /// The bucket called `name`, made if need be.
    ///
    /// # Errors
    /// `Rejected` when it is not a plain name; otherwise as the filesystem says.
    pub fn bucket(&self, name: &str) -> Result<Bucket> {
        self.root.bucket(name)
    }

    /// The file of an object, whether it exists or not: for programs that read in place. It must
    /// not be written to.
    ///
    /// # Errors
    /// `Rejected` when the address is not below the root.
    pub fn path(&self, uri: &Uri) -> Result<PathBuf> {
        Ok(self.root.place(uri)?.path)
    }

    /// Removes partial files older than `age`, left behind by processes that were killed, and
    /// returns their number. No upload may take longer than that.
    ///
    /// # Errors
    /// As the filesystem says.
    pub async fn sweep_partial(&self, age: Duration) -> Result<usize> {
        let root = self.root.clone();
        blocking(move || root.sweep(age)).await
    }

    /// Puts what `fill` makes under the name, unless the future is dropped before that.
    async fn put(
        &self,
        uri: &Uri,
        note: Option<&str>,
        fill: impl FnOnce(&Path, &transfer::Stop) -> Result<tempfile::TempPath> + Send + 'static,
    ) -> Result<()> {
        let place = self.root.place(uri)?;
        let modified = SystemTime::UNIX_EPOCH
            + Duration::from_millis(u64::try_from(self.clock.now().0).unwrap_or(0));
        let (root, of_thread) = (self.root.clone(), place.clone());
        let stop = transfer::Stop::default();
        let _stop_when_dropped = stop.guard();
        let note = note.map(str::to_owned);
        let size = blocking(move || {
            let partial = root.prepare(&of_thread)?;
            let file = fill(&partial, &stop)?;
            if let Some(note) = note {
                // Not every filesystem keeps any; a file without its note is whole all the same.
                let _ = xattr::set(&file, NOTE, note.as_bytes());
            }
            transfer::publish(file, &of_thread.path, modified, &stop)
        })
        .await?;
        self.announce(&place, size).await
    }

    async fn announce(&self, place: &Place, size: u64) -> Result<()> {
        let Place { bucket, key, .. } = place;
        let name = format!("{bucket}/{key}");
        for (_, queue) in self.routes.iter().filter(|(prefix, _)| name.starts_with(prefix)) {
            let event = ObjectEvent { bucket: bucket.clone(), key: key.clone(), size: Some(size) };
            queue.send(&s3_notification(&[event]), &[]).await?;
        }
        Ok(())
    }
}

/// Runs `task` off the runtime's threads.
async fn blocking<T: Send + 'static>(
    task: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let joined = tokio::task::spawn_blocking(task).await;
    joined.unwrap_or_else(|error| {
        Err(Error::new(Kind::Internal, "a file operation did not finish").with_source(error))
    })
}

fn missing(uri: &Uri) -> Error {
    Error::new(Kind::NotFound, format!("{uri}: no such object"))
}

#[async_trait]
impl ObjectStore for LocalObjects {
    async fn link(&self, _: &Uri, _: std::time::Duration) -> Result<Option<String>> {
        Ok(None)
    }

    async fn head(&self, uri: &Uri) -> Result<Option<ObjectMeta>> {
        let (root, place) = (self.root.clone(), self.root.place(uri)?);
        blocking(move || {
            let Some(meta) = root.look(&place)? else { return Ok(None) };
            let modified = meta.modified().map_err(|error| io("look at", &place.path, error))?;
            let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            // A linked file keeps the age of its bytes; taking its name is what made it an object.
            let named = Timestamp(meta.ctime() * 1000 + meta.ctime_nsec() / 1_000_000);
            let modified = named.max(Timestamp(0) + since);
            Ok(Some(ObjectMeta { size: meta.len(), modified }))
        })
        .await
    }

    async fn read(&self, uri: &Uri, limit: u64) -> Result<Vec<u8>> {
        let (root, place, uri) = (self.root.clone(), self.root.place(uri)?, uri.clone());
        blocking(move || {
            let file = open(&root, &place, &uri)?;
            let mut bytes = Vec::new();
            let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
            read.map_err(|error| io("read", &place.path, error))?;
            if bytes.len() as u64 > limit {
                let text = format!("{uri}: at most {limit} bytes are read");
                return Err(Error::new(Kind::Rejected, text));
            }
            Ok(bytes)
        })
        .await
    }

    async fn write(&self, uri: &Uri, bytes: &[u8]) -> Result<()> {
        let bytes = bytes.to_vec();
        self.put(uri, None, move |partial, _| transfer::from_bytes(&bytes, partial)).await
    }

    async fn write_noted(&self, uri: &Uri, bytes: &[u8], note: &str) -> Result<()> {
        let bytes = bytes.to_vec();
        self.put(uri, Some(note), move |partial, _| transfer::from_bytes(&bytes, partial)).await
    }

    async fn download(&self, uri: &Uri, to: &Path) -> Result<()> {
        let (root, place, uri) = (self.root.clone(), self.root.place(uri)?, uri.clone());
        let (to, transfer) = (to.to_owned(), self.transfer);
        let stop = transfer::Stop::default();
        let _stop_when_dropped = stop.guard();
        blocking(move || {
            let from = open(&root, &place, &uri)?;
            transfer::to_file(transfer, from, &place.path, &to, &stop)
        })
        .await
    }

    async fn upload(&self, from: &Path, uri: &Uri) -> Result<()> {
        let (from, transfer) = (from.to_owned(), self.transfer);
        let fill = move |partial: &Path, stop: &transfer::Stop| {
            transfer::from_file(transfer, &from, partial, stop)
        };
        self.put(uri, None, fill).await
    }

    async fn upload_noted(&self, from: &Path, uri: &Uri, note: &str) -> Result<()> {
        let from = from.to_owned();
        // A copy: the note is of the object, and a linked file is somebody else's too.
        let fill = move |partial: &Path, stop: &transfer::Stop| {
            transfer::from_file(Transfer::Copy, &from, partial, stop)
        };
        self.put(uri, Some(note), fill).await
    }

    async fn note(&self, uri: &Uri) -> Result<Option<String>> {
        let (root, place) = (self.root.clone(), self.root.place(uri)?);
        blocking(move || {
            if root.look(&place)?.is_none() {
                return Ok(None);
            }
            let found = xattr::get(&place.path, NOTE).ok().flatten();
            Ok(found.and_then(|bytes| String::from_utf8(bytes).ok()))
        })
        .await
    }

    async fn copy(&self, _: &Uri, _: &Uri) -> Result<bool> {
        Ok(false)
    }

    async fn delete(&self, uri: &Uri) -> Result<()> {
        let (root, place) = (self.root.clone(), self.root.place(uri)?);
        blocking(move || {
            if root.look(&place)?.is_none() {
                return Ok(());
            }
            match fs::remove_file(&place.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(io("remove", &place.path, error))
                }
                _ => Ok(()),
            }
        })
        .await
    }
}

fn open(root: &Root, place: &Place, uri: &Uri) -> Result<File> {
    if root.look(place)?.is_none() {
        return Err(missing(uri));
    }
    File::open(&place.path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => missing(uri),
        _ => io("open", &place.path, error),
    })
}
