//! Whole conversions of small generated clips with engines that need no weights.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

mod clips;
mod jobs;
mod neighbours;
mod preview;
mod refusals;
mod segments;
mod views;
