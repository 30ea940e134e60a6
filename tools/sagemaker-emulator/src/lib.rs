//! An asynchronous SageMaker endpoint on the loopback.
//!
//! It speaks the real REST call, so that the real SDK is tested, and keeps what such an endpoint
//! promises: a request is accepted with the addresses of its outcome, waits in a queue, is run by
//! one of the instances, and its outcome is written to S3. It keeps *not* what is promised nowhere:
//! by seed it throttles, loses replies, drops, repeats, delays and fails.

mod container;
mod endpoint;
mod faults;
mod front;
mod instances;
mod stats;

pub use container::{Container, UNREADABLE};
pub use endpoint::{Endpoint, Settings};
pub use faults::{Fate, Faults};
pub use front::router;
pub use stats::Stats;
