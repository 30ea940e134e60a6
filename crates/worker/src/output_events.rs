//! The output-events loop: something was written, so look at the segment it belongs to.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::{
    JobId, JobStatus, Notification, ObjectEvent, ObjectKey, Record, parse_timed_notification,
};
use parallax_ports::{Custody, Message, Result};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::outcome::Outcome;
use crate::retry::Backoff;
use crate::supervise::{Stop, propagate, reap};
use crate::{Inbox, Pipeline, Role};

/// Deliveries for which an outcome that nobody announced yet is waited for: its announcement may
/// be on its way into the ledger. After that the sweep finds it, or it is not ours.
pub(crate) const EARLY_DELIVERIES: u32 = 3;

/// The most messages of one receive.
const FULL: usize = 10;
/// The most messages that are handled at once.
const AT_ONCE: usize = 50;
/// How long events may gather after a receive that brought few: a permit may wait for them where
/// the backend has custody; elsewhere they mostly repeat what is known.
const GATHER: Duration = Duration::from_millis(500);
const GATHER_AT_LEISURE: Duration = Duration::from_secs(2);

pub(crate) async fn run(pipeline: Arc<Pipeline>, stop: Stop) {
    let inbox = pipeline.ports.output_events.clone();
    let mut tasks = JoinSet::new();
    let mut backoff = Backoff::new();
    let beat = pipeline.beat(Role::OutputEvents);
    let gather = match pipeline.ports.backend.custody() {
        Custody::Backend => GATHER,
        Custody::Caller => GATHER_AT_LEISURE,
    };
    while !stop.soft.is_cancelled() {
        beat.tick();
        reap(&mut tasks);
        if tasks.len() > AT_ONCE - FULL {
            if let Some(done) = tasks.join_next().await {
                propagate(done);
            }
            continue;
        }
        match pipeline.receive(&inbox, FULL, &stop).await {
            Ok(messages) => {
                backoff.reset();
                let more = messages.is_empty() || messages.len() == FULL;
                for message in messages {
                    let (pipeline, inbox) = (pipeline.clone(), inbox.clone());
                    tasks.spawn(async move { pipeline.output_message(&inbox, &message).await });
                }
                if !more {
                    stop.pause(gather).await;
                }
            }
            Err(error) => {
                warn!(queue = inbox.name, error = %error.chain(), "could not receive");
                stop.pause(backoff.next(&pipeline)).await;
            }
        }
    }
    beat.finish();
    while let Some(done) = tasks.join_next().await {
        propagate(done);
    }
}

impl Pipeline {
    async fn output_message(&self, inbox: &Inbox, message: &Message) {
        let outcome = match parse_timed_notification(&message.body) {
            Err(why) => Outcome::Poison { why },
            Ok((Notification::Test, _)) => Outcome::Done,
            Ok((Notification::Records(records), at)) => {
                self.observe_delay(inbox, message, at);
                let mut all = Outcome::Done;
                for record in records {
                    let one = match record {
                        Record::Foreign(_) => Outcome::Done,
                        Record::Malformed(why) => Outcome::Poison { why },
                        Record::Created(event) => self.output_event(message, &event).await,
                        Record::Inference(result) => {
                            let looked = self.inference_result(message, &result).await;
                            looked.unwrap_or_else(|error| self.try_later(&error))
                        }
                    };
                    all = all.and(one);
                }
                all
            }
        };
        self.settle(inbox, message, outcome).await;
    }

    async fn output_event(&self, message: &Message, event: &ObjectEvent) -> Outcome {
        let bucket = &self.config.buckets.output;
        if event.bucket != bucket.name() {
            let why = format!("bucket {:?}: expected {:?}", event.bucket, bucket.name());
            return Outcome::Poison { why };
        }
        let key = match event.key.parse::<ObjectKey>() {
            Ok(key) => key,
            Err(error) => {
                // The output bucket also holds what others put there.
                debug!(error = %error, "not an object of the pipeline");
                return Outcome::Done;
            }
        };
        match self.output_key(message, &key).await {
            Ok(outcome) => outcome,
            Err(error) => self.try_later(&error),
        }
    }

    async fn output_key(&self, message: &Message, key: &ObjectKey) -> Result<Outcome> {
        match key {
            // Who announces where its outcome will be is done when that is there. The result alone
            // says less, and should the announcement's own event be lost, the sweep looks.
            ObjectKey::Result { .. } if self.ports.backend.custody() == Custody::Backend => {
                Ok(Outcome::Done)
            }
            ObjectKey::Result { job_id, index } if self.recent.accounts_for(job_id, *index) => {
                Ok(Outcome::Done)
            }
            ObjectKey::Result { job_id, index } => {
                for row in self.ledger().segments_at(job_id, *index).await? {
                    self.observe(&row.segment).await?;
                }
                Ok(Outcome::Done)
            }
            ObjectKey::AsyncResponse(_) | ObjectKey::AsyncFailure(_) => {
                let uri = match self.config.buckets.output.uri(key) {
                    Ok(uri) => uri,
                    Err(error) => return Ok(Outcome::Poison { why: error.to_string() }),
                };
                if self.outcome_at(&uri).await? {
                    return Ok(Outcome::Done);
                }
                if message.receive_count < EARLY_DELIVERIES {
                    return Ok(Outcome::Retry { after: Duration::from_secs(5) });
                }
                info!(location = %uri, "an outcome that no open attempt announced");
                Ok(Outcome::Done)
            }
            ObjectKey::Final(job_id) => self.final_written(job_id, key).await,
            _ => Ok(Outcome::Done),
        }
    }

    /// A final file written by somebody else's reassembler completes the job.
    pub(crate) async fn final_written(&self, job_id: &JobId, key: &ObjectKey) -> Result<Outcome> {
        let uri = match self.config.buckets.output.uri(key) {
            Ok(uri) => uri,
            Err(error) => return Ok(Outcome::Poison { why: error.to_string() }),
        };
        let reassembling = |status| status == JobStatus::Reassembling;
        let job = self.ledger().job(job_id).await?;
        if !job.is_some_and(|job| reassembling(job.status)) {
            return Ok(Outcome::Done);
        }
        if self.ports.objects.head(&uri).await?.is_some_and(|meta| meta.size > 0) {
            let now = self.now();
            self.ledger().advance(job_id, JobStatus::Completed, None, None, now).await?;
        }
        Ok(Outcome::Done)
    }
}
