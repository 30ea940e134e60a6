//! The ways in: each platform's way of asking and answering, over one service.

mod answer;
mod auth;
mod body;
pub mod http;
mod listener;
pub mod sagemaker;

pub use auth::Tokens;
pub use listener::{Limits, Listener};
