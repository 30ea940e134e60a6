//! The two steps of a job that touch media: cutting the source and joining the results.

use std::fmt::Debug;

use async_trait::async_trait;
use parallax_job::{JobId, Mode};
use tokio_util::sync::CancellationToken;

use crate::Error;

/// Why a media step failed.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The media are at fault: the job fails with this reason, another try will not help.
    #[error("{0}")]
    Input(String),
    /// Something else is.
    #[error(transparent)]
    Port(#[from] Error),
}

/// Cuts a source into segments.
#[async_trait]
pub trait Chunker: Debug + Send + Sync {
    /// Prepares the cut of the job's source and returns the number of segments, at least 1.
    /// Deterministic: the same source is always cut alike. Nothing is published yet.
    async fn plan(
        &self,
        job_id: &JobId,
        mode: Mode,
        cancel: &CancellationToken,
    ) -> Result<Box<dyn Cut>, MediaError>;
}

/// A prepared cut.
#[async_trait]
pub trait Cut: Send + Sync {
    /// Number of segments, at least 1.
    fn total(&self) -> u32;

    /// Writes every segment that is not yet there under its canonical key.
    async fn publish(&self, cancel: &CancellationToken) -> Result<(), MediaError>;
}

/// Joins results into the final file.
#[async_trait]
pub trait Assembler: Debug + Send + Sync {
    /// Writes the job's final object from its `total` results and the source's other streams.
    async fn assemble(
        &self,
        job_id: &JobId,
        total: u32,
        cancel: &CancellationToken,
    ) -> Result<(), MediaError>;
}
