//! Qwen3-VL (Bai et al. 2025, arXiv:2511.21631) on candle: pictures, films and text in, text out.
//!
//! One network, told by the [`Config`] that is published beside its weights: the dense 2B, 4B and 8B differ in numbers
//! and in whether the head has weights of its own. Numbers follow `Qwen3VLForConditionalGeneration`, its picture and
//! video processors and its chat layout in transformers, stage by stage in `tests/`. The model of candle-transformers is
//! not used: it attends forwards, knows no positions of pictures and reserves room for 262,144 tokens.
//!
//! The chat layout is written down here and no template is run, so a model's folder cannot make one do anything; and
//! text that a user wrote is never read as a control token.

mod attention;
mod chat;
mod config;
mod film;
mod grid;
pub mod manifest;
mod model;
mod network;
mod picture;
mod positions;
mod resize;
mod sampling;
mod text;
mod tokenizer;
mod vision;

pub use candle_core::Error;
pub use chat::{Message, Part, Role};
pub use config::{Config, RopeParameters, TextConfig, VisionConfig};
pub use film::{frame_indices, timestamps};
pub use grid::Grid;
pub use model::{Model, Options, Written};
pub use network::{Network, Prompt, Session};
pub use picture::{
    Patches, Pixels, Preprocessing, Rgb8, VideoPreprocessing, smart_resize, smart_resize_film,
};
pub use sampling::{Choice, Sampling};
pub use tokenizer::Tokenizer;
