//! Two eyes in one picture.

mod anaglyph;
mod layout;
mod pack;
mod vr180;

pub use self::layout::{
    Layout, ParseLayoutError, full_chroma_format, output_format, shaped_format,
};
pub use self::pack::{compose, compose_as};
