//! The segments loop: a permit, a message, an attempt.
//!
//! A permit is reserved before a message is received. The other way round, replicas that race for
//! one permit would burn the deliveries of messages they cannot start.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::{Notification, ObjectKey, Record, Segment, Uri, parse_notification};
use parallax_ports::ledger::{HolderId, Reserve};
use parallax_ports::{Message, Result};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{Instrument, info, info_span, warn};

use crate::keeper::Hidden;
use crate::outcome::Outcome;
use crate::retry::Backoff;
use crate::supervise::{Stop, reap};
use crate::{Inbox, Mutant, Pipeline, Role};

/// How long to wait for a permit when every one is held elsewhere.
const FULL_WAIT: Duration = Duration::from_secs(1);

pub(crate) async fn run(pipeline: Arc<Pipeline>, stop: Stop) {
    let inbox = pipeline.ports.segments.clone();
    let mut tasks = JoinSet::new();
    let mut backoff = Backoff::new();
    let mut permit: Option<HolderId> = None;
    let beat = pipeline.beat(Role::Segments);
    while !stop.soft.is_cancelled() {
        beat.tick();
        reap(&mut tasks);
        let holder = permit.take().unwrap_or_else(|| HolderId(pipeline.ports.ids.next()));
        let own_full = tasks.len() >= pipeline.config.max_in_flight as usize;
        let reserved = match pipeline.config.is(Mutant::CountOwnPermits) && own_full {
            true => Ok(Reserve::Full),
            false => pipeline.reserve(&holder).await,
        };
        match reserved {
            Ok(Reserve::Granted) => {}
            Ok(Reserve::Full) => {
                tokio::select! {
                    biased;
                    () = stop.soft.cancelled() => {}
                    Some(done) = tasks.join_next() => crate::supervise::propagate(done),
                    () = sleep(pipeline.jittered(FULL_WAIT)) => {}
                }
                continue;
            }
            Err(error) => {
                warn!(error = %error.chain(), "could not reserve a permit");
                // The reservation may have been made: the same name extends it next time.
                permit = Some(holder);
                stop.pause(backoff.next(&pipeline)).await;
                continue;
            }
        }
        match pipeline.receive(&inbox, 1, &stop).await {
            Ok(messages) => {
                backoff.reset();
                let mut holder = Some(holder);
                for message in messages {
                    let permit = holder.take();
                    let (pipeline, inbox, stop) = (pipeline.clone(), inbox.clone(), stop.clone());
                    tasks.spawn(async move {
                        pipeline.segment_message(&inbox, &message, permit, &stop).await;
                    });
                }
                permit = holder;
            }
            Err(error) => {
                warn!(queue = inbox.name, error = %error.chain(), "could not receive");
                permit = Some(holder);
                stop.pause(backoff.next(&pipeline)).await;
            }
        }
    }
    beat.finish();
    if let Some(permit) = permit {
        pipeline.unreserve(&permit).await;
    }
    if !tasks.is_empty() {
        info!(running = tasks.len(), "waiting for running attempts");
    }
    while let Some(done) = tasks.join_next().await {
        crate::supervise::propagate(done);
    }
}

impl Pipeline {
    pub(crate) async fn reserve(&self, holder: &HolderId) -> Result<Reserve> {
        let now = self.now();
        let until = now + self.config.reservation;
        let limit = match self.config.is(Mutant::CountOwnPermits) {
            true => u32::MAX,
            false => self.config.max_in_flight,
        };
        self.ledger().reserve(holder, limit, until, now).await
    }

