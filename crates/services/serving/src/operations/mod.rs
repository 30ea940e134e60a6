//! The operations that every server has.

mod effects;
mod health;
mod inside;
mod memory;
mod stereo;

pub use effects::{Effects, Interpolate, Loop};
pub use health::Health;
pub use memory::{LoadedModels, MemoryStats};
pub use stereo::{EveryRun, Outline, Recipe, STEREO_MODEL, Stereo, StereoModel, StereoSettings};
