//! The chunking loop: a source arrived, so cut it into segments.
//!
//! The total is recorded before the first segment is published: a result that comes back while
//! later segments are still being written must not meet a job without a total.

use std::sync::Arc;

use parallax_job::{JobId, JobStatus, Mode, Notification, ObjectKey, Record, parse_notification};
use parallax_ports::health::Beat;
use parallax_ports::ledger::Advance;
use parallax_ports::{Kind, MediaError, Message};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::delays::NO_JOB_YET;
use crate::inbox::Quiet;
use crate::keeper::Hidden;
use crate::outcome::Outcome;
use crate::retry::Backoff;
use crate::stop::Stop;
use crate::{Inbox, Pipeline, Role};

pub(crate) async fn run(pipeline: Arc<Pipeline>, stop: Stop) {
    let Some(inbox) = pipeline.ports.chunking.clone() else { return };
    let mut backoff = Backoff::new();
    let mut quiet = Quiet::default();
    let pulse = pipeline.pulse(Role::Chunking);
    while !stop.soft.is_cancelled() {
        pulse.tick();
        let wait = quiet.wait(&pipeline.config);
        let receive = pipeline.receive(&inbox, 1, wait, &stop);
        match pulse.ask("queue", wait, receive).await {
            Ok(messages) => {
                backoff.reset();
                quiet.learn(&messages);
                for message in messages {
                    let work = pipeline.source_message(&inbox, &message, pulse.beat(), &stop);
                    pulse.during(work).await;
                }
            }
            Err(error) => {
                warn!(queue = inbox.name, error = %error.chain(), "could not receive");
                stop.pause(backoff.next(&pipeline)).await;
            }
        }
    }
}

impl Pipeline {
    async fn source_message(&self, inbox: &Inbox, message: &Message, beat: &Beat, stop: &Stop) {
        let outcome = match parse_notification(&message.body) {
            Err(why) => Outcome::Poison { why },
            Ok(Notification::Test) => Outcome::Done,
            Ok(Notification::Records(records)) => {
                let mut all = Outcome::Done;
                for record in records {
                    let one = self.source_record(inbox, message, record, beat, stop).await;
                    all = all.and(one);
                }
                all
            }
        };
        self.settle(inbox, message, outcome).await;
    }

    async fn source_record(
        &self,
        inbox: &Inbox,
        message: &Message,
        record: Record,
        beat: &Beat,
        stop: &Stop,
    ) -> Outcome {
        let event = match record {
            Record::Created(event) => event,
            Record::Foreign(_) | Record::Inference(_) => return Outcome::Done,
            Record::Malformed(why) => return Outcome::Poison { why },
        };
        let bucket = self.config.buckets.input.name();
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
        let cancel = stop.hard.child_token();
        let span = info_span!("chunking", %job_id);
        let work = self.chunk(&job_id, &cancel).instrument(span);
        tokio::pin!(work);
        let hidden = Some(Hidden { queue: &*inbox.queue, message });
        let kept = || async { Ok(true) };
        let done = tokio::select! {
            biased;
            done = &mut work => done,
            // No lease to lose: two who cut the same source write the same segments.
            () = self.keep(self.config.visibility, Instant::now(), hidden, Some(beat), kept) => work.await,
        };
        match done {
            Ok(outcome) => outcome,
            Err(MediaError::Port(error)) if error.kind() == Kind::Cancelled => Outcome::Interrupted,
            Err(MediaError::Port(error)) => self.try_later(&error),
            Err(MediaError::Input(why)) => self.fail_job(&job_id, &why).await,
        }
    }

    async fn chunk(
        &self,
        job_id: &JobId,
        cancel: &CancellationToken,
    ) -> Result<Outcome, MediaError> {
        let Some(job) = self.ledger().job(job_id).await? else {
            warn!("a source without a job");
            return Ok(Outcome::Retry { after: NO_JOB_YET });
        };
        if job.status >= JobStatus::ChunkingComplete {
            return Ok(Outcome::Done);
        }
        self.move_on(job_id, JobStatus::ChunkingInProgress, None).await?;
        let mode: Mode = job.mode;
        let cut = self.ports.chunker.plan(job_id, mode, cancel).await?;
        let total = cut.total();
        self.move_on(job_id, JobStatus::ChunkingInProgress, Some(total)).await?;
        cut.publish(cancel).await?;
        self.move_on(job_id, JobStatus::ChunkingComplete, Some(total)).await?;
        info!(total, "source cut");
        // Results may all have come back already.
        self.trigger(job_id).await?;
        Ok(Outcome::Done)
    }

    async fn move_on(
        &self,
        job_id: &JobId,
        to: JobStatus,
        total: Option<u32>,
    ) -> Result<(), MediaError> {
        let verb = || self.ledger().advance(job_id, to, total, None, self.now());
        match self.persist("advance", verb).await? {
            Advance::Moved | Advance::Already => {}
            Advance::Refused(status) => info!(%status, %to, "the job has moved on"),
            Advance::NotFound => warn!("the job is gone"),
        }
        Ok(())
    }

    /// Fails a job for its own fault. The message is done only once that is recorded.
    pub(crate) async fn fail_job(&self, job_id: &JobId, why: &str) -> Outcome {
        error!(%job_id, why, "job fails");
        let verb = || self.ledger().advance(job_id, JobStatus::Failed, None, Some(why), self.now());
        match self.persist("fail job", verb).await {
            Ok(_) => Outcome::Done,
            Err(error) => self.try_later(&error),
        }
    }
}
