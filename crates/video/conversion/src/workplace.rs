//! What the media steps have in common: programs, objects, addresses and scratch space.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use parallax_job::{Buckets, JobId, ObjectKey, Uri};
use parallax_media::Tools;
use parallax_ports::{Error, Kind, ObjectStore, Result};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::film::Film;

/// Where media steps work.
#[derive(Debug, Clone)]
pub struct Workplace {
    /// The ffmpeg programs and the limits on inputs.
    pub tools: Tools,
    /// Where sources, segments and results are.
    pub objects: Arc<dyn ObjectStore>,
    /// The buckets of the deployment.
    pub buckets: Buckets,
    /// An existing folder for temporary files, with room for a source and its results.
    pub scratch: PathBuf,
    /// The one source that is worked on, as its user knows it. `None` where there are many: their
    /// addresses are their names.
    pub film: Option<Film>,
}

impl Workplace {
    /// A private folder that goes with its handle.
    pub(crate) fn folder(&self) -> Result<TempDir> {
        tempfile::Builder::new().prefix("parallax-").tempdir_in(&self.scratch).map_err(|e| {
            let what = format!("create a folder in {}", self.scratch.display());
            let kind = match e.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Kind::Unavailable,
                _ => Kind::Internal,
            };
            Error::new(kind, what).with_source(e)
        })
    }

    /// What messages call a job's source.
    pub(crate) fn source_name(&self, job_id: &JobId) -> String {
        match (&self.film, self.input(&ObjectKey::Source(job_id.clone()))) {
            (Some(film), _) => film.name.clone(),
            (None, Ok(uri)) => uri.to_string(),
            (None, Err(_)) => job_id.to_string(),
        }
    }

    /// What messages call segment `index` of `total` of a job's source.
    pub(crate) fn segment_name(&self, job_id: &JobId, index: u32, total: u32) -> String {
        match &self.film {
            Some(film) => film.place(index, total),
            None => {
                let source = self.source_name(job_id);
                format!("{source} (segment {} of {total})", u64::from(index) + 1)
            }
        }
    }

    pub(crate) fn input(&self, key: &ObjectKey) -> Result<Uri> {
        address(self.buckets.input.uri(key))
    }

    pub(crate) fn output(&self, key: &ObjectKey) -> Result<Uri> {
        address(self.buckets.output.uri(key))
    }
}

fn address(uri: std::result::Result<Uri, parallax_job::UriError>) -> Result<Uri> {
    uri.map_err(|e| Error::new(Kind::Rejected, e.to_string()))
}

/// Runs blocking media work. The token it is given is cancelled when the caller's is, and when
/// this future is dropped: the work then ends soon instead of going on unseen.
pub(crate) async fn blocking<T: Send + 'static>(
    cancel: &CancellationToken,
    work: impl FnOnce(CancellationToken) -> T + Send + 'static,
) -> Result<T> {
    let token = cancel.child_token();
    let _stop_with_us = token.clone().drop_guard();
    tokio::task::spawn_blocking(move || work(token))
        .await
        .map_err(|e| Error::new(Kind::Internal, "media work crashed").with_source(e))
}

/// Ends a port call when the token is cancelled; port calls are safe to drop.
pub(crate) async fn unless_cancelled<T>(
    cancel: &CancellationToken,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    match cancel.run_until_cancelled(call).await {
        Some(result) => result,
        None => Err(Error::new(Kind::Cancelled, "cancelled")),
    }
}
