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
    /// What was done, or would be, on one line.
    pub fn told(&self, dry_run: bool) -> String {
        let (would, done) = match self.done {
            Done::Moved => (true, "moved"),
            Done::Reopened => (true, "reopened"),
            Done::Cancelled => (true, "cancelled"),
            Done::Removed => (true, "removed"),
            Done::Deleted => (true, "deleted"),
            Done::Paused => (true, "paused"),
            Done::Resumed => (true, "resumed"),
            Done::Already => (false, "nothing to do"),
            Done::Refused => (false, "refused"),
            Done::Unsettled => (false, "unsettled"),
        };
        let would = if would && dry_run { "would be " } else { "" };
        format!("{would}{done}: {} ({})", self.what, self.why)
    }

    pub(super) fn of_message(id: &str, done: Done, why: impl Into<String>) -> Self {
        Self { what: format!("message {id}"), done, why: why.into() }
    }
}
