//! The media steps in memory, at a pace, through faulty ports and before the watch.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_conformance::fault::Faults;
use parallax_conformance::memory::MemoryMedia;
use parallax_job::{JobId, Mode};
use parallax_ports::{Assembler, Chunker, Cut, MediaError};
use tokio_util::sync::CancellationToken;

use super::watch::Watch;

#[derive(Debug, Clone)]
pub struct Studio {
    pub media: MemoryMedia,
    pub faults: Arc<Faults>,
    pub watch: Arc<Watch>,
}

#[async_trait]
impl Chunker for Studio {
    async fn plan(
        &self,
        job_id: &JobId,
        mode: Mode,
        _: &CancellationToken,
    ) -> Result<Box<dyn Cut>, MediaError> {
        let think = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(())
        };
        self.faults.around("chunker.plan", think).await?;
        // It heeds no token: who asks may be cancelled at any await all the same.
        let cut = self.media.plan(job_id, mode, &CancellationToken::new()).await?;
        Ok(Box::new(Unheeding(cut)))
    }
}

struct Unheeding(Box<dyn Cut>);

#[async_trait]
impl Cut for Unheeding {
    fn total(&self) -> u32 {
        self.0.total()
    }

    async fn publish(&self, _: &CancellationToken) -> Result<(), MediaError> {
        self.0.publish(&CancellationToken::new()).await
    }
}

#[async_trait]
impl Assembler for Studio {
    async fn assemble(
        &self,
        job_id: &JobId,
        total: u32,
        _: &CancellationToken,
    ) -> Result<(), MediaError> {
        let _alone = self.watch.assembling(job_id);
        let work = async {
            tokio::time::sleep(Duration::from_secs(40)).await;
            self.media.join(job_id, total).await
        };
        let film = self.faults.around("assembler.assemble", work).await?;
        Ok(self.media.publish(job_id, &film).await?)
    }
}
