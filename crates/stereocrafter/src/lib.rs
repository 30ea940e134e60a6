//! Stereo by diffusion in two stages, after DepthCrafter and StereoCrafter.
//!
//! Papers: *DepthCrafter* (Hu et al. 2024, arXiv:2409.02095), *StereoCrafter* (Zhao et al. 2024,
//! arXiv:2409.07447). [`DepthStage`] makes depth, [`reference_splat`] the warped view with its holes, and
//! [`InpaintStage`] the right eye. What is here is what the published pipelines compute, quirks included,
//! and is compared with them number for number in `tests/parity.rs`; it runs in f32.
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
pub use inpaint::{InpaintOptions, InpaintStage};
pub use networks::{Check, Networks};
pub use noise::{Noise, Recorded};
pub use size::{Size, cropped_size, working_size};
pub use splat::{Source, reference_disparity, reference_splat};
pub use tiles::{Grid, Tiling};
pub use windows::{Chunk, depth_windows, reference_chunks};
