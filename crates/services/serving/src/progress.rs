//! How far a run is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

/// How far a run is. A run passes its stages in order; the numbers belong to the stage.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
pub struct Progress {
    /// What is being done: `waiting`, `reading`, `converting`, `writing`, ...
    pub stage: &'static str,
    /// Units done, such as frames.
    pub done: u64,
    /// Units in all; 0 while unknown.
    pub total: u64,
    /// Units per second since the stage began; 0 while unknown.
    pub per_second: f64,
    /// Frames that have passed each part of the stage, where an engine tells: `depth`, `warp` and
    /// `inpaint`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default)]
    pub parts: BTreeMap<&'static str, u64>,
}

impl Progress {
    /// The stage of what has its turn before it.
    pub const WAITING: &str = "waiting";

    /// The beginning of a stage.
    pub fn stage(stage: &'static str) -> Self {
        Self { stage, ..Self::default() }
    }
}
