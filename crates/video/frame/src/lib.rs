//! Planar video frames: what decoders produce, engines consume and encoders accept.
//!
//! A frame is one contiguous buffer in the byte order of ffmpeg's planar `rawvideo`, so that
//! reading from and writing to a pipe copies nothing. This crate knows no codec and no geometry.

mod colour;
mod format;
mod frame;
mod time;

pub use colour::{Colour, Range};
pub use format::{Chroma, FormatError, PixelFormat, PlaneShape, VideoFormat};
pub use frame::{Frame, FrameError};
pub use time::{FrameRate, TimeBase};
