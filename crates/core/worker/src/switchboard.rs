//! Which roles an operator has paused, as this process knows it.
//!
//! All loops of a process share one answer, which is asked for now and then: a pause takes effect within
//! that time and costs hardly a call. Until there was a first answer, every role is taken for paused: a
//! process that was just started must not begin what an operator has paused.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parallax_ports::health::{Flag, Flags};
use parallax_ports::{Error, Kind, Result, Switches};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::Role;
use crate::delays::{SWITCHES_AGAIN, SWITCHES_ANSWER};
use crate::pulse::Pulse;
use crate::stop::Stop;

/// The switches, and what they said last.
#[derive(Debug)]
pub(crate) struct Switchboard {
    switches: Option<Arc<dyn Switches>>,
    every: Duration,
    flags: Flags,
    /// Held by whoever asks.
    asking: tokio::sync::Mutex<Asking>,
    /// `None` until the first answer.
    paused: Mutex<Option<BTreeSet<String>>>,
}

#[derive(Debug, Default)]
struct Asking {
    again_at: Option<Instant>,
    /// Down while nobody answers, once that has happened.
    flag: Option<Flag>,
}

impl Switchboard {
    /// Asks `switches` after `every` again; without any, nothing is ever paused. Says among `flags`
    /// when nobody answers.
    pub(crate) fn new(switches: Option<Arc<dyn Switches>>, every: Duration, flags: Flags) -> Self {
        let (asking, paused) = Default::default();
        Self { switches, every, flags, asking, paused }
    }

    /// Asks again when it is time. Everybody waits for the first answer; later ones are waited for by
    /// whoever asks alone, and without an answer all is as it was. Returns early on a soft stop.
    pub(crate) async fn refresh(&self, pulse: &Pulse, stop: &Stop) {
        let Some(switches) = &self.switches else { return };
        let asking = async {
            let nothing_is_known = self.lock().is_none();
            let asking = match nothing_is_known {
                true => Some(self.asking.lock().await),
                false => self.asking.try_lock().ok(),
            };
            if let Some(mut asking) = asking {
                self.ask(&**switches, &mut asking).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.soft.cancelled() => {}
            () = pulse.during(asking) => {}
        }
    }

    /// Whether a role is to receive nothing now.
    pub(crate) fn is_paused(&self, role: Role) -> bool {
        let unknown = self.switches.is_some();
        self.lock().as_ref().map_or(unknown, |paused| paused.contains(role.as_str()))
    }

    async fn ask(&self, switches: &dyn Switches, asking: &mut Asking) {
        if asking.again_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let answer = timeout(SWITCHES_ANSWER, switches.paused()).await.unwrap_or_else(|_| {
            let why = format!("no answer for {} s", SWITCHES_ANSWER.as_secs());
            Err(Error::new(Kind::Timeout, why))
        });
        let pause = match answer {
            Ok(_) => self.every,
            Err(_) => SWITCHES_AGAIN.min(self.every),
        };
        asking.again_at = Some(Instant::now() + pause);
        self.learn(answer, asking);
    }

    fn learn(&self, answer: Result<BTreeSet<String>>, asking: &mut Asking) {
        match answer {
            Ok(paused) => {
                if let Some(flag) = &asking.flag {
                    flag.raise();
                }
                self.replace(paused);
            }
            Err(error) => {
                warn!(error = %error.chain(), "cannot tell which roles are paused");
                match &asking.flag {
                    Some(flag) => flag.lower(error.chain()),
                    None => {
                        let flag = self.flags.register("paused roles".to_owned(), error.chain());
                        asking.flag = Some(flag);
                    }
                }
            }
        }
    }

    fn replace(&self, paused: BTreeSet<String>) {
        let mut known = self.lock();
        let before = known.take().unwrap_or_default();
        for role in paused.difference(&before) {
            info!(role, "paused by an operator: it receives nothing");
        }
        for role in before.difference(&paused) {
            info!(role, "resumed by an operator");
        }
        *known = Some(paused);
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeSet<String>>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
