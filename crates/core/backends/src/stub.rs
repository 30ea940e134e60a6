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

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_job::{JobId, Mode, Segment, Timestamp};
    use parallax_ports::TokioClock;
    use parallax_ports::memory::MemoryObjects;

    #[tokio::test]
    async fn the_result_is_the_segment_and_a_missing_one_is_not_found() {
        let clock = Arc::new(TokioClock::starting_at(Timestamp(0)));
        let objects = Arc::new(MemoryObjects::new(clock, Vec::new()));
        let job: JobId = "j".parse().unwrap();
        let invocation = Invocation {
            segment: Segment::new(job, 0, 1, Mode::Sbs).unwrap(),
            attempt: 1,
            input: "s3://bucket/in".parse().unwrap(),
            output: "s3://bucket/out".parse().unwrap(),
        };
        let stub = Stub::new(objects.clone());
        let cancel = CancellationToken::new();
        let error = stub.invoke(&invocation, &cancel).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(objects.head(&invocation.output).await.unwrap(), None);
        objects.write(&invocation.input, b"pixels").await.unwrap();
        assert_eq!(stub.invoke(&invocation, &cancel).await.unwrap(), Invoked::Written);
        assert_eq!(objects.read(&invocation.output, 100).await.unwrap(), b"pixels");
        cancel.cancel();
        let error = stub.invoke(&invocation, &cancel).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Cancelled);
    }
}
