//! A loop's signs of life, and of those that it depends on.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use parallax_ports::Result;
use parallax_ports::health::{Beat, Flag, Flags};
use tokio::time::timeout;

use crate::delays::{LONGEST_BACKOFF, SILENCE};
use crate::{Config, Ports, Role};

/// Liveness of one loop, and readiness as far as the loop can tell.
#[derive(Debug)]
pub(crate) struct Pulse {
    role: &'static str,
    beat: Beat,
    flags: Flags,
    lowered: Mutex<BTreeMap<&'static str, Flag>>,
}

impl Pulse {
    /// Registers a loop. Its beat may be as old as three of its longest rounds: a full poll, or
    /// the longest wait after an error.
    pub(crate) fn register(ports: &Ports, config: &Config, role: Role) -> Self {
        let round = match role {
            Role::Reconcile => config.sweep * 2,
            _ => config.poll_wait,
        };
        let round = round.max(LONGEST_BACKOFF).max(config.visibility / 3);
        Self {
            role: role.as_str(),
            beat: ports.beats.register(role.as_str(), round * 3),
            flags: ports.flags.clone(),
            lowered: Mutex::default(),
        }
    }

    pub(crate) fn tick(&self) {
        self.beat.tick();
    }

    /// The loop ended as it should.
    pub(crate) fn finish(self) {
        self.beat.finish();
    }

    /// Waits for others, and lives meanwhile.
    pub(crate) async fn during<F: Future>(&self, work: F) -> F::Output {
        self.beat.during(work).await
    }

    /// Asks somebody who should answer within `wait` and a little more. His silence or refusal
    /// makes the process not ready, under the loop's name and his, until he answers.
    ///
    /// # Cancel safety
    /// That of `call`.
    pub(crate) async fn ask<T>(
        &self,
        whom: &'static str,
        wait: Duration,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut call = pin!(self.beat.during(call));
        let answer = match timeout(wait + SILENCE, call.as_mut()).await {
            Ok(answer) => answer,
            Err(_) => {
                let seconds = (wait + SILENCE).as_secs();
                self.lower(whom, format!("no answer for {seconds} s"));
                call.await
            }
        };
        match &answer {
            Ok(_) => self.raise(whom),
            Err(error) => self.lower(whom, error.chain()),
        }
        answer
    }

    fn lower(&self, whom: &'static str, why: String) {
        let mut lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        match lowered.get(whom) {
            Some(flag) => flag.lower(why),
            None => {
                let name = format!("{}: {whom}", self.role);
                lowered.insert(whom, self.flags.register(name, why));
            }
        }
    }

    fn raise(&self, whom: &'static str) {
        let lowered = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flag) = lowered.get(whom) {
            flag.raise();
        }
    }
}
