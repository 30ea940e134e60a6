//! The chunking loop's messages: a source arrived, so cut it into segments.
//!
//! The total is recorded before the first segment is published: a result that comes back while
//! later segments are still being written must not meet a job without a total.

use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use parallax_job::{
    JobId, JobStatus, Notification, ObjectKey, Record, Segment, parse_notification,
};
use parallax_ports::ledger::{Advance, Job};
use parallax_ports::{Kind, MediaError, Message};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use crate::Inbox;
use crate::consumer::Handler;
use crate::context::Context;
use crate::delays::{LOOK_AGAIN, NO_JOB_YET};
use crate::heartbeat::{Heartbeat, Hidden};
use crate::jobs::Jobs;
use crate::outcome::Outcome;
use crate::stop::Stop;
use crate::trigger::Trigger;

/// Segments of a deleted job that are removed at once.
const REMOVED_AT_ONCE: usize = 10;

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
            // Whoever died while he cut it may have left something.
            let total = job.total_segments.unwrap_or(0);
            return self.over(&job, job.status, total).await;
        }
        self.jobs.move_on(job_id, JobStatus::ChunkingInProgress, None).await?;
        let cut = self.context.ports.chunker.plan(job_id, job.mode, cancel).await?;
        let total = cut.total();
        let begun = self.jobs.move_on(job_id, JobStatus::ChunkingInProgress, Some(total)).await?;
        if let Some(status) = ended(begun) {
            return self.over(&job, status, total).await;
        }
        tokio::select! {
            biased;
            done = cut.publish(cancel) => done?,
            () = self.deleted(job_id) => {}
        }
        let done = self.jobs.move_on(job_id, JobStatus::ChunkingComplete, Some(total)).await?;
        if let Some(status) = ended(done) {
            return self.over(&job, status, total).await;
        }
        info!(total, "source cut");
        // Results may all have come back already.
        self.trigger.ask_for(job_id).await?;
        Ok(Outcome::Done)
    }

    /// Waits until a job is deleted. One that failed is cut to its end: an operator who reopens it
    /// expects every segment to be there.
    async fn deleted(&self, job_id: &JobId) {
        loop {
            sleep(LOOK_AGAIN).await;
            match self.context.ledger().job(job_id).await {
                Ok(Some(job)) if job.status == JobStatus::Deleted => return,
                // What cannot be read now is found out at the end.
                _ => {}
            }
        }
    }

    /// Nothing more is cut of a job that has this status. Of a deleted one the segments are removed: they
    /// may have been written after whoever deleted it had looked for them.
    async fn over(&self, job: &Job, status: JobStatus, total: u32) -> Result<Outcome, MediaError> {
        if status != JobStatus::Deleted {
            return Ok(Outcome::Done);
        }
        let bucket = &self.context.config.buckets.input;
        let segments = (0..total)
            .filter_map(|index| Segment::new(job.job_id.clone(), index, total, job.mode).ok())
            .filter_map(|segment| bucket.uri(&ObjectKey::Segment(segment)).ok());
        let objects = &self.context.ports.objects;
        let mut removed =
            stream::iter(segments.map(|uri| async move { objects.delete(&uri).await }))
                .buffer_unordered(REMOVED_AT_ONCE);
        while removed.try_next().await?.is_some() {}
        info!(total, "the job is deleted; its segments are removed");
        Ok(Outcome::Done)
    }
}

/// The status of a job that is over, if it refused to be moved on for that.
fn ended(advance: Advance) -> Option<JobStatus> {
    match advance {
        Advance::Refused(status) if status.is_terminal() => Some(status),
        _ => None,
    }
}
