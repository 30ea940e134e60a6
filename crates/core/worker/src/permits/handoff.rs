//! Permits that ended attempts passed on to the next message.
//!
//! An attempt that ends may turn its permit into a reservation for this process in the same write
//! that ends it, which saves giving it back and asking for it again. That is done only while
//! messages are known to wait: otherwise it would cost a call to give back, and keep the permit
//! from other replicas. A reservation that is forgotten here ends by its deadline like any other.

use std::sync::{Mutex, MutexGuard, PoisonError};

use parallax_job::Timestamp;
use parallax_ports::ledger::HolderId;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::delays::BUSY;

/// The most messages of one receive.
pub(super) const MOST: usize = 10;

/// A reservation in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permit {
    pub(crate) holder: HolderId,
    pub(crate) until: Timestamp,
}

/// Permits on their way from ended attempts to the segments loop.
#[derive(Debug, Default)]
pub(crate) struct Handoff {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The loop takes permits.
    open: bool,
    /// The loop has none and can get none.
    starved: bool,
    /// One was given back while it had none.
    freed: bool,
    last_message: Option<Instant>,
    permits: Vec<Permit>,
}

impl Handoff {
    pub(crate) fn open(&self) {
        self.lock().open = true;
    }

    /// No more are taken; those left are to be given back.
    pub(crate) fn close(&self) -> Vec<Permit> {
        let mut state = self.lock();
        state.open = false;
        std::mem::take(&mut state.permits)
    }

    /// Whether a permit that becomes free now would be used at once.
    pub(crate) fn wanted(&self) -> bool {
        let state = self.lock();
        let busy = state.last_message.is_some_and(|at| at.elapsed() < BUSY);
        state.open && state.permits.len() < MOST && (state.starved || busy)
    }

    /// Hands a permit to the loop; back when it takes none any more.
    pub(crate) fn pass_on(&self, permit: Permit) -> Option<Permit> {
        let mut state = self.lock();
        if !state.open {
            return Some(permit);
        }
        state.permits.push(permit);
        drop(state);
        self.changed.notify_one();
        None
    }

    pub(crate) fn take(&self) -> Vec<Permit> {
        let mut state = self.lock();
        state.starved = false;
        std::mem::take(&mut state.permits)
    }

    pub(crate) fn message_came(&self) {
        self.lock().last_message = Some(Instant::now());
    }

    pub(crate) fn wants_one(&self) {
        self.lock().starved = true;
    }

    /// Some permit was given back, so that asking for one makes sense again.
    pub(crate) fn notify_freed(&self) {
        let mut state = self.lock();
        state.freed = state.starved;
        drop(state);
        self.changed.notify_one();
    }

    /// Waits until a permit was passed on or given back.
    pub(crate) async fn wait_for_one(&self) {
        loop {
            {
                let mut state = self.lock();
                if !state.permits.is_empty() || std::mem::take(&mut state.freed) {
                    return;
                }
            }
            // What is left of an earlier notification only leads once around.
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    fn permit(name: &str) -> Permit {
        Permit { holder: HolderId(name.to_owned()), until: Timestamp(0) }
    }

    #[tokio::test(start_paused = true)]
    async fn permits_are_passed_on_only_while_messages_wait() {
        let handoff = Handoff::default();
        handoff.wants_one();
        assert!(!handoff.wanted(), "nobody takes them");
        assert_eq!(handoff.pass_on(permit("a")), Some(permit("a")));
        handoff.open();
        assert!(handoff.wanted());
        assert_eq!(handoff.pass_on(permit("a")), None);
        handoff.wait_for_one().await;
        assert_eq!(handoff.take(), [permit("a")]);
        assert!(!handoff.wanted(), "no message came");
        handoff.message_came();
        assert!(handoff.wanted());
        tokio::time::advance(BUSY).await;
        assert!(!handoff.wanted(), "the queue is empty by now");
        handoff.pass_on(permit("b"));
        assert_eq!(handoff.close(), [permit("b")]);
        assert_eq!(handoff.pass_on(permit("c")), Some(permit("c")));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_wanted_than_one_receive_takes() {
        let handoff = Handoff::default();
        handoff.open();
        handoff.wants_one();
        for n in 0..MOST {
            assert!(handoff.wanted(), "{n} are here");
            handoff.pass_on(permit(&n.to_string()));
        }
        assert!(!handoff.wanted());
        assert_eq!(handoff.take().len(), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_wakes_a_loop_that_has_none_and_wakes_it_once() {
        let handoff = Handoff::default();
        handoff.open();
        let waits = async || timeout(BUSY, handoff.wait_for_one()).await.is_err();
        handoff.notify_freed();
        handoff.wants_one();
        assert!(waits().await, "it was given back before the loop asked for one in vain");
        handoff.notify_freed();
        assert!(!waits().await);
        assert!(waits().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_waits_is_woken_by_a_permit_and_by_one_given_back() {
        let handoff = Handoff::default();
        handoff.open();
        let later = async |wake: &dyn Fn()| {
            handoff.wants_one();
            tokio::task::yield_now().await;
            wake();
        };
        let freed: &dyn Fn() = &|| handoff.notify_freed();
        let passed: &dyn Fn() = &|| drop(handoff.pass_on(permit("a")));
        for wake in [freed, passed] {
            let (came, ()) = tokio::join!(timeout(BUSY, handoff.wait_for_one()), later(wake));
            came.expect("it is woken");
        }
    }
}
