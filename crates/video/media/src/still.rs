//! Still pictures: read upright into a frame, and written with the colours and the notes of the source.
//!
//! ffmpeg decodes and encodes. What it does not carry along, the profile of the colours and what a camera
//! noted, is taken from one file's boxes and put into the other's.

mod exif;
mod fed;
mod kind;
mod parts;
mod read;
mod write;

pub use kind::Picture;
pub use read::{Still, read_still};
pub use write::write_still;
