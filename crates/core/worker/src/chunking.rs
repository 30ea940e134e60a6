//! The chunking loop's messages: a source arrived, so cut it into segments.
//!
//! The total is recorded before the first segment is published: a result that comes back while
//! later segments are still being written must not meet a job without a total.

use std::sync::Arc;

use parallax_job::{JobId, JobStatus, Mode, Notification, ObjectKey, Record, parse_notification};
use parallax_ports::{Kind, MediaError, Message};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use crate::Inbox;
use crate::consumer::Handler;
use crate::context::Context;
use crate::delays::NO_JOB_YET;
use crate::heartbeat::{Heartbeat, Hidden};
use crate::jobs::Jobs;
use crate::outcome::Outcome;
use crate::stop::Stop;
use crate::trigger::Trigger;

/// Handles events of sources.
#[derive(Debug)]
pub(crate) struct Chunking {
    pub(crate) context: Arc<Context>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) trigger: Arc<Trigger>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) inbox: Inbox,
    pub(crate) stop: Stop,
}

impl Handler for Chunking {
    type Pass = ();

    async fn handle(&self, message: &Message, (): ()) -> Outcome {
        let records = match parse_notification(&message.body) {
            Err(why) => return Outcome::Poison { why },
            Ok(Notification::Test) => return Outcome::Done,
            Ok(Notification::Records(records)) => records,
        };
        let mut all = Outcome::Done;
        for record in records {
            all = all.and(self.record(message, record).await);
        }
        all
    }
}

impl Chunking {
    async fn record(&self, message: &Message, record: Record) -> Outcome {
        let event = match record {
            Record::Created(event) => event,
            Record::Foreign(_) | Record::Inference(_) => return Outcome::Done,
            Record::Malformed(why) => return Outcome::Poison { why },
        };
        let bucket = self.context.config.buckets.input.name();
        if event.bucket != bucket {
            return Outcome::Poison {
                why: format!("bucket {:?}: expected {bucket:?}", event.bucket),
            };
        }
        let job_id = match event.key.parse() {
            Ok(ObjectKey::Source(job_id)) => job_id,
            Ok(_) => return Outcome::Done,
            Err(error) => return Outcome::Poison { why: error.to_string() },
        };
        let cancel = self.stop.hard.child_token();
        let span = info_span!("chunking", %job_id);
        let work = self.chunk(&job_id, &cancel).instrument(span);
        tokio::pin!(work);
        let hidden = Some(Hidden { queue: &*self.inbox.queue, message });
        let (visibility, kept) = (self.context.config.visibility, || async { Ok(true) });
        let done = tokio::select! {
            biased;
            done = &mut work => done,
            // No lease to lose: two who cut the same source write the same segments.
            () = self.heartbeat.keep(visibility, Instant::now(), hidden, kept) => work.await,
        };
        match done {
            Ok(outcome) => outcome,
            Err(MediaError::Port(error)) if error.kind() == Kind::Cancelled => Outcome::Interrupted,
            Err(MediaError::Port(error)) => self.context.try_later(&error),
            Err(MediaError::Input(why)) => self.jobs.fail(&job_id, &why).await,
        }
    }

    async fn chunk(
        &self,
        job_id: &JobId,
        cancel: &CancellationToken,
    ) -> Result<Outcome, MediaError> {
        let Some(job) = self.context.ledger().job(job_id).await? else {
            warn!("a source without a job");
            return Ok(Outcome::Retry { after: NO_JOB_YET });
        };
        if job.status >= JobStatus::ChunkingComplete {
            return Ok(Outcome::Done);
        }
        self.jobs.move_on(job_id, JobStatus::ChunkingInProgress, None).await?;
        let mode: Mode = job.mode;
        let cut = self.context.ports.chunker.plan(job_id, mode, cancel).await?;
        let total = cut.total();
        self.jobs.move_on(job_id, JobStatus::ChunkingInProgress, Some(total)).await?;
        cut.publish(cancel).await?;
        self.jobs.move_on(job_id, JobStatus::ChunkingComplete, Some(total)).await?;
        info!(total, "source cut");
        // Results may all have come back already.
        self.trigger.ask_for(job_id).await?;
        Ok(Outcome::Done)
    }
}
