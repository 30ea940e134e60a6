//! Stereo by diffusion in two stages, after DepthCrafter and StereoCrafter.
//!
//! Papers: *DepthCrafter* (Hu et al. 2024, arXiv:2409.02095), *StereoCrafter* (Zhao et al. 2024,
//! arXiv:2409.07447). [`DepthStage`] makes depth, [`parallax_stereo::reference`] the warped view with its holes, and
//! [`InpaintStage`] the right eye. By default they compute what the published pipelines compute, quirks
//! included, and are compared with them number for number in `tests/parity.rs`; they run in f32.
//! [`DepthOptions::preferred`], [`InpaintOptions::preferred`] and [`Field`] depart where those lose
//! quality.
//!
//! [`StereoCrafter`] is both stages as an engine: frames of video in, stereo pairs out.
//!
//! Codecs are not known here.

mod colour;
mod decoding;
mod depth;
mod engine;
mod examine;
mod finite;
mod folders;
mod footprint;
mod inpaint;
mod memory;
mod networks;
mod noise;
mod plan;
mod precision;
mod published;
mod range;
mod room;
mod selection;
mod size;
mod spec;
mod stages;
mod strip;
mod tiles;
mod windows;

pub use candle_core::{DType, Device};
pub use decoding::Decoding;
pub use depth::{DepthOptions, DepthStage, Stitch, enlarge, normalise, range, spread};
pub use engine::{DepthHalf, InpaintHalf, NAME, Options, StereoCrafter};
pub use folders::Folders;
pub use footprint::Footprint;
pub use inpaint::{Fit, Holes, InpaintOptions, InpaintStage};
pub use memory::Memory;
pub use networks::{Check, Networks, Undecoded};
pub use noise::{Field, Noise, Recorded, Site};
pub use plan::{Job, Pieces, Plan, Residency, Short, USUAL_BYTES};
pub use precision::Precision;
pub use room::Full;
pub use size::{Size, cropped_size, nearest_size, working_size};
pub use spec::{DEPTH_SPEC, INPAINT_SPEC, SPEC};
pub use stages::Stages;
pub use strip::Strip;
pub use tiles::{Grid, Tiling};
pub use windows::{Chunk, Chunks, Tail, depth_windows, reference_chunks};
