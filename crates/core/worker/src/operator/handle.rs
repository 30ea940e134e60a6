//! What an operator's commands need of a deployment.

use std::sync::Arc;

use parallax_job::Buckets;
use parallax_ports::{Listing, ObjectStore, OperatorLedger, Queue, Switches};

/// What an operator works on: the state, and the queues that things come from and go back to.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Durable state.
    pub ledger: Arc<dyn OperatorLedger>,
    /// Whose permits the ledger knows, and what says so: for whoever meant another pool.
    pub pool: String,
    /// Which roles receive nothing.
    pub switches: Arc<dyn Switches>,
    /// Objects.
    pub objects: Arc<dyn ObjectStore>,
    /// What the buckets hold.
    pub listing: Arc<dyn Listing>,
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
    /// What was set aside, by this daemon or by the queues themselves.
    pub dead_letters: Vec<Arc<dyn Queue>>,
}
