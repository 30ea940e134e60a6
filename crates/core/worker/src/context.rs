//! What every part of the loops shares.

use std::time::Duration;

use parallax_job::Timestamp;
use parallax_ports::{Error, Kind, Ledger, Message};
use tracing::warn;

use crate::delays::{SOON, SWITCHES_SWEEPS};
use crate::mutant::buggify;
use crate::outcome::Outcome;
use crate::recent::Recent;
use crate::switchboard::Switchboard;
use crate::triggers::Triggers;
use crate::{Config, Ports, metrics};

/// The world, the settings, and what this process remembers of its own doings.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    pub(crate) recent: Recent,
    pub(crate) triggers: Triggers,
    pub(crate) switchboard: Switchboard,
}

impl Context {
    pub(crate) fn new(ports: Ports, config: Config) -> Self {
        let every = config.sweep * SWITCHES_SWEEPS;
        let switchboard = Switchboard::new(ports.switches.clone(), every, ports.flags.clone());
        let (recent, triggers) = (Recent::default(), Triggers::default());
        Self { ports, config, recent, triggers, switchboard }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    pub(crate) fn ledger(&self) -> &dyn Ledger {
        &*self.ports.ledger
    }

    /// A time between half of `time` and all of it, so that replicas do not march in step.
    pub(crate) fn jittered(&self, time: Duration) -> Duration {
        time.mul_f64(0.5 + self.ports.ids.unit() / 2.0)
    }

    /// The time from now to `at`, at least a little.
    pub(crate) fn until(&self, at: Timestamp) -> Duration {
        at.since(self.now()).max(SOON)
    }

    pub(crate) fn count(&self, name: &'static str, labels: &[(&'static str, &'static str)]) {
        self.ports.metrics.count(name, labels, 1);
    }

    /// How long a message of an event at `at` was on its way, counted once: later deliveries waited
    /// for other reasons.
    pub(crate) fn observe_delay(
        &self,
        queue: &'static str,
        message: &Message,
        at: Option<Timestamp>,
    ) {
        if message.receive_count == 1
            && let Some(at) = at
        {
            let seconds = self.now().since(at).as_secs_f64();
            self.ports.metrics.observe(metrics::QUEUE_SECONDS, &[("queue", queue)], seconds);
        }
    }

    /// The outcome of a message whose handling met a port's error.
    pub(crate) fn try_later(&self, error: &Error) -> Outcome {
        warn!(kind = error.kind().as_str(), error = %error.chain(), "to be tried again");
        if buggify!(self, AckOnError) {
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
