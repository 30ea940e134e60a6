//! *Segment Anything 2* (Ravi et al. 2024, arXiv:2408.00714) on candle: the networks of SAM 2.1 that make
//! masks of what a person points at in a picture.
//!
//! A picture is encoded once, and any number of prompts are answered from its [`Features`]. Numbers follow the
//! published classes of transformers (`models/sam2/modeling_sam2.py` and `models/sam2_video`), stage by stage in
//! `tests/`. A [`Tracker`] follows objects through a clip, frame by frame: what it remembers is bounded, however
//! long the clip is.

mod backbone;
mod bank;
#[cfg(test)]
mod clips_tests;
mod config;
mod decoder;
mod features;
mod heads;
mod layout;
pub mod manifest;
mod masks;
mod memory;
mod neck;
mod network;
mod picture;
mod prompts;
mod settings;
mod tracker;
mod two_way;
mod windows;

pub use config::{Config, Decoder, Hiera, Memory, Several};
pub use features::Features;
pub use layout::{Layout, original_name};
pub use masks::{Candidates, Mask, at_size};
pub use network::Sam2;
pub use picture::{Picture, network_input};
pub use prompts::{Point, Prompt};
pub use tracker::{Drawn, Hint, Scene, Tracked, Tracker, What};
