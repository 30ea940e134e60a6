//! Masks of what is pointed at in a picture, as an operation of the server: the picture is fetched and decoded,
//! looked at by the network in the model pool, and the masks come back at its size.

mod masks;
mod picture;
mod request;
mod segment;
mod segmenter;

pub use parallax_nn::device::Choice;
pub use request::{Bucket, SegmentRequest};
pub use segment::{Segment, SegmentResponse, SegmentSettings};
pub use segmenter::{ModelChoice, SEGMENT_MODEL, Segmenter, model, model_names};
