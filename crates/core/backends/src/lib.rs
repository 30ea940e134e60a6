//! Inference backends that need no cloud SDK.

pub mod http;
mod stub;

pub use http::Http;
pub use stub::Stub;
