//! The segments loop: a permit, a message, an attempt.
//!
//! A permit is reserved before a message is received. The other way round, replicas that race for
//! one permit would burn the deliveries of messages they cannot start. As many messages are
//! received as there are permits in hand: one that was reserved, and those that ended attempts
//! passed on.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::{Notification, ObjectKey, Record, Segment, Timestamp, parse_timed_notification};
use parallax_ports::ledger::{HolderId, Reserve};
use parallax_ports::{Kind, Message, Result};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument, info, info_span, warn};

use crate::attempt::Input;
use crate::breaker::Turn;
use crate::delays::{FULL_WAIT, LONGEST_FULL_WAIT, SATURATED_WAIT, SPARE_TIME, TOGETHER};
use crate::inbox::Quiet;
use crate::keeper::Hidden;
use crate::outcome::Outcome;
use crate::pulse::Pulse;
use crate::retry::Backoff;
use crate::spares::Permit;
use crate::stop::{Stop, reap};
use crate::{Inbox, Mutant, Pipeline, Role, metrics};

pub(crate) async fn run(pipeline: Arc<Pipeline>, stop: Stop) {
    let inbox = pipeline.ports.segments.clone();
    let mut tasks = JoinSet::new();
    let mut backoff = Backoff::new();
    let mut quiet = Quiet::default();
    let mut full_wait = FULL_WAIT;
    let mut hand: Vec<Permit> = Vec::new();
    let mut saturated = false;
    let mut full_at: Option<Instant> = None;
    let pulse = pipeline.pulse(Role::Segments);
    pipeline.spares.open();
    while !stop.soft.is_cancelled() {
        pulse.tick();
        reap(&mut tasks);
        if pipeline.config.is(Mutant::CountOwnPermits)
            && tasks.len() >= pipeline.config.max_in_flight as usize
        {
            stop.pause(FULL_WAIT).await;
            continue;
        }
        let turn = pipeline.breaker.turn();
        if let Turn::Wait(time) = turn {
            pipeline.wait_for_backend(&mut hand, time, &pulse, &stop).await;
            continue;
        }
        let mut passed = pipeline.spares.take();
        let waits = |at: Instant| SATURATED_WAIT.checked_sub(at.elapsed());
        if saturated
            && hand.is_empty()
            && passed.is_empty()
            && let Some(time) = full_at.and_then(waits)
        {
            pipeline.starve(&stop, time).await;
            passed = pipeline.spares.take();
        }
        saturated |= !passed.is_empty();
        // With what is passed on alone, a process would never have more than it began with.
        let more = passed.is_empty() || full_at.and_then(waits).is_none();
        if hand.is_empty() && more {
            // Should the reply be lost, the reservation is tried again under its name.
            hand.push(Permit { holder: HolderId(pipeline.ports.ids.next()), until: Timestamp(0) });
        }
        hand.extend(passed);
        let asked_for = hand.len();
        let filled = pulse
            .ask("ledger", Duration::ZERO, pipeline.fill(&mut hand, quiet.wait(&pipeline.config)))
            .await;
        if filled.is_ok() && hand.len() < asked_for {
            full_at = Some(Instant::now());
        }
        match filled {
            Ok(()) if !hand.is_empty() => full_wait = FULL_WAIT,
            Ok(()) => {
                saturated = false;
                pipeline.starve(&stop, full_wait).await;
                full_wait = (full_wait * 2).min(LONGEST_FULL_WAIT);
                continue;
            }
            Err(error) => {
                warn!(error = %error.chain(), "could not reserve a permit");
                stop.pause(backoff.next(&pipeline)).await;
                continue;
            }
        }
        let wait = quiet.wait(&pipeline.config);
        let most = if turn == Turn::Probe { 1 } else { hand.len().min(10) };
        let receive = pipeline.receive(&inbox, most, wait, &stop);
        match pulse.ask("queue", wait, receive).await {
            Ok(messages) => {
                backoff.reset();
                quiet.learn(&messages);
                if messages.is_empty() {
                    saturated = false;
                    // Nobody waits for the rest here; somebody may elsewhere.
                    for idle in hand.split_off(hand.len().min(1)) {
                        pulse.during(pipeline.unreserve(&idle.holder)).await;
                    }
                } else {
                    pipeline.spares.message_came();
                    if turn == Turn::Probe {
                        pipeline.breaker.probing();
                    }
                }
                for message in messages {
                    let permit = hand.pop().map(|permit| permit.holder);
                    let (pipeline, inbox, stop) = (pipeline.clone(), inbox.clone(), stop.clone());
                    tasks.spawn(async move {
                        pipeline.segment_message(&inbox, &message, permit, &stop).await;
                    });
                }
            }
            Err(error) => {
                warn!(queue = inbox.name, error = %error.chain(), "could not receive");
                stop.pause(backoff.next(&pipeline)).await;
            }
        }
    }
    pulse.finish();
    hand.extend(pipeline.spares.close());
    for permit in hand {
        pipeline.unreserve(&permit.holder).await;
    }
    if !tasks.is_empty() {
        info!(running = tasks.len(), "waiting for running attempts");
    }
    while let Some(done) = tasks.join_next().await {
        crate::stop::propagate(done);
    }
}

