//! The adapters against a real moto server, which each test starts for itself.
//!
//! Needs `python3` with `moto[server]`; tests that find neither fail.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used)]

mod contract;
mod ledger;
mod lost;
mod moto;
mod objects;
mod queue;
mod secret;
