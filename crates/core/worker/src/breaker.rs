//! Waiting while the backend, or a service, refuses.
//!
//! Each message that is received only to be refused uses up one of its deliveries, and a queue moves
//! what was delivered too often to its dead letters. So while the backend refuses, nothing is
//! received; every few seconds a single message finds out whether it takes work again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parallax_ports::{Invoked, Kind, Result};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::delays::{FIRST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE_ASKED, PROOF};

/// What the segments loop may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Receive.
    Go,
    /// Receive one message and see.
    Probe,
    /// Receive nothing for this long, or until [`Breaker::changed`].
    Wait(Duration),
}

#[derive(Debug)]
pub(crate) struct Breaker {
    /// Who refuses, for logs.
    who: &'static str,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    refused_probes: u32,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Instant,
    /// When a message was received to see.
    probed: Option<Instant>,
}

impl Breaker {
    pub(crate) fn new(who: &'static str) -> Self {
        Self { who, state: Mutex::default(), changed: Notify::new() }
    }

    pub(crate) fn turn(&self) -> Turn {
        let now = Instant::now();
        let mut state = self.lock();
        let Some(open) = state.open else { return Turn::Go };
        match open.probed {
            None if now < open.until => Turn::Wait(open.until - now),
            None => Turn::Probe,
            Some(at) if at + PROOF > now => Turn::Wait(at + PROOF - now),
            Some(_) => {
                self.close(&mut state);
                Turn::Go
            }
        }
    }

    /// Whether messages wait because the backend refuses.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().open.is_some()
    }

    /// A message was received by the turn of a probe.
    pub(crate) fn probing(&self) {
        if let Some(open) = &mut self.lock().open {
            open.probed = Some(Instant::now());
        }
    }

    /// Learns from the backend's answer to an attempt.
    pub(crate) fn learn(&self, answer: &Result<Invoked>) {
        match answer {
            Err(error) => match error.kind() {
                Kind::Throttled | Kind::Unavailable | Kind::Unauthorized => {
                    self.refused(error.retry_after());
                }
                // Silence says nothing, and whoever cancels did not ask.
                Kind::Timeout | Kind::Cancelled => {}
                _ => self.answered(),
            },
            Ok(_) => self.answered(),
        }
    }

    /// Ends a wait when the backend has answered meanwhile.
    pub(crate) async fn wait(&self, time: Duration) {
        tokio::select! {
            () = self.changed.notified() => {}
            () = sleep(time) => {}
        }
    }

    pub(crate) fn refused(&self, asked: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.lock();
        match state.open {
            // Of attempts that began before; one pause is enough for all of them.
            Some(Open { probed: None, .. }) => return,
            Some(_) => state.refused_probes += 1,
            None => warn!(who = self.who, "refuses work; nothing is received until it takes some"),
        }
        let own = (FIRST_PAUSE * 2u32.pow(state.refused_probes.min(6))).min(LONGEST_PAUSE);
        let pause = asked.map_or(own, |asked| asked.clamp(own, LONGEST_PAUSE_ASKED));
        state.open = Some(Open { until: now + pause, probed: None });
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn answered(&self) {
        let mut state = self.lock();
        if state.open.is_some() {
            self.close(&mut state);
            drop(state);
            self.changed.notify_one();
        }
    }

    fn close(&self, state: &mut State) {
        *state = State::default();
        info!(who = self.who, "takes work again");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_ports::Error;
    use tokio::time::advance;

    fn refusal() -> Result<Invoked> {
        Err(Error::new(Kind::Unavailable, "busy"))
    }

    #[tokio::test(start_paused = true)]
    async fn one_message_at_a_time_finds_out_and_the_first_success_opens_the_way() {
        let breaker = Breaker::new("the backend");
        assert_eq!(breaker.turn(), Turn::Go);
        for _ in 0..5 {
            breaker.learn(&refusal());
        }
        assert_eq!(
            breaker.turn(),
            Turn::Wait(FIRST_PAUSE),
            "five attempts began before it was known"
        );
        advance(FIRST_PAUSE).await;
        for _ in 0..9 {
            assert_eq!(breaker.turn(), Turn::Probe);
            breaker.probing();
            assert_eq!(breaker.turn(), Turn::Wait(PROOF), "one is enough");
            breaker.learn(&refusal());
            let Turn::Wait(pause) = breaker.turn() else { panic!("it waits") };
            assert!(pause <= LONGEST_PAUSE, "{pause:?}");
            advance(pause).await;
        }
        breaker.probing();
        breaker.learn(&Ok(Invoked::Finished));
        assert_eq!(breaker.turn(), Turn::Go);
        breaker.learn(&refusal());
        assert_eq!(breaker.turn(), Turn::Wait(FIRST_PAUSE), "what was before is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_runs_was_taken_and_what_the_backend_asks_for_is_bounded() {
        let breaker = Breaker::new("the backend");
        let asked = refusal().map_err(|error| error.with_retry_after(Duration::from_secs(3600)));
        breaker.learn(&asked);
        assert_eq!(breaker.turn(), Turn::Wait(LONGEST_PAUSE_ASKED));
        advance(LONGEST_PAUSE_ASKED).await;
        assert_eq!(breaker.turn(), Turn::Probe);
        breaker.probing();
        breaker.learn(&Err(Error::new(Kind::Timeout, "silence")));
        advance(PROOF).await;
        assert_eq!(breaker.turn(), Turn::Go);
    }
}
