//! The Stable Video Diffusion family on candle: CLIP image encoder, temporal VAE, spatio-temporal UNet
//! and the Euler scheduler that they were trained for.
//!
//! Papers: *Stable Video Diffusion* (Blattmann et al. 2023, arXiv:2311.15127), *DepthCrafter* (Hu et al.
//! 2024, arXiv:2409.02095), *StereoCrafter* (Zhao et al. 2024, arXiv:2409.07447). Numbers follow the
//! PyTorch classes of huggingface/diffusers 0.29.2 and huggingface/transformers 4.42.3, tap by tap in
//! `tests/parity.rs`. [`manifest`] says where the
//! models are published and how their folders look. [`image_to_video`] is what the networks were published for;
//! windows, tiles and guidance of other pipelines belong to those.

pub mod clip;
pub mod image_to_video;
pub mod manifest;
pub mod preprocess;
mod resnet;
pub mod scheduler;
pub mod unet;
pub mod vae;
