//! What is recorded of jobs, beside the trigger: how far they are, and how they ended.

use std::sync::Arc;

use parallax_job::{JobId, JobStatus, ObjectKey};
use parallax_ports::Result;
use parallax_ports::ledger::{Advance, Job};
use tracing::{error, info, warn};

use crate::context::Context;
use crate::evidence::LEAST_RESULT;
use crate::outcome::Outcome;

/// Moves jobs from status to status.
#[derive(Debug)]
pub(crate) struct Jobs {
    context: Arc<Context>,
}

impl Jobs {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Moves a job on, or finds that somebody has.
    pub(crate) async fn move_on(
        &self,
        job_id: &JobId,
        to: JobStatus,
        total: Option<u32>,
    ) -> Result<Advance> {
        let verb = || self.context.ledger().advance(job_id, to, total, None, self.context.now());
        let advance = self.context.persist("advance", verb).await?;
        match advance {
            Advance::Moved | Advance::Already => {}
            Advance::Refused(status) => info!(%status, %to, "the job has moved on"),
            Advance::NotFound => warn!("the job is gone"),
        }
        Ok(advance)
    }

    /// Completes a job whose film was joined here from the cut into `total`.
    pub(crate) async fn complete(&self, job_id: &JobId, total: Option<u32>) -> Result<Advance> {
        let (context, to) = (&self.context, JobStatus::Completed);
        let verb = || context.ledger().advance(job_id, to, total, None, context.now());
        context.persist("completed", verb).await
    }

    /// Fails a job for its own fault. The message is done only once that is recorded.
    pub(crate) async fn fail(&self, job_id: &JobId, why: &str) -> Outcome {
        error!(%job_id, why, "job fails");
        let verb = || {
            self.context.ledger().advance(
                job_id,
                JobStatus::Failed,
                None,
                Some(why),
                self.context.now(),
            )
        };
        match self.context.persist("fail job", verb).await {
            Ok(_) => Outcome::Done,
            Err(error) => self.context.try_later(&error),
        }
    }

    /// A final file written by somebody else's reassembler completes the job.
    pub(crate) async fn final_written(&self, job_id: &JobId, key: &ObjectKey) -> Result<Outcome> {
        let uri = match self.context.config.buckets.output.uri(key) {
            Ok(uri) => uri,
            Err(error) => return Ok(Outcome::Poison { why: error.to_string() }),
        };
        let job = self.context.ledger().job(job_id).await?;
        let Some(job) = job.filter(|job| job.status == JobStatus::Reassembling) else {
            return Ok(Outcome::Done);
        };
        let there = self.context.ports.objects.head(&uri).await?;
        if there.is_some_and(|meta| meta.size >= LEAST_RESULT) && !self.was_cut_anew(&job).await? {
            let (to, now) = (JobStatus::Completed, self.context.now());
            self.context.ledger().advance(job_id, to, job.total_segments, None, now).await?;
        }
        Ok(Outcome::Done)
    }

    /// Whether an earlier cut of the job has begun. Whose film stands there then cannot be told: only
    /// whoever joined it under the current cut's lock says so.
    async fn was_cut_anew(&self, job: &Job) -> Result<bool> {
        let rows = self.context.ledger().segments_at(&job.job_id, 0).await?;
        Ok(rows.iter().any(|row| row.is_of_another_cut_than(job)))
    }
}
