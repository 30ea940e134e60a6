//! Real ffmpeg on small generated clips.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

mod assembling;
mod clips;
mod clocks;
mod damaged;
mod decoding;
mod edits;
mod effects;
mod encoding;
mod hanging;
mod probing;
mod splitting;
mod streams;
