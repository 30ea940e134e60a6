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
const MOST: usize = 10;

/// A reservation in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permit {
    pub(crate) holder: HolderId,
    pub(crate) until: Timestamp,
}

/// Permits on their way from ended attempts to the segments loop.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    state: Mutex<State>,
    came: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The loop takes permits.
    open: bool,
    /// The loop has none and can get none.
    starved: bool,
    /// One was given back while it had none.
    nudged: bool,
    last_message: Option<Instant>,
    permits: Vec<Permit>,
}

impl Spares {
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
    pub(crate) fn put(&self, permit: Permit) -> Option<Permit> {
        let mut state = self.lock();
        if !state.open {
            return Some(permit);
        }
        state.permits.push(permit);
        drop(state);
        self.came.notify_one();
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

    pub(crate) fn starve(&self) {
        self.lock().starved = true;
    }

    /// Some permit was given back, so that asking for one makes sense again.
    pub(crate) fn nudge(&self) {
        let mut state = self.lock();
        state.nudged = state.starved;
        drop(state);
        self.came.notify_one();
    }

    /// Waits until a permit was put or given back.
    pub(crate) async fn came(&self) {
        loop {
            {
                let mut state = self.lock();
                if !state.permits.is_empty() || std::mem::take(&mut state.nudged) {
                    return;
                }
            }
            // What is left of an earlier notification only leads once around.
            self.came.notified().await;
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
        let spares = Spares::default();
        spares.starve();
        assert!(!spares.wanted(), "nobody takes them");
        assert_eq!(spares.put(permit("a")), Some(permit("a")));
        spares.open();
        assert!(spares.wanted());
        assert_eq!(spares.put(permit("a")), None);
        spares.came().await;
        assert_eq!(spares.take(), [permit("a")]);
        assert!(!spares.wanted(), "no message came");
        spares.message_came();
        assert!(spares.wanted());
        tokio::time::advance(BUSY).await;
        assert!(!spares.wanted(), "the queue is empty by now");
        spares.put(permit("b"));
        assert_eq!(spares.close(), [permit("b")]);
        assert_eq!(spares.put(permit("c")), Some(permit("c")));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_wanted_than_one_receive_takes() {
        let spares = Spares::default();
        spares.open();
        spares.starve();
        for n in 0..MOST {
            assert!(spares.wanted(), "{n} are here");
            spares.put(permit(&n.to_string()));
        }
        assert!(!spares.wanted());
        assert_eq!(spares.take().len(), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_wakes_a_loop_that_has_none_and_wakes_it_once() {
        let spares = Spares::default();
        spares.open();
        let waits = async || timeout(BUSY, spares.came()).await.is_err();
        spares.nudge();
        spares.starve();
        assert!(waits().await, "it was given back before the loop asked for one in vain");
        spares.nudge();
        assert!(!waits().await);
        assert!(waits().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_waits_is_woken_by_a_permit_and_by_one_given_back() {
        let spares = Spares::default();
        spares.open();
        let later = async |wake: &dyn Fn()| {
            spares.starve();
            tokio::task::yield_now().await;
            wake();
        };
        let nudge: &dyn Fn() = &|| spares.nudge();
        let put: &dyn Fn() = &|| drop(spares.put(permit("a")));
        for wake in [nudge, put] {
            let (came, ()) = tokio::join!(timeout(BUSY, spares.came()), later(wake));
            came.expect("it is woken");
        }
    }
}
