//! Names of this crate's numbers, and the port for conversions that a dashboard counts.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

/// Requests by `operation` and `outcome` (`ok` or the kind of failure).
pub(crate) const REQUESTS: &str = "parallax_serving_requests_total";
/// Requests that found an identical one running, or done, by `operation`.
pub(crate) const SHARED: &str = "parallax_serving_shared_requests_total";
/// Places taken: requests that wait, transfer or run.
pub(crate) const PLACES: &str = "parallax_serving_queue_places";
/// Runs that wait for the engine.
pub(crate) const DEPTH: &str = "parallax_serving_queue_depth";
/// Seconds between asking for the engine and getting it.
pub(crate) const WAIT: &str = "parallax_serving_queue_wait_seconds";
/// Seconds of each `stage` of a run, and of the parts of its engine's work where it tells them.
pub(crate) const STAGE: &str = "parallax_serving_stage_seconds";
/// Frames converted.
pub(crate) const FRAMES: &str = "parallax_serving_frames_total";
/// Frames per second of the last conversion.
pub(crate) const RATE: &str = "parallax_serving_frames_per_second";
/// Bytes that loaded models are said to take.
pub(crate) const MODEL_BYTES: &str = "parallax_serving_model_bytes";
/// Seconds that the last load of each `model` took.
pub(crate) const LOAD: &str = "parallax_serving_model_load_seconds";
/// Models that made room for others.
pub(crate) const EVICTIONS: &str = "parallax_serving_model_evictions_total";
/// Work that was done again because memory ran out: with fewer networks, or without other models.
pub(crate) const OUT_OF_MEMORY: &str = "parallax_serving_out_of_memory_retries_total";

/// Work that was done again in f32 because the type of its networks was too narrow.
pub(crate) const WIDER: &str = "parallax_serving_wider_retries_total";

/// Counts conversions for a dashboard that somebody else runs.
#[async_trait]
pub trait ConversionSink: Debug + Send + Sync {
    /// A segment of `bytes` was converted in `duration`. Never fails: a conversion is worth more
    /// than its number.
    async fn converted(&self, duration: Duration, bytes: u64);
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoConversions;

#[async_trait]
impl ConversionSink for NoConversions {
    async fn converted(&self, _: Duration, _: u64) {}
}
