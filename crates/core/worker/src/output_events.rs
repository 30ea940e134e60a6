//! The output-events loop: something was written, so look at the segment it belongs to.

use std::sync::Arc;

use parallax_job::{
    JobId, JobStatus, Notification, ObjectEvent, ObjectKey, Record, Timestamp,
    parse_timed_notification,
};
use parallax_ports::ledger::Job;
use parallax_ports::{Custody, Message, Result};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::breaker::Turn;
use crate::delays::{EARLY_EVENT, GATHER, GATHER_AT_LEISURE};
use crate::inbox::Quiet;
use crate::keeper::Hidden;
use crate::observe::LEAST_RESULT;
use crate::outcome::Outcome;
use crate::retry::Backoff;
use crate::stop::{Stop, propagate, reap};
use crate::{Inbox, Pipeline, Role};

/// Deliveries for which an outcome that nobody announced yet is waited for: its announcement may
/// be on its way into the ledger. After that the sweep finds it, or it is not ours.
pub(crate) const EARLY_DELIVERIES: u32 = 3;

/// The most messages of one receive.
const FULL: usize = 10;
/// The most messages that are handled at once.
const AT_ONCE: usize = 50;

pub(crate) async fn run(pipeline: Arc<Pipeline>, stop: Stop) {
    let inbox = pipeline.ports.output_events.clone();
    let mut tasks = JoinSet::new();
    let mut backoff = Backoff::new();
    let mut quiet = Quiet::default();
    let pulse = pipeline.pulse(Role::OutputEvents);
    while !stop.soft.is_cancelled() {
        pulse.tick();
        reap(&mut tasks);
        if tasks.len() > AT_ONCE - FULL {
            if let Some(done) = pulse.during(tasks.join_next()).await {
                propagate(done);
            }
            continue;
        }
        // Whatever is received while nobody can be asked about it has used up a delivery.
        let turn = pipeline.services.turn();
        if let Turn::Wait(time) = turn {
            tokio::select! {
                biased;
                () = stop.soft.cancelled() => {}
                () = pipeline.services.wait(time) => {}
            }
            continue;
        }
        let wait = quiet.wait(&pipeline.config);
        let most = if turn == Turn::Probe { 1 } else { FULL };
        let receive = pipeline.receive(&inbox, most, wait, &stop);
        match pulse.ask("queue", wait, receive).await {
            Ok(messages) => {
                backoff.reset();
                quiet.learn(&messages);
                if turn == Turn::Probe && !messages.is_empty() {
                    pipeline.services.probing();
                }
                let mut more = messages.is_empty() || messages.len() == FULL;
                // The event of a result comes just before the one that ends its attempt.
                let mut ends_none = pipeline.ports.backend.custody() == Custody::Backend;
                for message in messages {
                    let read = parse_timed_notification(&message.body);
                    ends_none &= !read.as_ref().is_ok_and(|(read, _)| may_end_an_attempt(read));
                    let (pipeline, inbox) = (pipeline.clone(), inbox.clone());
                    tasks.spawn(async move {
                        pipeline.output_message(&inbox, &message, read).await;
                    });
                }
                more |= ends_none;
                if !more {
                    let waited_for = pipeline.permits_wait_for_events();
                    stop.pause(if waited_for { GATHER } else { GATHER_AT_LEISURE }).await;
                }
            }
            Err(error) => {
                warn!(queue = inbox.name, error = %error.chain(), "could not receive");
                stop.pause(backoff.next(&pipeline)).await;
            }
        }
    }
    pulse.finish();
    while let Some(done) = tasks.join_next().await {
        propagate(done);
    }
}

/// Whether an event may say that a backend which announces its outcomes is done with an attempt.
fn may_end_an_attempt(notification: &Notification) -> bool {
    let Notification::Records(records) = notification else { return false };
    records.iter().any(|record| match record {
        Record::Inference(_) => true,
        Record::Created(event) => {
            !matches!(event.key.parse(), Ok(ObjectKey::Result { .. } | ObjectKey::Final(_)))
        }
        Record::Foreign(_) | Record::Malformed(_) => false,
    })
}

impl Pipeline {
    /// Whether attempts of this process end by an event alone.
    fn permits_wait_for_events(&self) -> bool {
        self.ports.backend.custody() == Custody::Backend || self.recent.was_accepted()
    }

    async fn output_message(
        &self,
        inbox: &Inbox,
        message: &Message,
        read: std::result::Result<(Notification, Option<Timestamp>), String>,
    ) {
        let handled = self.output_records(inbox, message, read);
        let hidden = Some(Hidden { queue: &*inbox.queue, message });
        let outcome = tokio::select! {
            biased;
            outcome = handled => outcome,
            // A service that is silent is asked for longer than a message is hidden.
            () = self.keep_hidden(self.config.visibility, hidden) => return,
        };
        match &outcome {
            Outcome::Later { .. } => self.services.refused(None),
            _ => self.services.answered(),
        }
        self.settle(inbox, message, outcome).await;
    }

    async fn output_records(
        &self,
        inbox: &Inbox,
        message: &Message,
        read: std::result::Result<(Notification, Option<Timestamp>), String>,
    ) -> Outcome {
        match read {
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
        }
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
                    return Ok(Outcome::Retry { after: EARLY_EVENT });
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
        let job = self.ledger().job(job_id).await?;
        let Some(job) = job.filter(|job| job.status == JobStatus::Reassembling) else {
            return Ok(Outcome::Done);
        };
        let there = self.ports.objects.head(&uri).await?;
        if there.is_some_and(|meta| meta.size >= LEAST_RESULT) && !self.was_cut_anew(&job).await? {
            let (to, now) = (JobStatus::Completed, self.now());
            self.ledger().advance(job_id, to, job.total_segments, None, now).await?;
        }
        Ok(Outcome::Done)
    }

    /// Whether an earlier cut of the job has begun. Whose film stands there then cannot be told: only
    /// whoever joined it under the current cut's lock says so.
    async fn was_cut_anew(&self, job: &Job) -> Result<bool> {
        let rows = self.ledger().segments_at(&job.job_id, 0).await?;
        Ok(rows.iter().any(|row| row.is_of_another_cut_than(job)))
    }
}
