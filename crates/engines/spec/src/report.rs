//! What was found in a folder of models.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

/// One model.
#[derive(Debug, Serialize)]
pub struct ModelReport {
    /// What it is called.
    pub name: &'static str,
    /// Where it lies.
    pub folder: PathBuf,
    /// Its parts.
    pub parts: Vec<PartReport>,
}

/// One part of a model.
#[derive(Debug, Serialize)]
pub struct PartReport {
    /// What it is called.
    pub name: &'static str,
    /// Its network, where it is one that can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Every one, each in words of its own.
    pub problems: Vec<String>,
}

/// A network as it lies on the disk.
#[derive(Debug, Clone, Serialize)]
pub struct Network {
    /// What its tensors seem to be.
    pub found: String,
    /// The files that it is in.
    pub files: Vec<PathBuf>,
    /// How many tensors it has.
    pub tensors: usize,
    /// How many values they have.
    pub parameters: u64,
    /// Tensors by the type of their elements.
    pub types: BTreeMap<String, usize>,
    /// Bytes on the disk.
    pub stored_bytes: u64,
    /// Bytes in memory as f32.
    pub f32_bytes: u64,
    /// Bytes in memory as f16 or bf16.
    pub f16_bytes: u64,
}

/// Memory that the weights of one stage take. Activations come on top.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct StageMemory {
    /// The stage.
    pub name: &'static str,
    /// Bytes as f32.
    pub f32_bytes: u64,
    /// Bytes as f16 or bf16.
    pub f16_bytes: u64,
}

/// What a conversion takes on one device.
#[derive(Debug, Serialize)]
pub struct Demand {
    /// The kind of device.
    pub device: &'static str,
    /// The type that networks compute in there.
    pub dtype: &'static str,
    /// Columns of the pictures.
    pub width: usize,
    /// Rows of the pictures.
    pub height: usize,
    /// Bytes that are free on the device.
    pub free_bytes: u64,
    /// The most that is taken; absent where nothing fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// How work is cut, or why nothing fits.
    pub plan: String,
}
