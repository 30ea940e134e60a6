//! The pages over HTTP, with a viewer and a converter that do nothing but answer.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

mod access;
mod films;
mod jobs;
mod served;
