//! Names of this crate's numbers.

/// Requests by `operation` and `outcome` (`ok` or the kind of failure).
pub(crate) const REQUESTS: &str = "parallax_serving_requests_total";
/// Requests that found an identical one running, or done, by `operation`.
pub(crate) const SHARED: &str = "parallax_serving_shared_requests_total";
/// Slots taken: requests that wait, transfer or run.
pub(crate) const PLACES: &str = "parallax_serving_queue_places";
/// Runs that wait for the executor.
pub(crate) const DEPTH: &str = "parallax_serving_queue_depth";
/// Seconds between asking for the executor and getting it.
pub(crate) const WAIT: &str = "parallax_serving_queue_wait_seconds";
/// Seconds of each `stage` of a run, and of the parts of its engine's work where it tells them.
pub(crate) const STAGE: &str = "parallax_serving_stage_seconds";
/// Bytes that loaded models are said to take.
pub(crate) const MODEL_BYTES: &str = "parallax_serving_model_bytes";
/// Seconds that the last load of each `model` took.
pub(crate) const LOAD: &str = "parallax_serving_model_load_seconds";
/// Models that made room for others.
pub(crate) const EVICTIONS: &str = "parallax_serving_model_evictions_total";
