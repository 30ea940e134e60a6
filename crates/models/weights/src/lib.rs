//! Open model folders as they are published, and know what is in them before anything computes.
//!
//! A network's own constructor is its inventory: it is run once against a builder that hands out shapes
//! without memory, the names and shapes that it asked for are compared with the files' headers, and only
//! then is data read, each tensor exactly once. So a wrong file is named by what it is, and a key that
//! nobody reads cannot hide. Safetensors are opened, and of PyTorch's files those that a model's manifest
//! names: their pickle is read as a description of tensors and never run. Other pickles are refused.
//!
//! There are no networks here, and none is known by name: each family's crate has a manifest of its models.

mod checkpoint;
mod error;
mod files;
mod fingerprint;
mod header;
mod inventory;
mod load;
mod manifest;
mod pth;
mod values;

pub use candle_core::DType;
pub use checkpoint::{Checkpoint, MemoryPlan};
pub use error::{Error, Mismatch, OddTensor};
pub use fingerprint::fingerprint;
pub use header::Entry;
pub use inventory::Inventory;
pub use manifest::{Manifest, Part, Recognise, config, part_dir};
