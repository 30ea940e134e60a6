//! What is in pictures and films, as operations: vectors of pictures and of films, likenesses, and what each frame
//! looks like, by a DINOv3 of any size; and what they show in words, by a Qwen3-VL where there is one.
//!
//! The answers have the shape that clients of an earlier service know. That one made some of its numbers with
//! networks that were never trained, and cut frames by number; here every field says which model, revision and
//! method made it, frames have the times at which they are shown, what no model here can tell is null, and the same
//! input gives the same answer. Objects need models that are not here.

mod analysis;
mod captioner;
mod captions;
mod embedder;
mod film;
mod operations;
mod picture;
mod sampling;
mod source;
pub mod vectors;

pub use captioner::{Captioner, Captions, QWEN3_VL};
pub use embedder::{Choosable, DINOV3, Embedder, Error, Made};
pub use film::{Look, Looks, MOST_FRAMES, Manner, look};
pub use operations::{ENVELOPE, Perception};
pub use picture::Channels;
pub use sampling::Sampler;
pub use source::Surroundings;
