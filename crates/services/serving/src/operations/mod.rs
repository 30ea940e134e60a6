//! The operations that every server has.

mod health;
mod memory;

pub use health::Health;
pub use memory::{LoadedModels, MemoryStats};
