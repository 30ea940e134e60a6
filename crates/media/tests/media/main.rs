//! Real ffmpeg on small generated clips.

mod clips;
mod decoding;
mod encoding;
mod probing;
mod splitting;
