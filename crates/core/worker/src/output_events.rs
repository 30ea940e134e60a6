//! The output-events loop's messages: something was written, so look at the segment it belongs to.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::{
    Notification, ObjectEvent, ObjectKey, Record, parse_notification, parse_timed_notification,
};
use parallax_ports::{Custody, Message, Result};
use tokio::task::JoinSet;
use tracing::{debug, info};

use crate::Inbox;
use crate::breaker::{Breaker, Turn};
use crate::consumer::{Admission, Handler, Intake, Round};
use crate::context::Context;
use crate::delays::{EARLY_EVENT, GATHER, GATHER_AT_LEISURE};
use crate::evidence::Evidence;
use crate::heartbeat::{Heartbeat, Hidden};
use crate::inference::{EARLY_DELIVERIES, InferenceResults};
use crate::jobs::Jobs;
use crate::outcome::Outcome;
use crate::stop::propagate;

/// The most messages of one receive.
const FULL: usize = 10;
/// The most messages that are handled at once.
const AT_ONCE: usize = 50;

/// Many messages at once, a moment after each other, and few while services do not answer.
#[derive(Debug)]
pub(crate) struct EventIntake {
    context: Arc<Context>,
    services: Arc<Breaker>,
    turn: Turn,
}

impl EventIntake {
    pub(crate) fn new(context: Arc<Context>, services: Arc<Breaker>) -> Self {
        Self { context, services, turn: Turn::Go }
    }

    /// How long to rest after a receive, so that events which come together are handled together.
    fn rest(&self, messages: &[Message]) -> Option<Duration> {
        if messages.is_empty() || messages.len() == FULL {
            return None;
        }
        let announced = self.context.ports.backend.custody() == Custody::Backend;
        // The event of a result comes just before the one that ends its attempt.
        if announced && !messages.iter().any(may_end_an_attempt) {
            return None;
        }
        // Where attempts of this process end by an event alone, permits wait for the next.
        let waited_for = announced || self.context.recent.was_accepted();
        Some(if waited_for { GATHER } else { GATHER_AT_LEISURE })
    }
}

impl Intake for EventIntake {
    type Pass = ();

    const CONCURRENT: bool = true;

    async fn stand_by(&mut self, _: &Round<'_>) {}

    async fn admit(&mut self, running: &mut JoinSet<()>, round: &Round<'_>) -> Admission {
        if running.len() > AT_ONCE - FULL {
            if let Some(done) = round.pulse.during(running.join_next()).await {
                propagate(done);
            }
            return Admission::Skip;
        }
        // Whatever is received while nobody can be asked about it has used up a delivery.
        self.turn = self.services.turn();
        if let Turn::Wait(time) = self.turn {
            tokio::select! {
                biased;
                () = round.stop.soft.cancelled() => {}
                () = self.services.wait(time) => {}
            }
            return Admission::Skip;
        }
        Admission::Receive(if self.turn == Turn::Probe { 1 } else { FULL })
    }

    async fn received(&mut self, messages: &[Message], _: &Round<'_>) -> Option<Duration> {
        if self.turn == Turn::Probe && !messages.is_empty() {
            self.services.probing();
        }
        self.rest(messages)
    }

    fn pass(&mut self) {}

    async fn close(&mut self, _: usize) {}
}

/// Whether an event may say that a backend which announces its outcomes is done with an attempt.
fn may_end_an_attempt(message: &Message) -> bool {
    let Ok(Notification::Records(records)) = parse_notification(&message.body) else {
        return false;
    };
    records.iter().any(|record| match record {
        Record::Inference(_) => true,
        Record::Created(event) => {
            !matches!(event.key.parse(), Ok(ObjectKey::Result { .. } | ObjectKey::Final(_)))
        }
        Record::Foreign(_) | Record::Malformed(_) => false,
    })
}

/// Handles events of results and of a backend's bookkeeping.
#[derive(Debug)]
pub(crate) struct OutputEvents {
    pub(crate) context: Arc<Context>,
    pub(crate) evidence: Arc<Evidence>,
    pub(crate) results: InferenceResults,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) heartbeat: Heartbeat,
    /// Whether the services that events are followed up with answer.
    pub(crate) services: Arc<Breaker>,
    pub(crate) inbox: Inbox,
}

impl Handler for OutputEvents {
    type Pass = ();

    async fn handle(&self, message: &Message, (): ()) -> Outcome {
        let hidden = Some(Hidden { queue: &*self.inbox.queue, message });
        let visibility = self.context.config.visibility;
        let outcome = tokio::select! {
            biased;
            outcome = self.message(message) => outcome,
            // A service that is silent is asked for longer than a message is hidden.
            never = self.heartbeat.keep_hidden(visibility, hidden) => match never {},
        };
        match &outcome {
            Outcome::Later { .. } => self.services.refused(None),
            _ => self.services.answered(),
        }
        outcome
    }
}

impl OutputEvents {
    async fn message(&self, message: &Message) -> Outcome {
        let (records, at) = match parse_timed_notification(&message.body) {
            Err(why) => return Outcome::Poison { why },
            Ok((Notification::Test, _)) => return Outcome::Done,
            Ok((Notification::Records(records), at)) => (records, at),
        };
        self.context.observe_delay(self.inbox.name, message, at);
        let mut all = Outcome::Done;
        for record in records {
            let one = match record {
                Record::Foreign(_) => Outcome::Done,
                Record::Malformed(why) => Outcome::Poison { why },
                Record::Created(event) => self.event(message, &event).await,
                Record::Inference(result) => {
                    let looked = self.results.follow_up(message, &result).await;
                    looked.unwrap_or_else(|error| self.context.try_later(&error))
                }
            };
            all = all.and(one);
        }
        all
    }

    async fn event(&self, message: &Message, event: &ObjectEvent) -> Outcome {
        let bucket = &self.context.config.buckets.output;
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
        match self.key(message, &key).await {
            Ok(outcome) => outcome,
            Err(error) => self.context.try_later(&error),
        }
    }

    async fn key(&self, message: &Message, key: &ObjectKey) -> Result<Outcome> {
        match key {
            // Who announces where its outcome will be is done when that is there. The result alone
            // says less, and should the announcement's own event be lost, the sweep looks.
            ObjectKey::Result { .. }
                if self.context.ports.backend.custody() == Custody::Backend =>
            {
                Ok(Outcome::Done)
            }
            ObjectKey::Result { job_id, index }
                if self.context.recent.accounts_for(job_id, *index) =>
            {
                Ok(Outcome::Done)
            }
            ObjectKey::Result { job_id, index } => {
                for row in self.context.ledger().segments_at(job_id, *index).await? {
                    self.evidence.observe(&row.segment).await?;
                }
                Ok(Outcome::Done)
            }
            ObjectKey::AsyncResponse(_) | ObjectKey::AsyncFailure(_) => {
                let uri = match self.context.config.buckets.output.uri(key) {
                    Ok(uri) => uri,
                    Err(error) => return Ok(Outcome::Poison { why: error.to_string() }),
                };
                if self.evidence.outcome_at(&uri).await? {
                    return Ok(Outcome::Done);
                }
                if message.receive_count < EARLY_DELIVERIES {
                    return Ok(Outcome::Retry { after: EARLY_EVENT });
                }
                info!(location = %uri, "an outcome that no open attempt announced");
                Ok(Outcome::Done)
            }
            ObjectKey::Final(job_id) => self.jobs.final_written(job_id, key).await,
            _ => Ok(Outcome::Done),
        }
    }
}
