//! What networks are made of on candle, whatever family they belong to: operations that are fast on the
//! processor, the choice of a device, PyTorch's noise, sinusoidal embeddings, resizing, taps.
//!
//! No network lives here, and no file is read: a model family is a crate of its own beside this one.

mod cgroup;
pub mod device;
pub mod embedding;
pub mod noise;
pub mod ops;
pub mod resize;
mod tap;

pub use tap::{Tap, ignore};
