//! Names of this crate's numbers. They keep the prefix that dashboards know.

/// Frames converted.
pub(crate) const FRAMES: &str = "parallax_serving_frames_total";
/// Frames per second of the last conversion.
pub(crate) const RATE: &str = "parallax_serving_frames_per_second";
/// Work that was done again because memory ran out: with fewer networks, or without other models.
pub(crate) const OUT_OF_MEMORY: &str = "parallax_serving_out_of_memory_retries_total";
/// Work that was done again in f32 because the type of its networks was too narrow.
pub(crate) const WIDER: &str = "parallax_serving_wider_retries_total";
/// Seconds of each `stage` of a run, and of the parts of its engine's work where it tells them.
pub(crate) const STAGE: &str = "parallax_serving_stage_seconds";
