//! The platform's client API on one machine: what its clients call, over the same handler.
//!
//! Meant for development: it has no authentication and keeps everything in memory, within
//! [`Limits`]. Listen on a loopback address, or put something in front of it.

mod job;
mod jobs;
mod limits;
mod refused;
mod request;
mod routes;

pub use limits::Limits;
pub use routes::router;
