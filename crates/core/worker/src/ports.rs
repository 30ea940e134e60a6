//! The world as the loops see it.

use std::sync::Arc;

use parallax_ports::health::{Beats, Flags};
use parallax_ports::{
    Assembler, Chunker, Clock, Ids, InferenceBackend, Ledger, MetricsSink, ObjectStore,
    ServiceClock, Switches,
};

use crate::Inbox;

/// The world as the loops see it.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Durable state.
    pub ledger: Arc<dyn Ledger>,
    /// Where replicas that share everything take turns at sweeping: a ledger whose one permit is the
    /// turn. Without it each of them sweeps.
    pub turns: Option<Arc<dyn Ledger>>,
    /// Which roles an operator has paused; without them none is.
    pub switches: Option<Arc<dyn Switches>>,
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
