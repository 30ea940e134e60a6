//! From a segment to its stereo result, and the media steps of a job.
//!
//! [`convert_segment`] decodes, runs an engine, packs the two views and encodes, at constant
//! memory for any length. [`MediaChunker`], [`MediaAssembler`] and [`EngineBackend`] put the same
//! on objects behind the ports. Media work blocks, so it runs on blocking threads and ends when
//! its token is cancelled or its future dropped. [`inspect`] and [`preview`] look at a film without
//! converting it.

mod assembler;
mod backend;
mod chunker;
mod convert;
mod declare;
mod depth_from;
mod error;
mod film;
mod first_frame;
mod inspect;
mod lead_in;
mod moment;
mod names;
mod preview;
mod sheet;
mod shots;
mod source_layout;
mod still;
mod tone;
mod workplace;

pub use assembler::MediaAssembler;
pub use backend::EngineBackend;
pub use chunker::{ChunkSettings, MediaChunker};
pub use convert::{Conversion, Progress, Report, convert_segment};
pub use declare::declaration;
pub use depth_from::{DepthFrom, DepthSize, Near, write_npy, write_npz, write_png};
pub use error::Error;
pub use film::Film;
pub use inspect::{Guess, Inspect, Inspection, inspect};
pub use lead_in::{LeadIn, Preceding, Surroundings};
pub use moment::{Moment, PreviewDepth};
pub use names::tag;
pub use preview::{Preview, preview};
pub use sheet::Sheet;
pub use source_layout::{SourceLayout, Views, declared_views, one_view, refuse_views};
pub use still::convert_still;
pub use workplace::Workplace;
