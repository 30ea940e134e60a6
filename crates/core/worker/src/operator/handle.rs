//! What an operator's commands need of a deployment.

use std::sync::Arc;

use parallax_job::Buckets;
use parallax_ports::{Ledger, ObjectStore, Queue};

/// What an operator works on: the state, and the queues that things come from and go back to.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Durable state.
    pub ledger: Arc<dyn Ledger>,
    /// Objects.
    pub objects: Arc<dyn ObjectStore>,
    /// Where objects live.
    pub buckets: Buckets,
    /// Events of `segments/`.
    pub segments: Arc<dyn Queue>,
    /// Events of results.
    pub output_events: Arc<dyn Queue>,
    /// Events of `input/`, where it is known.
    pub chunking: Option<Arc<dyn Queue>>,
    /// Reassembly messages.
    pub reassembly: Arc<dyn Queue>,
    /// What was set aside.
    pub dead_letters: Option<Arc<dyn Queue>>,
}
