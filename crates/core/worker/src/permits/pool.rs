//! Reserving permits and giving them back.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::Timestamp;
use parallax_ports::Result;
use parallax_ports::ledger::{HolderId, Reserve};
use tokio::time::sleep;
use tracing::warn;

use super::handoff::{Handoff, Permit};
use crate::context::Context;
use crate::delays::{SPARE_TIME, TOGETHER};
use crate::mutant::buggify;
use crate::stop::Stop;

/// The permits that this process may have, as the ledger grants them to all replicas together.
#[derive(Debug)]
pub(crate) struct PermitPool {
    context: Arc<Context>,
    handoff: Handoff,
}

impl PermitPool {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, handoff: Handoff::default() }
    }

    /// From now on somebody takes what is passed on.
    pub(crate) fn open(&self) {
        self.handoff.open();
    }

    /// No more are taken; those left are to be given back.
    pub(crate) fn close(&self) -> Vec<Permit> {
        self.handoff.close()
    }

    /// Whether a permit that becomes free now would be used at once.
    pub(crate) fn wanted(&self) -> bool {
        self.handoff.wanted()
    }

    /// Hands a permit to whoever receives next; back when nobody does any more.
    pub(crate) fn pass_on(&self, permit: Permit) -> Option<Permit> {
        self.handoff.pass_on(permit)
    }

    /// What was passed on since.
    pub(crate) fn take(&self) -> Vec<Permit> {
        self.handoff.take()
    }

    /// Messages wait: permits that become free are worth passing on.
    pub(crate) fn message_came(&self) {
        self.handoff.message_came();
    }

    /// Some permit was given back, so that asking for one makes sense again.
    pub(crate) fn notify_freed(&self) {
        self.handoff.notify_freed();
    }

    /// Waits until a permit was passed on or given back here, at most about `time`; then a moment
    /// more, so that permits which become free together receive together.
    pub(crate) async fn wait_for_permit(&self, stop: &Stop, time: Duration) {
        self.handoff.wants_one();
        tokio::select! {
            biased;
            () = stop.soft.cancelled() => {}
            () = self.handoff.wait_for_one() => stop.pause(TOGETHER).await,
            () = sleep(self.context.jittered(time)) => {}
        }
    }

    /// A permit that is still to be reserved. Should the reply be lost, the reservation is tried again
    /// under its name.
    pub(crate) fn name_one(&self) -> Permit {
        Permit { holder: HolderId(self.context.ports.ids.next()), until: Timestamp(0) }
    }

    /// Reserves what is in hand and makes each last as long as a receive does. Drops those that
    /// are held elsewhere by now.
    pub(crate) async fn fill(&self, hand: &mut Vec<Permit>, wait: Duration) -> Result<()> {
        let spare_time = (self.context.config.reservation - wait) / 2;
        let needed = self.context.now() + wait + spare_time.min(SPARE_TIME);
        let mut kept = Vec::with_capacity(hand.len());
        while let Some(mut permit) = hand.pop() {
            if permit.until < needed {
                let until = self.context.now() + self.context.config.reservation;
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
        let now = self.context.now();
        let until = now + self.context.config.reservation;
        let limit = match buggify!(self.context, CountOwnPermits) {
            true => u32::MAX,
            false => self.context.config.max_in_flight,
        };
        self.context.ledger().reserve(holder, limit, until, now).await
    }

    /// Gives an unused permit back. It would expire by itself; this is only sooner.
    pub(crate) async fn unreserve(&self, permit: &HolderId) {
        if let Err(error) = self.context.ledger().unreserve(permit).await {
            warn!(error = %error.chain(), "could not give a permit back; it will expire");
        }
    }
}
