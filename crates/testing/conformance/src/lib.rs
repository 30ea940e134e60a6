//! What tests hold the ports to, and what they run on. No program links it.
//!
//! - Suites that every implementation of a port runs: what the traits promise, as assertions.
//!   [`queue`], [`objects`], [`ledger`], [`operators`],
//!   [`watching`], [`backend`], [`media`]. A suite takes a fresh adapter, or a factory
//!   of such, and panics where a promise is broken. Memory, embedded and cloud adapters run the very same
//!   code. Where a factory returns *replicas*, these are handles to the same thing as several processes
//!   hold them; one is enough.
//! - [`memory`]: ports in memory that keep their contracts strictly.
//! - [`weak`]: fakes that promise no more than the cloud does.
//! - [`fault`]: a wrapper around every port of one process whose calls go wrong.

// Suites are tests that live in a library so that adapters can call them.
#[allow(clippy::unwrap_used)]
pub mod backend;
pub mod fault;
#[allow(clippy::unwrap_used)]
pub mod ledger;
#[allow(clippy::unwrap_used)]
pub mod media;
pub mod memory;
#[allow(clippy::unwrap_used)]
pub mod objects;
#[allow(clippy::unwrap_used)]
pub mod operators;
#[allow(clippy::unwrap_used)]
pub mod queue;
#[allow(clippy::unwrap_used)]
pub mod watching;
pub mod weak;
