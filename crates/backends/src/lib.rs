//! Inference backends that need no cloud SDK.

mod stub;

pub use stub::Stub;
