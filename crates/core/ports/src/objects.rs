//! Objects by address.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::{Timestamp, Uri};

use crate::Result;

/// What is known of an object without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: Timestamp,
}

/// The longest note in bytes: S3 keeps two kilobytes with an object, names included.
pub const LONGEST_NOTE: usize = 1536;

/// A store of whole objects with read-after-write consistency.
///
/// A write is atomic: a reader sees the old object or the new one, never a part, and a write that
/// fails or is dropped leaves no object under the name. Where notifications are configured, every
/// successful write raises one, at least once.
#[async_trait]
pub trait ObjectStore: Debug + Send + Sync {
    /// Looks at an object; `None` when there is none. Missing permission is `Unauthorized`, never
    /// `None`.
    async fn head(&self, uri: &Uri) -> Result<Option<ObjectMeta>>;

    /// Reads a small object.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Rejected` when it is larger than `limit` bytes.
    async fn read(&self, uri: &Uri, limit: u64) -> Result<Vec<u8>>;

    /// Writes a small object.
    async fn write(&self, uri: &Uri, bytes: &[u8]) -> Result<()>;

    /// As [`ObjectStore::write`], and keeps `note` with the object as
    /// [`ObjectStore::upload_noted`] does. A store that cannot keep notes writes without.
    async fn write_noted(&self, uri: &Uri, bytes: &[u8], note: &str) -> Result<()>;

    /// Streams an object into a new local file.
    ///
    /// # Errors
    /// `NotFound` when there is none. On any error the file may be left, partly written.
    async fn download(&self, uri: &Uri, to: &Path) -> Result<()>;

    /// Streams a local file into an object.
    async fn upload(&self, from: &Path, uri: &Uri) -> Result<()>;

    /// As [`ObjectStore::upload`], and keeps `note` with the object until it is written again: 1 to
    /// [`LONGEST_NOTE`] visible ASCII characters and spaces. The bytes and their note appear
    /// together. A store that cannot keep notes uploads without.
    async fn upload_noted(&self, from: &Path, uri: &Uri, note: &str) -> Result<()>;

    /// What was noted when the object was last written; `None` when nothing was, and when there is
    /// no object.
    async fn note(&self, uri: &Uri) -> Result<Option<String>>;

    /// Copies an object without moving its bytes through this process; false, and nothing was
    /// done, where the store has no such way.
    ///
    /// # Errors
    /// `NotFound` when there is none to copy.
    async fn copy(&self, from: &Uri, to: &Uri) -> Result<bool>;

    /// An address under which anybody may read the object for `valid`; `None` where the store has no such way. Whether
    /// there is an object is not looked at.
    ///
    /// # Errors
    /// `Rejected` when the time is out of the store's range.
    async fn link(&self, uri: &Uri, valid: Duration) -> Result<Option<String>>;

    /// Removes an object; succeeds when there is none.
    async fn delete(&self, uri: &Uri) -> Result<()>;
}
