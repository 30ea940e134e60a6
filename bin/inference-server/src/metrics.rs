//! Names of this program's own numbers.

/// Seconds of each conversion.
pub(crate) const CONVERSION_SECONDS: &str = "parallax_serving_conversion_seconds";
/// Bytes of each converted segment's input.
pub(crate) const SEGMENT_BYTES: &str = "parallax_serving_segment_bytes";
/// Bytes of the GPU's memory that are taken, by whatever program.
pub(crate) const GPU_MEMORY: &str = "parallax_serving_gpu_memory_bytes";
/// The most of them that ten looks a second have seen.
pub(crate) const GPU_MEMORY_HIGH_WATER: &str = "parallax_serving_gpu_memory_high_water_bytes";
/// Seconds from the start until work could be taken.
pub(crate) const START_SECONDS: &str = "parallax_serving_start_seconds";
