//! Suites that every implementation of a port runs: what the traits promise, as assertions.
//!
//! A suite takes a factory that makes a fresh, empty adapter and panics where a promise is broken.
//! Memory, embedded and cloud adapters run the very same code. A factory returns *replicas*:
//! handles to the same thing as several processes hold them; one is enough.

// These are tests that live in the library so that adapters can call them.
#![allow(clippy::unwrap_used)]

pub mod ledger;
pub mod objects;
pub mod queue;
