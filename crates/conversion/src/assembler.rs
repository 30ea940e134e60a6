//! Joining a job's results into its final object.

use async_trait::async_trait;
use parallax_job::{JobId, ObjectKey};
use parallax_media::{AssembleOptions, AudioFallback, assemble};
use parallax_ports::{Assembler, MediaError};
use tokio_util::sync::CancellationToken;

use crate::error::Error as ConversionError;
use crate::workplace::{Workplace, blocking, unless_cancelled};

/// An [`Assembler`] on real media.
///
/// The final object's name says MP4, so sound that MP4 does not hold becomes AAC rather than
/// failing a job whose pictures are all there.
#[derive(Debug, Clone)]
pub struct MediaAssembler {
    workplace: Workplace,
}

impl MediaAssembler {
    /// An assembler.
    pub fn new(workplace: Workplace) -> Self {
        Self { workplace }
    }
}

#[async_trait]
impl Assembler for MediaAssembler {
    async fn assemble(
        &self,
        job_id: &JobId,
        total: u32,
        cancel: &CancellationToken,
    ) -> Result<(), MediaError> {
        let Workplace { tools, objects, .. } = &self.workplace;
        let folder = self.workplace.folder()?;
        let source = folder.path().join("source.mp4");
        let uri = self.workplace.input(&ObjectKey::Source(job_id.clone()))?;
        unless_cancelled(cancel, objects.download(&uri, &source)).await?;
        let mut results = Vec::new();
        for index in 0..total {
            let path = folder.path().join(format!("result-{index}.mp4"));
            let key = ObjectKey::Result { job_id: job_id.clone(), index };
            let uri = self.workplace.output(&key)?;
            unless_cancelled(cancel, objects.download(&uri, &path)).await?;
            results.push(path);
        }
        let out = folder.path().join("final.mp4");
        let (tools, target) = (tools.clone(), out.clone());
        // The folder goes along, so that it outlives the work even when this future is dropped.
        let joined = blocking(cancel, move |cancel| {
            let options = AssembleOptions { audio: AudioFallback::Aac };
            let report = assemble(&tools, &results, &source, &target, options, &cancel);
            report.map(|report| (folder, report))
        });
        let (_folder, report) = joined.await?.map_err(ConversionError::from)?;
        for dropped in &report.dropped {
            tracing::info!(%job_id, stream = dropped.index, codec = dropped.codec,
                reason = dropped.reason, "a stream of the source was left out");
        }
        for warning in &report.warnings {
            tracing::warn!(%job_id, warning, "the final file's timing");
        }
        let uri = self.workplace.output(&ObjectKey::Final(job_id.clone()))?;
        unless_cancelled(cancel, objects.upload(&out, &uri)).await?;
        Ok(())
    }
}
