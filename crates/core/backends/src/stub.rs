//! The stub backend: the result is the segment itself. For dry runs and load tests.

use std::sync::Arc;

use async_trait::async_trait;
use parallax_ports::{
    Custody, Error, InferenceBackend, Invocation, Invoked, Kind, ObjectStore, Result,
};
use tokio_util::sync::CancellationToken;

/// Copies each segment to its output address.
#[derive(Debug)]
pub struct Stub {
    objects: Arc<dyn ObjectStore>,
}

impl Stub {
    /// A stub over `objects`.
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects }
    }

    async fn copy(&self, invocation: &Invocation) -> Result<Invoked> {
        if self.objects.copy(&invocation.input, &invocation.output).await? {
            return Ok(Invoked::Written);
        }
        let scratch = tempfile::tempdir().map_err(|error| {
            Error::new(Kind::Internal, "make a scratch folder").with_source(error)
        })?;
        let file = scratch.path().join("segment");
        self.objects.download(&invocation.input, &file).await?;
        self.objects.upload(&file, &invocation.output).await?;
        Ok(Invoked::Written)
    }
}

#[async_trait]
impl InferenceBackend for Stub {
    fn custody(&self) -> Custody {
        Custody::Caller
    }

    async fn invoke(&self, invocation: &Invocation, cancel: &CancellationToken) -> Result<Invoked> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::new(Kind::Cancelled, "cancelled")),
            done = self.copy(invocation) => done,
        }
    }
}
