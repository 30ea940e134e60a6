//! DINOv3 (Siméoni et al. 2025, arXiv:2508.10104) on candle: pictures to a vector each, and to a grid of vectors.
//!
//! One network, told by the [`Config`] that is published beside its weights: ViT-S, S+, B, L, H+ and 7B differ in
//! numbers, in which projections have biases and in whether the network of each token is gated. There are no
//! learned positions: queries and keys are turned by where their patches lie, so pictures may have any size.
//! Numbers follow `DINOv3ViTModel` and `DINOv3ViTImageProcessorFast` of transformers, stage by stage in `tests/`.

mod config;
mod encoder;
pub mod manifest;
mod network;
mod positions;
mod preprocess;

pub use config::Config;
pub use encoder::{Encoder, Seen};
pub use network::{Features, Network};
pub use positions::angles;
pub use preprocess::{Preprocessing, Size, normalised};
