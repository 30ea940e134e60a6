//! Masks of what is pointed at in a picture, or in some frames of a clip and through the others, and pictures set in
//! motion, as operations of the server: what is asked of is fetched and decoded, looked at by networks in the model
//! pool, and masks and films go where they are asked for.

mod animate;
mod animate_request;
mod animator;
mod blend;
mod delivery;
mod film;
#[cfg(test)]
mod golden;
mod lanczos;
mod masks;
mod picture;
mod placed;
mod request;
mod segment;
mod segmenter;
mod track;

pub use animate::{Animate, AnimateResponse};
pub use animate_request::AnimateRequest;
pub use animator::{ANIMATE_MODEL, Animator, animate_model, animate_model_names};
pub use parallax_nn::device::Choice;
pub use placed::Fit;
pub use request::{Bucket, SegmentRequest};
pub use segment::{Segment, SegmentResponse, SegmentSettings};
pub use segmenter::{ModelChoice, SEGMENT_MODEL, Segmenter, model, model_names};
pub use track::{Track, TrackRequest, TrackResponse};
