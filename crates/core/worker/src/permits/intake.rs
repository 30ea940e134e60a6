//! As many messages as there are permits in hand.
//!
//! A permit is reserved before a message is received. The other way round, replicas that race for
//! one permit would burn the deliveries of messages they cannot start. As many messages are
//! received as there are permits in hand: one that was reserved, and those that ended attempts
//! passed on.

use std::sync::Arc;
use std::time::Duration;

use parallax_ports::Message;
use parallax_ports::ledger::HolderId;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::handoff::{MOST, Permit};
use super::pool::PermitPool;
use crate::breaker::{Breaker, Turn};
use crate::consumer::{Admission, Intake, Round};
use crate::context::Context;
use crate::delays::{FULL_WAIT, LONGEST_FULL_WAIT, SATURATED_WAIT};
use crate::mutant::buggify;

/// Receives only with permits, and while the backend takes work.
#[derive(Debug)]
pub(crate) struct PermitIntake {
    context: Arc<Context>,
    permits: Arc<PermitPool>,
    breaker: Arc<Breaker>,
    turn: Turn,
    hand: Vec<Permit>,
    /// Whether what is passed on was used lately.
    saturated: bool,
    /// When every permit was last found held.
    full_at: Option<Instant>,
    full_wait: Duration,
}

impl PermitIntake {
    pub(crate) fn new(
        context: Arc<Context>,
        permits: Arc<PermitPool>,
        breaker: Arc<Breaker>,
    ) -> Self {
        permits.open();
        Self {
            context,
            permits,
            breaker,
            turn: Turn::Go,
            hand: Vec::new(),
            saturated: false,
            full_at: None,
            full_wait: FULL_WAIT,
        }
    }

    /// Waits while the backend refuses. Permits in hand are of no use meanwhile.
    async fn wait_for_backend(&mut self, time: Duration, round: &Round<'_>) {
        self.stand_by(round).await;
        tokio::select! {
            biased;
            () = round.stop.soft.cancelled() => {}
            () = self.breaker.wait(time) => {}
        }
    }

    /// How much longer no permit is asked for, because every one was found held.
    fn full_for(&self) -> Option<Duration> {
        self.full_at.and_then(|at| SATURATED_WAIT.checked_sub(at.elapsed()))
    }

    /// Takes what was passed on, and one to be reserved where that is not enough.
    async fn take(&mut self, round: &Round<'_>) {
        let mut passed = self.permits.take();
        if self.saturated
            && self.hand.is_empty()
            && passed.is_empty()
            && let Some(time) = self.full_for()
        {
            self.permits.wait_for_permit(round.stop, time).await;
            passed = self.permits.take();
        }
        self.saturated |= !passed.is_empty();
        // With what is passed on alone, a process would never have more than it began with.
        let more = passed.is_empty() || self.full_for().is_none();
        if self.hand.is_empty() && more {
            self.hand.push(self.permits.name_one());
        }
        self.hand.extend(passed);
    }
}

impl Intake for PermitIntake {
    type Pass = Option<HolderId>;

    const CONCURRENT: bool = true;

    async fn stand_by(&mut self, round: &Round<'_>) {
        self.hand.extend(self.permits.take());
        for permit in self.hand.drain(..) {
            round.pulse.during(self.permits.unreserve(&permit.holder)).await;
        }
    }

    async fn admit(&mut self, running: &mut JoinSet<()>, round: &Round<'_>) -> Admission {
        if buggify!(self.context, CountOwnPermits)
            && running.len() >= self.context.config.max_in_flight as usize
        {
            round.stop.pause(FULL_WAIT).await;
            return Admission::Skip;
        }
        self.turn = self.breaker.turn();
        if let Turn::Wait(time) = self.turn {
            self.wait_for_backend(time, round).await;
            return Admission::Skip;
        }
        self.take(round).await;
        let asked_for = self.hand.len();
        let fill = self.permits.fill(&mut self.hand, round.wait);
        let filled = round.pulse.ask("ledger", Duration::ZERO, fill).await;
        if filled.is_ok() && self.hand.len() < asked_for {
            self.full_at = Some(Instant::now());
        }
        if let Err(error) = filled {
            warn!(error = %error.chain(), "could not reserve a permit");
            return Admission::Failed;
        }
        if self.hand.is_empty() {
            self.saturated = false;
            self.permits.wait_for_permit(round.stop, self.full_wait).await;
            self.full_wait = (self.full_wait * 2).min(LONGEST_FULL_WAIT);
            return Admission::Skip;
        }
        self.full_wait = FULL_WAIT;
        Admission::Receive(if self.turn == Turn::Probe { 1 } else { self.hand.len().min(MOST) })
    }

    async fn received(&mut self, messages: &[Message], round: &Round<'_>) -> Option<Duration> {
        if messages.is_empty() {
            self.saturated = false;
            // Nobody waits for the rest here; somebody may elsewhere.
            for idle in self.hand.split_off(self.hand.len().min(1)) {
                round.pulse.during(self.permits.unreserve(&idle.holder)).await;
            }
        } else {
            self.permits.message_came();
            if self.turn == Turn::Probe {
                self.breaker.probing();
            }
        }
        None
    }

    fn pass(&mut self) -> Option<HolderId> {
        self.hand.pop().map(|permit| permit.holder)
    }

    async fn close(&mut self, running: usize) {
        self.hand.extend(self.permits.close());
        for permit in self.hand.drain(..) {
            self.permits.unreserve(&permit.holder).await;
        }
        if running > 0 {
            info!(running, "waiting for running attempts");
        }
    }
}