    /// Receives from an inbox. When a stop is asked for meanwhile, what the running receive still
    /// brings is handed back.
    pub(crate) async fn receive(
        &self,
        inbox: &Inbox,
        max: usize,
        stop: &Stop,
    ) -> Result<Vec<Message>> {
        let receive = inbox.queue.receive(max, self.config.poll_wait, self.config.visibility);
        tokio::pin!(receive);
        tokio::select! {
            biased;
            () = stop.soft.cancelled() => {
                if self.config.is(Mutant::DropOnDrain) {
                    return Ok(Vec::new());
                }
                // Dropping the receive could hide a message until its timeout.
                for message in receive.await? {
                    self.settle(inbox, &message, Outcome::Interrupted).await;
                }
                Ok(Vec::new())
            }
            messages = &mut receive => messages,
        }
    }

    async fn segment_message(
        &self,
        inbox: &Inbox,
        message: &Message,
        mut permit: Option<HolderId>,
        stop: &Stop,
    ) {
        if self.config.is(Mutant::DeleteFirst) {
            self.settle(inbox, message, Outcome::Done).await;
        }
        let outcome = match parse_notification(&message.body) {
            Err(why) => Outcome::Poison { why },
            Ok(Notification::Test) => Outcome::Done,
            Ok(Notification::Records(records)) => {
                let mut all = Outcome::Done;
                let most = if self.config.is(Mutant::FirstRecordOnly) { 1 } else { usize::MAX };
                for record in records.into_iter().take(most) {
                    let one = self.segment_record(inbox, message, record, &mut permit, stop).await;
                    all = all.and(one);
                }
                all
            }
        };
        if let Some(permit) = permit {
            self.unreserve(&permit).await;
        }
        self.settle(inbox, message, outcome).await;
    }

    async fn segment_record(
        &self,
        inbox: &Inbox,
        message: &Message,
        record: Record,
        permit: &mut Option<HolderId>,
        stop: &Stop,
    ) -> Outcome {
        let (segment, input) = match self.read_segment(record) {
            Ok(Some(found)) => found,
            Ok(None) => return Outcome::Done,
            Err(why) => return Outcome::Poison { why },
        };
        let span = info_span!("segment", job_id = %segment.job_id, segment_index = segment.index);
        let drive = async {
            if stop.soft.is_cancelled() {
                return Outcome::Interrupted;
            }
            // Only the first record of a message finds the loop's permit.
            let permit = match permit.take() {
                Some(permit) => permit,
                None => {
                    let holder = HolderId(self.ports.ids.next());
                    match self.reserve(&holder).await {
                        Ok(Reserve::Granted) => holder,
                        Ok(Reserve::Full) => return Outcome::Retry { after: FULL_WAIT },
                        Err(error) => return self.try_later(&error),
                    }
                }
            };
            let hidden = Some(Hidden { queue: &*inbox.queue, message });
            match self.drive(&segment, input, permit, hidden, &stop.hard).await {
                Ok(outcome) => outcome,
                Err(error) => self.try_later(&error),
            }
        };
        drive.instrument(span).await
    }

    fn read_segment(&self, record: Record) -> std::result::Result<Option<(Segment, Uri)>, String> {
        let bucket = &self.config.buckets.input;
        let event = match record {
            Record::Created(event) => event,
            Record::Foreign(_) => return Ok(None),
            Record::Malformed(why) => return Err(why),
        };
        if event.bucket != bucket.name() {
            return Err(format!("bucket {:?}: expected {:?}", event.bucket, bucket.name()));
        }
        match event.key.parse::<ObjectKey>() {
            Ok(key @ ObjectKey::Segment(_)) => {
                let uri = bucket.uri(&key).map_err(|error| error.to_string())?;
                let ObjectKey::Segment(segment) = key else { return Ok(None) };
                Ok(Some((segment, uri)))
            }
            Ok(_) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The outcome of a message whose handling met a port's error.
    pub(crate) fn try_later(&self, error: &parallax_ports::Error) -> Outcome {
        warn!(kind = error.kind().as_str(), error = %error.chain(), "to be tried again");
        if self.config.is(Mutant::AckOnError) {
            return Outcome::Done;
        }
        let asked = error.retry_after().unwrap_or_default();
        Outcome::Retry { after: asked.max(self.jittered(self.config.refused_after)) }
    }
}
