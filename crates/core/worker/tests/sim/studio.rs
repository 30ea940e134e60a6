//! Cutting and joining without media: the right objects, in the right order, through faulty ports.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::{Buckets, JobId, Mode, ObjectKey, Segment};
use parallax_ports::fault::Faults;
use parallax_ports::memory::MemoryObjects;
use parallax_ports::{Assembler, Chunker, Cut, Error, Kind, MediaError, ObjectStore};
use tokio_util::sync::CancellationToken;

use super::watch::Watch;

#[derive(Debug, Clone)]
pub struct Studio {
    pub buckets: Buckets,
    pub totals: Arc<BTreeMap<JobId, u32>>,
    pub objects: Arc<MemoryObjects>,
    /// The objects as this process reaches them.
    pub reach: Arc<dyn ObjectStore>,
    pub faults: Arc<Faults>,
    pub watch: Arc<Watch>,
}

#[derive(Debug)]
struct Plan {
    studio: Studio,
    job_id: JobId,
    mode: Mode,
    total: u32,
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
        let total = self.totals[job_id];
        Ok(Box::new(Plan { studio: self.clone(), job_id: job_id.clone(), mode, total }))
    }
}

#[async_trait]
impl Cut for Plan {
    fn total(&self) -> u32 {
        self.total
    }

    async fn publish(&self, _: &CancellationToken) -> Result<(), MediaError> {
        for index in 0..self.total {
            let segment = Segment::new(self.job_id.clone(), index, self.total, self.mode).unwrap();
            let uri = self.studio.buckets.input.uri(&ObjectKey::Segment(segment)).unwrap();
            if self.studio.reach.head(&uri).await?.is_none() {
                self.studio.reach.write(&uri, b"segment").await?;
            }
        }
        Ok(())
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
            let mut film = Vec::new();
            for index in 0..total {
                let key = ObjectKey::Result { job_id: job_id.clone(), index };
                let uri = self.buckets.output.uri(&key).unwrap();
                if self.objects.head(&uri).await?.is_none() {
                    return Err(Error::new(Kind::NotFound, format!("{uri}: result missing")));
                }
                let found = self.objects.read(&uri, 100).await?;
                film.push(String::from_utf8_lossy(&found).into_owned());
            }
            Ok(film.join(","))
        };
        let film = self.faults.around("assembler.assemble", work).await?;
        let uri = self.buckets.output.uri(&ObjectKey::Final(job_id.clone())).unwrap();
        self.reach.write(&uri, film.as_bytes()).await?;
        Ok(())
    }
}
