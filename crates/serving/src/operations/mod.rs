//! The operations that every server has.

mod health;
mod memory;
mod stereo;

pub use health::Health;
pub use memory::{LoadedModels, MemoryStats};
pub use stereo::{STEREO_MODEL, Stereo, StereoModel, StereoSettings};
