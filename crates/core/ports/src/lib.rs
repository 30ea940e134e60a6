//! The seams of the system: what the loops need of the world, as small traits.
//!
//! A trait's documentation is its contract. Beside every port stand an in-memory implementation
//! ([`memory`]), a fault-injecting wrapper ([`fault`]) and a suite that every implementation runs
//! ([`conformance`]). Ports are internal: they are reshaped freely and promise nothing outside.

mod backend;
mod clock;
pub mod conformance;
mod error;
pub mod fault;
mod ids;
pub mod ledger;
mod media;
pub mod memory;
mod objects;
mod queue;
pub mod request;
pub mod weak;

pub use backend::{Custody, InferenceBackend, Invocation, Invoked, Locations};
pub use clock::{Clock, ServiceClock, SetClock, SystemClock, TokioClock};
pub use error::{Error, Kind, Result};
pub use ids::Ids;
pub use ledger::Ledger;
pub use media::{Assembler, Chunker, Cut, MediaError};
pub use objects::{LONGEST_NOTE, ObjectMeta, ObjectStore};
pub use parallax_telemetry_api::{MetricsSink, NoMetrics, health};
pub use queue::{Message, Queue, Receipt};
