//! What an operator's command did, thing by thing.

use serde::Serialize;

/// What became of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The dead letter, segment or job.
    pub what: String,
    /// What was done, or would be.
    pub done: Done,
    /// More about it.
    pub why: String,
}

/// What was done, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Back in its queue.
    Moved,
    /// May be attempted again; its event was sent.
    Reopened,
    /// Failed with an operator's reason.
    Cancelled,
    /// Not there any more.
    Removed,
    /// All of it is removed but that it was.
    Deleted,
    /// Receives nothing more.
    Paused,
    /// Receives again.
    Resumed,
    /// It was so before.
    Already,
    /// Makes no sense; left as it is.
    Refused,
    /// Could not be tidied up after: a dead letter that is in both queues, or hidden for a while.
    Unsettled,
}

impl Step {
    pub(super) fn of_message(id: &str, done: Done, why: impl Into<String>) -> Self {
        Self { what: format!("message {id}"), done, why: why.into() }
    }
}
