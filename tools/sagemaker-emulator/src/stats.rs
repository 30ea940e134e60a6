//! What was asked of the emulator, for tests to compare with what should have been.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests that were refused before anything was begun.
    pub refused: u64,
    /// Requests that were accepted, whatever was answered.
    pub accepted: u64,
    /// Accepted and not yet over.
    pub in_flight: u64,
    /// The most that were in flight at once: what a limit is to be compared with.
    pub max_in_flight: u64,
    /// The most that ran in containers at once.
    pub max_running: u64,
    /// How long those that are over were in flight, all together, in milliseconds.
    pub busy_ms: u64,
    /// Running in containers now.
    pub running: u64,
    /// Ended with a response object.
    pub succeeded: u64,
    /// Ended with a failure object.
    pub failed: u64,
    /// Accepted and forgotten.
    pub dropped: u64,
    /// How often each inference id was accepted; only those that were accepted more than once.
    pub repeated: BTreeMap<String, u64>,
}
