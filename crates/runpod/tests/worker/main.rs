//! The worker against a platform on loopback.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used)]

mod behaviour;
mod mock;
mod platform;

mod transcripts;
