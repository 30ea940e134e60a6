//! Masks of what is pointed at in a picture, or in some frames of a clip and through the others, as operations of
//! the server: what is asked of is fetched and decoded, looked at by the network in the model pool, and the masks
//! come back at its size.

mod masks;
mod picture;
mod request;
mod segment;
mod segmenter;
mod track;

pub use parallax_nn::device::Choice;
pub use request::{Bucket, SegmentRequest};
pub use segment::{Segment, SegmentResponse, SegmentSettings};
pub use segmenter::{ModelChoice, SEGMENT_MODEL, Segmenter, model, model_names};
pub use track::{Track, TrackRequest, TrackResponse};
