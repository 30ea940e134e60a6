//! Stereo by diffusion in two stages, after DepthCrafter and StereoCrafter.
//!
//! Papers: *DepthCrafter* (Hu et al. 2024, arXiv:2409.02095), *StereoCrafter* (Zhao et al. 2024,
//! arXiv:2409.07447). [`DepthStage`] makes depth, [`reference_splat`] the warped view with its holes, and
//! [`InpaintStage`] the right eye. By default they compute what the published pipelines compute, quirks
//! included, and are compared with them number for number in `tests/parity.rs`; they run in f32.
//! [`InpaintOptions::preferred`] and [`Field`] depart where those lose quality.
//!
//! Files, formats and frames of video are not known here.

mod depth;
mod inpaint;
mod networks;
mod noise;
mod size;
mod splat;
mod tiles;
mod windows;

pub use depth::{DepthOptions, DepthStage, normalise};
pub use inpaint::{Fit, Holes, InpaintOptions, InpaintStage};
pub use networks::{Check, Networks};
pub use noise::{Field, Noise, Recorded, Site};
pub use size::{Size, cropped_size, working_size};
pub use splat::{Source, reference_disparity, reference_splat};
pub use tiles::{Grid, Tiling};
pub use windows::{Chunk, depth_windows, reference_chunks};
