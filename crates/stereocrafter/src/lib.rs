//! Stereo by diffusion in two stages, after DepthCrafter and StereoCrafter.
//!
//! Papers: *DepthCrafter* (Hu et al. 2024, arXiv:2409.02095), *StereoCrafter* (Zhao et al. 2024,
//! arXiv:2409.07447). What is here is what the published pipelines compute, quirks included, so that it
//! can be compared with them number for number.

mod size;
mod splat;
mod tiles;
mod windows;

pub use size::{Size, cropped_size, working_size};
pub use splat::{Source, reference_disparity, reference_splat};
pub use tiles::{Grid, Tiling};
pub use windows::{Chunk, depth_windows, reference_chunks};
