//! Video in and out through the `ffmpeg` and `ffprobe` programs, as child processes.
//!
//! A separate process per file keeps parsers of foreign data out of ours: a crash is an error, a
//! hang has a deadline, and cancellation is a kill. Children open nothing but the named files
//! (no network, no playlists), see none of our environment and die with the handle that started
//! them. All calls block; async callers run them on blocking threads.
//!
//! Times are integer ticks of the stream's time base throughout. This crate knows no pixels
//! beyond their layout: see `parallax-stereo` for what happens to pictures.

mod assemble;
mod bars;
mod boxes;
mod child;
mod damage;
mod declare;
mod declared;
mod decode;
mod effects;
mod encode;
mod encoders;
mod error;
mod excerpt;
mod hdr;
mod limits;
mod matroska;
mod media;
mod movie;
mod output;
mod packets;
mod pixels;
mod plan;
mod probe;
mod programs;
mod remembered;
mod scaled;
mod scan;
mod seconds;
mod shown;
mod split;
mod stereo_mode;
mod still;
mod stream_clock;
mod survey;
mod window;

pub use assemble::{
    AssembleOptions, Assembled, Container, Dropped, Kept, Loss, MuxPlan, Scratch, assemble,
};
pub use bars::detect_bars;
pub use damage::{Damage, DamageKind, DamageLog, Damaged, Found};
pub use declared::declared;
pub use decode::{Crop, DecodeOptions, Decoder, Expected, Span};
pub use effects::{Effect, LoopStyle};
pub use encode::{Codec, EncodeSettings, Encoder, Timing};
pub use encoders::{Choice, choose_encoder, sample};
pub use error::{Error, Kind, Result, show_path};
pub use excerpt::{Excerpt, excerpt, shown_rate};
pub use hdr::{DynamicHdr, Hdr, Light, Mastering};
pub use limits::{DEMUXERS, Limits};
pub use media::{Chapter, Media, Sound, Stream, StreamKind, Video};
pub use packets::{Packet, Packets};
pub use plan::{Plan, Planned, cut_points, plan_segments, plan_segments_at};
pub use probe::{packing_of_stream, probe};
pub use programs::{Programs, Tools, Version, WholeFilm};
pub use scaled::Scaled;
pub use scan::scan;
pub use shown::Shown;
pub use split::{SegmentFile, Split, split};
pub use stereo_mode::{Declaration, Packing, StereoMode};
pub use still::{Picture, Still, read_still, write_still};
pub use stream_clock::Clock;
