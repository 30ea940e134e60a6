//! Cutting and joining without media: the right objects, in the right order.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use parallax_job::{Buckets, JobId, Mode, ObjectKey, Segment, Uri};
use parallax_ports::{Assembler, Chunker, Cut, Error, Kind, MediaError, ObjectStore, Result};
use tokio_util::sync::CancellationToken;

/// The most bytes of one result.
const LONGEST: u64 = 1 << 20;

/// Cuts every source into as many segments as it is told, which hold nothing of it, and joins results by
/// writing them one after the other with commas between.
///
/// ```
/// use std::sync::Arc;
///
/// use parallax_conformance::memory::{MemoryMedia, MemoryObjects};
/// use parallax_job::{Bucket, Buckets, JobId, Mode, ObjectKey, Scheme};
/// use parallax_ports::{Assembler, Chunker, ObjectStore, SystemClock};
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let objects = Arc::new(MemoryObjects::new(Arc::new(SystemClock), Vec::new()));
/// let bucket = |name: &str| Bucket::Cloud { scheme: Scheme::S3, name: name.to_owned() };
/// let buckets = Buckets { input: bucket("input"), output: bucket("output") };
/// let media = MemoryMedia::new(objects.clone(), buckets.clone(), |_job| 2);
///
/// let (job, cancel): (JobId, _) = ("a-job".parse()?, CancellationToken::new());
/// let source = buckets.input.uri(&ObjectKey::Source(job.clone()))?;
/// objects.write(&source, b"a film").await?;
///
/// // A cut is planned first, so that the job is told how many segments there will be before one is seen.
/// let cut = media.plan(&job, Mode::Sbs, &cancel).await?;
/// assert_eq!(cut.total(), 2);
/// cut.publish(&cancel).await?;
///
/// // Backends write what becomes of each; then they are joined.
/// for (index, result) in [(0, "first"), (1, "second")] {
///     let at = buckets.output.uri(&ObjectKey::Result { job_id: job.clone(), index })?;
///     objects.write(&at, result.as_bytes()).await?;
/// }
/// media.assemble(&job, 2, &cancel).await?;
/// let film = buckets.output.uri(&ObjectKey::Final(job))?;
/// assert_eq!(objects.read(&film, 100).await?, b"first,second");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryMedia {
    objects: Arc<dyn ObjectStore>,
    reach: Arc<dyn ObjectStore>,
    buckets: Buckets,
    total: Arc<dyn Fn(&JobId) -> u32 + Send + Sync>,
}

impl fmt::Debug for MemoryMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryMedia").field("buckets", &self.buckets).finish_non_exhaustive()
    }
}

impl MemoryMedia {
    /// Media steps over `objects`; a job's source is cut into `total` segments.
    pub fn new(
        objects: Arc<dyn ObjectStore>,
        buckets: Buckets,
        total: impl Fn(&JobId) -> u32 + Send + Sync + 'static,
    ) -> Self {
        Self { reach: objects.clone(), objects, buckets, total: Arc::new(total) }
    }

    /// Has what is written go through `reach`: the same objects, as a process whose calls go wrong sees
    /// them.
    #[must_use]
    pub fn with_reach(mut self, reach: Arc<dyn ObjectStore>) -> Self {
        self.reach = reach;
        self
    }

    /// What the job's results say, joined.
    ///
    /// # Errors
    /// `NotFound` when one is missing; otherwise the store's.
    pub async fn join(&self, job_id: &JobId, total: u32) -> Result<String> {
        let mut film = Vec::new();
        for index in 0..total {
            let uri = self.output(&ObjectKey::Result { job_id: job_id.clone(), index })?;
            if self.objects.head(&uri).await?.is_none() {
                return Err(Error::new(Kind::NotFound, format!("{uri}: result missing")));
            }
            let found = self.objects.read(&uri, LONGEST).await?;
            film.push(String::from_utf8_lossy(&found).into_owned());
        }
        Ok(film.join(","))
    }

    /// Writes the job's film.
    ///
    /// # Errors
    /// The store's.
    pub async fn publish(&self, job_id: &JobId, film: &str) -> Result<()> {
        let uri = self.output(&ObjectKey::Final(job_id.clone()))?;
        self.reach.write(&uri, film.as_bytes()).await
    }

    async fn find_source(&self, job_id: &JobId) -> Result<()> {
        let uri = address(self.buckets.input.uri(&ObjectKey::Source(job_id.clone())))?;
        match self.objects.head(&uri).await? {
            Some(_) => Ok(()),
            None => Err(Error::new(Kind::NotFound, format!("{uri}: source missing"))),
        }
    }

    fn output(&self, key: &ObjectKey) -> Result<Uri> {
        address(self.buckets.output.uri(key))
    }
}

/// An address that the bucket can say.
fn address<E: std::error::Error + Send + Sync + 'static>(
    uri: std::result::Result<Uri, E>,
) -> Result<Uri> {
    uri.map_err(|error| Error::new(Kind::Rejected, "address of an object").with_source(error))
}

fn unless_cancelled(cancel: &CancellationToken) -> Result<()> {
    match cancel.is_cancelled() {
        true => Err(Error::new(Kind::Cancelled, "cancelled")),
        false => Ok(()),
    }
}

struct Plan {
    media: MemoryMedia,
    job_id: JobId,
    mode: Mode,
    total: u32,
}

#[async_trait]
impl Chunker for MemoryMedia {
    async fn plan(
        &self,
        job_id: &JobId,
        mode: Mode,
        cancel: &CancellationToken,
    ) -> std::result::Result<Box<dyn Cut>, MediaError> {
        unless_cancelled(cancel)?;
        self.find_source(job_id).await?;
        let (media, job_id, total) = (self.clone(), job_id.clone(), (self.total)(job_id));
        Ok(Box::new(Plan { media, job_id, mode, total }))
    }
}

#[async_trait]
impl Cut for Plan {
    fn total(&self) -> u32 {
        self.total
    }

    async fn publish(&self, cancel: &CancellationToken) -> std::result::Result<(), MediaError> {
        let MemoryMedia { reach, buckets, .. } = &self.media;
        for index in 0..self.total {
            unless_cancelled(cancel)?;
            let segment = Segment::new(self.job_id.clone(), index, self.total, self.mode)
                .map_err(|error| MediaError::Input(error.to_string()))?;
            let uri = address(buckets.input.uri(&ObjectKey::Segment(segment)))?;
            if reach.head(&uri).await?.is_none() {
                reach.write(&uri, b"segment").await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Assembler for MemoryMedia {
    async fn assemble(
        &self,
        job_id: &JobId,
        total: u32,
        cancel: &CancellationToken,
    ) -> std::result::Result<(), MediaError> {
        unless_cancelled(cancel)?;
        self.find_source(job_id).await?;
        let film = self.join(job_id, total).await?;
        self.publish(job_id, &film).await?;
        Ok(())
    }
}
