//! Stereo, interpolation and loops as operations of the server: a segment is fetched, converted by the
//! engine in the model pool, and written to its address, with a note of what made it.

mod conversions;
mod effects;
mod inside;
mod metrics;
mod stereo;

pub use conversions::{ConversionSink, NoConversions};
pub use effects::{Effects, Interpolate, Loop};
pub use stereo::{Recipe, STEREO_MODEL, Stereo, StereoModel, StereoSettings};