impl Pipeline {
    /// Waits while the backend refuses. Permits in hand are of no use meanwhile.
    async fn wait_for_backend(
        &self,
        hand: &mut Vec<Permit>,
        time: Duration,
        pulse: &Pulse,
        stop: &Stop,
    ) {
        hand.extend(self.spares.take());
        for permit in hand.drain(..) {
            pulse.during(self.unreserve(&permit.holder)).await;
        }
        tokio::select! {
            biased;
            () = stop.soft.cancelled() => {}
            () = self.breaker.wait(time) => {}
        }
    }

    /// Waits until a permit was passed on or given back here, at most about `time`; then a moment
    /// more, so that permits which become free together receive together.
    async fn starve(&self, stop: &Stop, time: Duration) {
        self.spares.starve();
        tokio::select! {
            biased;
            () = stop.soft.cancelled() => {}
            () = self.spares.came() => stop.pause(TOGETHER).await,
            () = sleep(self.jittered(time)) => {}
        }
    }

    /// Reserves what is in hand and makes each last as long as a receive does. Drops those that
    /// are held elsewhere by now.
    async fn fill(&self, hand: &mut Vec<Permit>, wait: Duration) -> Result<()> {
        let spare_time = (self.config.reservation - wait) / 2;
        let needed = self.now() + wait + spare_time.min(SPARE_TIME);
        let mut kept = Vec::with_capacity(hand.len());
        while let Some(mut permit) = hand.pop() {
            if permit.until < needed {
                let until = self.now() + self.config.reservation;
                match self.reserve(&permit.holder).await {
                    Ok(Reserve::Granted) => permit.until = until,
                    Ok(Reserve::Full) => continue,
                    Err(error) => {
                        hand.push(permit);
                        hand.append(&mut kept);
                        return Err(error);
                    }
                }
            }
            kept.push(permit);
        }
        *hand = kept;
        Ok(())
    }

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
        wait: Duration,
        stop: &Stop,
    ) -> Result<Vec<Message>> {
        let receive = inbox.queue.receive(max, wait, self.config.visibility);
        tokio::pin!(receive);
        tokio::select! {
            biased;
            () = stop.soft.cancelled() => {
                if self.config.is(Mutant::DropOnDrain) {
                    return Ok(Vec::new());
                }
                // Dropping the receive could hide a message until its timeout. One that lasts longer was
                // begun because nothing comes; it is not waited for to its end.
                let brought = match wait > self.config.poll_wait {
                    true => timeout(self.config.poll_wait, receive).await.unwrap_or(Ok(Vec::new())),
                    false => receive.await,
                };
                for message in brought? {
                    self.settle(inbox, &message, Outcome::Interrupted).await;
                }
                Ok(Vec::new())
            }
            messages = &mut receive => messages,
        }
    }

    /// How long a message of an event at `at` was on its way, counted once: later deliveries waited
    /// for other reasons.
    pub(crate) fn observe_delay(&self, inbox: &Inbox, message: &Message, at: Option<Timestamp>) {
        if message.receive_count == 1
            && let Some(at) = at
        {
            let seconds = self.now().since(at).as_secs_f64();
            self.ports.metrics.observe(metrics::QUEUE_SECONDS, &[("queue", inbox.name)], seconds);
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
        let outcome = match parse_timed_notification(&message.body) {
            Err(why) => Outcome::Poison { why },
            Ok((Notification::Test, _)) => Outcome::Done,
            Ok((Notification::Records(records), at)) => {
                self.observe_delay(inbox, message, at);
                let mut all = Outcome::Done;
                // The time is the first record's; others of the same message have their own.
                let at = at.filter(|_| records.len() == 1);
                let most = if self.config.is(Mutant::FirstRecordOnly) { 1 } else { usize::MAX };
                for record in records.into_iter().take(most) {
                    let one =
                        self.segment_record(inbox, message, (record, at), &mut permit, stop).await;
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
        (record, at): (Record, Option<Timestamp>),
        permit: &mut Option<HolderId>,
        stop: &Stop,
    ) -> Outcome {
        let (segment, input) = match self.read_segment(record) {
            Ok(Some((segment, input))) => (segment, Input { written: at, ..input }),
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

    fn read_segment(
        &self,
        record: Record,
    ) -> std::result::Result<Option<(Segment, Input)>, String> {
        let bucket = &self.config.buckets.input;
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

    /// The outcome of a message whose handling met a port's error.
    pub(crate) fn try_later(&self, error: &parallax_ports::Error) -> Outcome {
        warn!(kind = error.kind().as_str(), error = %error.chain(), "to be tried again");
        if self.config.is(Mutant::AckOnError) {
            return Outcome::Done;
        }
        let asked = error.retry_after().unwrap_or_default();
        let after = asked.max(self.jittered(self.config.refused_after));
        match error.kind() {
            Kind::Throttled | Kind::Unavailable | Kind::Timeout | Kind::Unauthorized => {
                Outcome::Later { after }
            }
            _ => Outcome::Retry { after },
        }
    }
}
