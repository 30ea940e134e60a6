//! The seams of the system: what the loops need of the world, as small traits.
//!
//! A trait's documentation is its contract. Suites that hold implementations to it are in
//! `parallax-conformance`, with fakes and wrappers that inject faults; no program links that. How a port is
//! used is shown at its fake in `parallax_conformance::memory`. Ports are internal: they are reshaped freely
//! and promise nothing outside.

mod backend;
mod clock;
mod error;
mod ids;
pub mod ledger;
mod media;
mod objects;
mod operators;
mod queue;
pub mod request;
mod watching;

pub use backend::{Custody, InferenceBackend, Invocation, Invoked, Locations};
pub use clock::{Clock, ServiceClock, SetClock, SystemClock, TokioClock};
pub use error::{Error, Kind, Result};
pub use ids::Ids;
pub use ledger::Ledger;
pub use media::{Assembler, Chunker, Cut, MediaError};
pub use objects::{LONGEST_NOTE, ObjectMeta, ObjectStore};
pub use operators::{Listing, OperatorLedger, Place, Switches};
pub use parallax_telemetry_api::{MetricsSink, NoMetrics, health};

/// What numbers are called and mean.
pub mod metrics {
    pub use parallax_telemetry_api::{Kind, Metric};
}
pub use queue::{Message, Queue, Receipt};
pub use watching::{Act, Acts, Depth, Entry, QueueLook, REPLICA_FORGOTTEN, Replica, Replicas};
