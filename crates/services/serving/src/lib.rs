//! Typed operations behind one executor, and the fronts that offer them.
//!
//! An [`Operation`] says what it takes and gives, what it costs and how it is run; the
//! [`Registry`] holds them by name. A [`Service`] admits requests within one bound, lets identical
//! ones share a run, and gives each its turn on the thread that owns the device. Fronts are thin:
//! they turn a platform's way of asking into a [`Request`] and an outcome into its way of
//! answering. Nothing here knows a cloud's SDK: stores come in as ports.

mod access;
mod executor;
mod failure;
pub mod front;
mod metrics;
pub mod net;
mod operation;
pub mod operations;
mod parts;
mod progress;
mod readiness;
mod registry;
mod service;
mod status;
mod storage;
mod weight;

pub use access::{Access, Prefix, PrefixError};
pub use executor::{Executor, ExecutorSettings, Model, ModelBytes, ModelPool, Overloaded, Slot};
pub use failure::{Failure, FailureKind};
pub use operation::{Call, Cost, Operation};
pub use parts::{NoParts, Parts};
pub use progress::Progress;
pub use readiness::Readiness;
pub use registry::{Description, Registry};
pub use service::{Handle, Request, Service, ServiceSettings};
pub use status::Status;
pub use storage::{Address, Connect, Credentials, Inline, Storage, Stores};
