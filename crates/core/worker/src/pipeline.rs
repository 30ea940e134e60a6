//! What every loop shares.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::Timestamp;
use parallax_ports::health::{Beats, Flags};
use parallax_ports::{
    Assembler, Chunker, Clock, Ids, InferenceBackend, Ledger, MetricsSink, ObjectStore, Queue,
    ServiceClock,
};

use tokio::sync::Semaphore;

use crate::breaker::Breaker;
use crate::delays::LONGEST_BACKOFF;
use crate::pulse::Pulse;
use crate::recent::Recent;
use crate::spares::Spares;
use crate::triggers::Triggers;
use crate::{Config, ConfigError, Inbox, Role};

/// The world as the loops see it.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Durable state.
    pub ledger: Arc<dyn Ledger>,
    /// Where replicas that share everything take turns at sweeping: a ledger whose one permit is the
    /// turn. Without it each of them sweeps.
    pub turns: Option<Arc<dyn Ledger>>,
    /// Objects.
    pub objects: Arc<dyn ObjectStore>,
    /// Events of `segments/`.
    pub segments: Inbox,
    /// Events of results and of a backend's bookkeeping.
    pub output_events: Inbox,
    /// Events of `input/`; `None` where somebody else cuts sources.
    pub chunking: Option<Inbox>,
    /// Reassembly messages, received and sent.
    pub reassembly: Inbox,
    /// Runs attempts.
    pub backend: Arc<dyn InferenceBackend>,
    /// Cuts sources.
    pub chunker: Arc<dyn Chunker>,
    /// Joins results.
    pub assembler: Arc<dyn Assembler>,
    /// Numbers.
    pub metrics: Arc<dyn MetricsSink>,
    /// Where each loop gives signs of life.
    pub beats: Beats,
    /// What readiness depends on: each loop says here who does not answer it.
    pub flags: Flags,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Clocks of the services, by what they are here: `ledger`, `queue`, `store`.
    pub clocks: Vec<(&'static str, ServiceClock)>,
    /// Nonces and jitter.
    pub ids: Arc<Ids>,
}

/// Ports and configuration: the subject of every loop's verbs.
#[derive(Debug)]
pub struct Pipeline {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    pub(crate) breaker: Breaker,
    /// Whether the services that events are followed up with answer.
    pub(crate) services: Breaker,
    pub(crate) recent: Recent,
    pub(crate) spares: Spares,
    pub(crate) triggers: Triggers,
    /// Whose turn it is to hand an attempt over to the backend.
    pub(crate) handing_over: Semaphore,
}

impl Pipeline {
    /// # Errors
    /// When the configuration does not hold together.
    pub fn new(ports: Ports, config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            ports,
            config,
            breaker: Breaker::new("the backend"),
            services: Breaker::new("the ledger or the object store"),
            recent: Recent::default(),
            spares: Spares::default(),
            triggers: Triggers::default(),
            handing_over: Semaphore::new(1),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    pub(crate) fn ledger(&self) -> &dyn Ledger {
        &*self.ports.ledger
    }

    pub(crate) fn reassembly_queue(&self) -> &dyn Queue {
        &*self.ports.reassembly.queue
    }

    /// Registers a loop. Its beat may be as old as three of its longest rounds: a full poll, or
    /// the longest wait after an error.
    pub(crate) fn pulse(&self, role: Role) -> Pulse {
        let round = match role {
            Role::Reconcile => self.config.sweep * 2,
            _ => self.config.poll_wait,
        };
        let round = round.max(LONGEST_BACKOFF).max(self.config.visibility / 3);
        let beat = self.ports.beats.register(role.as_str(), round * 3);
        Pulse::new(role.as_str(), beat, self.ports.flags.clone())
    }

    /// A time between half of `time` and all of it, so that replicas do not march in step.
    pub(crate) fn jittered(&self, time: Duration) -> Duration {
        time.mul_f64(0.5 + self.ports.ids.unit() / 2.0)
    }
}
