//! What is in pictures and films, as operations: vectors of pictures and of films, likenesses, and what each frame
//! looks like, by a DINOv3 of any size; and what they show in words, by a Qwen3-VL where there is one.
//!
//! The answers have the shape that clients of an earlier service know. That one made some of its numbers with
//! networks that were never trained, and cut frames by number; here every field says which model, revision and
//! method made it, frames have the times at which they are shown, what no model here can tell is null, and the same
//! input gives the same answer. Objects need models that are not here.

mod analysis;
mod archive;
mod captioner;
mod captions;
mod clusters;
mod embedder;
mod film;
mod jpeg;
mod keeper;
mod operations;
mod picture;
mod record;
mod report;
mod sampling;
mod shelf;
mod source;
mod stored;
pub mod vectors;

pub use captioner::{Captioner, Captions, QWEN3_VL};
pub use clusters::Clusters;
pub use parallax_nn::device::Choice;

pub use embedder::{Choosable, DINOV3, Embedder, Error, Made};
pub use film::{Look, Looks, MOST_FRAMES, Manner, Watch, look};
pub use keeper::{Far, Keeper, Kept, Pictures, Shot};
pub use operations::{ENVELOPE, KEEPING, Perception};
pub use picture::{Channels, Pictured, look_at_picture};
pub use record::{Of, Record};
pub use report::{Report, THUMBNAIL};
pub use sampling::Sampler;
pub use shelf::Shelf;
pub use source::Surroundings;
pub use stored::{Hit, MOST_BYTES, Maker, NO_WORDS, Stored, search};
