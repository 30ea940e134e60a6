//! The ways in: each platform's way of asking and answering, over one service.

mod accept;
mod answer;
mod auth;
mod body;
mod client;
pub mod envelope;
pub mod http;
pub mod sagemaker;

pub use auth::Tokens;
pub use client::Limits;
