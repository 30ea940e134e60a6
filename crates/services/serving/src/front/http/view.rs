//! A job as the REST front shows it: one type for answers, events and their description.

use parallax_job::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{Failure, FailureKind, Progress};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum JobState {
    /// It waits for its turn.
    Queued,
    /// It is worked on.
    Running,
    /// `result` is there.
    Succeeded,
    /// `error` says why.
    Failed,
    /// Its caller ended it.
    Cancelled,
}

/// A job.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct JobView {
    pub(super) id: String,
    pub(super) operation: &'static str,
    pub(super) state: JobState,
    /// Milliseconds since 1970.
    pub(super) created_ms: i64,
    /// Milliseconds since 1970, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended_ms: Option<i64>,
    /// Seconds that it takes once it is begun.
    pub(super) expected_seconds: f64,
    pub(super) progress: Progress,
    /// What the operation answers, as its own schema says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    pub(super) result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Failure>,
}

impl JobView {
    /// Adds how it ended.
    pub(super) fn ended(mut self, outcome: Result<Value, Failure>, at: Timestamp) -> Self {
        self.ended_ms = Some(at.0);
        match outcome {
            Ok(result) => (self.state, self.result) = (JobState::Succeeded, Some(result)),
            Err(failure) => {
                self.state = match failure.kind {
                    FailureKind::Cancelled => JobState::Cancelled,
                    _ => JobState::Failed,
                };
                self.error = Some(failure);
            }
        }
        self
    }
}
