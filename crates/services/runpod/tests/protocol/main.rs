//! The worker against a platform on loopback, and the development API.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used)]

mod behaviour;
mod development;
mod fuzz;
mod mock;
mod platform;
mod secrets;
mod transcripts;
