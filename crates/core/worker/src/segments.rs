//! The segments loop's messages: each event names a segment, which is driven under a permit.

use std::sync::Arc;

use parallax_job::{Notification, ObjectKey, Record, Segment, Timestamp, parse_timed_notification};
use parallax_ports::Message;
use parallax_ports::ledger::{HolderId, Reserve};
use tracing::{Instrument, info_span};

use crate::Inbox;
use crate::attempts::{Attempts, Input};
use crate::consumer::Handler;
use crate::context::Context;
use crate::delays::FULL_WAIT;
use crate::heartbeat::Hidden;
use crate::mutant::buggify;
use crate::outcome::Outcome;
use crate::permits::PermitPool;
use crate::stop::Stop;

/// Handles events of segments.
#[derive(Debug)]
pub(crate) struct Segments {
    pub(crate) context: Arc<Context>,
    pub(crate) permits: Arc<PermitPool>,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) inbox: Inbox,
    pub(crate) stop: Stop,
}

impl Handler for Segments {
    type Pass = Option<HolderId>;

    async fn handle(&self, message: &Message, mut permit: Option<HolderId>) -> Outcome {
        let outcome = self.message(message, &mut permit).await;
        if let Some(permit) = permit {
            self.permits.unreserve(&permit).await;
        }
        outcome
    }
}

impl Segments {
    async fn message(&self, message: &Message, permit: &mut Option<HolderId>) -> Outcome {
        let (records, at) = match parse_timed_notification(&message.body) {
            Err(why) => return Outcome::Poison { why },
            Ok((Notification::Test, _)) => return Outcome::Done,
            Ok((Notification::Records(records), at)) => (records, at),
        };
        self.context.observe_delay(self.inbox.name, message, at);
        let mut all = Outcome::Done;
        // The time is the first record's; others of the same message have their own.
        let at = at.filter(|_| records.len() == 1);
        let most = if buggify!(self.context, FirstRecordOnly) { 1 } else { usize::MAX };
        for record in records.into_iter().take(most) {
            all = all.and(self.record(message, record, at, permit).await);
        }
        all
    }

    async fn record(
        &self,
        message: &Message,
        record: Record,
        at: Option<Timestamp>,
        permit: &mut Option<HolderId>,
    ) -> Outcome {
        let (segment, input) = match self.read(record) {
            Ok(Some((segment, input))) => (segment, Input { written: at, ..input }),
            Ok(None) => return Outcome::Done,
            Err(why) => return Outcome::Poison { why },
        };
        let span = info_span!("segment", job_id = %segment.job_id, segment_index = segment.index);
        self.drive(message, &segment, input, permit).instrument(span).await
    }

    async fn drive(
        &self,
        message: &Message,
        segment: &Segment,
        input: Input,
        permit: &mut Option<HolderId>,
    ) -> Outcome {
        if self.stop.soft.is_cancelled() {
            return Outcome::Interrupted;
        }
        // Only the first record of a message finds the loop's permit.
        let permit = match permit.take() {
            Some(permit) => permit,
            None => {
                let holder = HolderId(self.context.ports.ids.next());
                match self.permits.reserve(&holder).await {
                    Ok(Reserve::Granted) => holder,
                    Ok(Reserve::Full) => return Outcome::Retry { after: FULL_WAIT },
                    Err(error) => return self.context.try_later(&error),
                }
            }
        };
        let hidden = Some(Hidden { queue: &*self.inbox.queue, message });
        match self.attempts.drive(segment, input, permit, hidden, &self.stop.hard).await {
            Ok(outcome) => outcome,
            Err(error) => self.context.try_later(&error),
        }
    }

    /// The segment that a record tells of, if any; or why that cannot be told.
    fn read(&self, record: Record) -> Result<Option<(Segment, Input)>, String> {
        let bucket = &self.context.config.buckets.input;
        let event = match record {
            Record::Created(event) => event,
            Record::Foreign(_) | Record::Inference(_) => return Ok(None),
            Record::Malformed(why) => return Err(why),
        };
        if event.bucket != bucket.name() {
            return Err(format!("bucket {:?}: expected {:?}", event.bucket, bucket.name()));
        }
        match event.key.parse::<ObjectKey>() {
            Ok(key @ ObjectKey::Segment(_)) => {
                let uri = bucket.uri(&key).map_err(|error| error.to_string())?;
                let ObjectKey::Segment(segment) = key else { return Ok(None) };
                Ok(Some((segment, Input { uri, bytes: event.size, written: None })))
            }
            Ok(_) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}
