//! Which roles an operator has paused, as this process knows it.
//!
//! All loops of a process share one answer, which is asked for now and then: a pause takes effect within
//! that time and costs hardly a call.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parallax_ports::Switches;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::Role;

/// The switches, and what they said last.
#[derive(Debug)]
pub(crate) struct Switchboard {
    switches: Option<Arc<dyn Switches>>,
    every: Duration,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    asked: Option<Instant>,
    paused: BTreeSet<String>,
}

impl Switchboard {
    /// Asks `switches` after `every` again; without any, nothing is ever paused.
    pub(crate) fn new(switches: Option<Arc<dyn Switches>>, every: Duration) -> Self {
        Self { switches, every, known: Mutex::default() }
    }

    /// Whether a role is to receive nothing now. When nobody answers, it is as it was.
    pub(crate) async fn is_paused(&self, role: Role) -> bool {
        let Some(switches) = &self.switches else { return false };
        if self.is_due() {
            match switches.paused().await {
                Ok(paused) => self.learn(paused),
                Err(error) => warn!(error = %error.chain(), "cannot tell which roles are paused"),
            }
        }
        self.lock().paused.contains(role.as_str())
    }

    /// Whether it is time to ask; the next caller is told that somebody does.
    fn is_due(&self) -> bool {
        let mut known = self.lock();
        let due = known.asked.is_none_or(|at| at.elapsed() >= self.every);
        if due {
            known.asked = Some(Instant::now());
        }
        due
    }

    fn learn(&self, paused: BTreeSet<String>) {
        let mut known = self.lock();
        for role in paused.difference(&known.paused) {
            info!(role, "paused by an operator: it receives nothing");
        }
        for role in known.paused.difference(&paused) {
            info!(role, "resumed by an operator");
        }
        known.paused = paused;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
