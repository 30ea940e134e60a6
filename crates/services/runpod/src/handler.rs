//! What a user of this crate implements.

use std::fmt;

use async_trait::async_trait;
use futures::stream::{BoxStream, Stream, StreamExt};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::Job;
use crate::progress::Progress;

/// Runs jobs.
#[async_trait]
pub trait Handler: fmt::Debug + Send + Sync + 'static {
    /// Runs one job. Several may run at once, up to the concurrency that the caller was given.
    ///
    /// # Errors
    /// When the job failed; the platform is told, and does not send it again. A panic counts as a
    /// failure too.
    ///
    /// # Cancel safety
    /// After [`JobContext::cancelled`] the result is ignored, and after a grace period the future
    /// is dropped.
    async fn run(&self, job: Job, context: JobContext) -> Result<Reply, JobError>;
}

/// The parts of a streamed result; the first error ends it.
pub type Parts = BoxStream<'static, Result<Value, JobError>>;

/// How a job answers.
pub enum Reply {
    /// All at once.
    Whole(Output),
    /// In parts. The next one is asked for when the platform has the last.
    Parts(Parts),
}

impl Reply {
    /// A reply in parts.
    pub fn parts(stream: impl Stream<Item = Result<Value, JobError>> + Send + 'static) -> Self {
        Self::Parts(stream.boxed())
    }
}

impl From<Output> for Reply {
    fn from(output: Output) -> Self {
        Self::Whole(output)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(output) => f.debug_tuple("Whole").field(output).finish(),
            Self::Parts(_) => f.write_str("Parts"),
        }
    }
}

/// A whole result.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    /// What the sender gets. An empty object is not sent at all.
    pub value: Value,
    /// Marks the job as failed, although there may be a value.
    pub error: Option<Value>,
    /// Asks the platform to replace this worker; no further job is taken.
    pub refresh_worker: bool,
}

impl Output {
    /// A result that is exactly this value.
    pub fn new(value: Value) -> Self {
        Self { value, ..Self::default() }
    }

    /// Reads a value as the platform's own library does: an object's `error` and `refresh_worker`
    /// are taken out of it and count unless they are empty.
    pub fn conventional(mut value: Value) -> Self {
        let mut taken = |name| value.as_object_mut()?.remove(name).filter(truthy);
        let error = taken("error");
        let refresh_worker = taken("refresh_worker").is_some();
        Self { value, error, refresh_worker }
    }
}

/// Whether a value counts as true in the language of the platform's library.
pub(crate) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(it) => *it,
        Value::Number(it) => it.as_f64() != Some(0.0),
        Value::String(it) => !it.is_empty(),
        Value::Array(it) => !it.is_empty(),
        Value::Object(it) => !it.is_empty(),
    }
}

/// Why a job failed. Its sender reads all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobError {
    /// The kind, as a program tells errors apart: `OpError::OutOfMemory`.
    pub error_type: String,
    /// What happened, for a person.
    pub message: String,
    /// The causes behind it, or where it happened.
    pub trace: String,
}

impl JobError {
    /// A failure without a known cause.
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error_type: error_type.into(), message: message.into(), trace: String::new() }
    }

    /// The same with what stands behind it.
    #[must_use]
    pub fn with_trace(mut self, trace: impl Into<String>) -> Self {
        self.trace = trace.into();
        self
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type, self.message)
    }
}

impl std::error::Error for JobError {}

/// What a job may say and hear while it runs. The default one is never cancelled and tells nobody.
#[derive(Debug, Clone, Default)]
pub struct JobContext {
    pub(crate) stopped: CancellationToken,
    pub(crate) progress: Progress,
}

impl JobContext {
    /// Tells the sender how far the job is. Never waits; when updates come faster than they can be
    /// sent, the oldest are left out.
    pub fn progress(&self, update: Value) {
        self.progress.push(update);
    }

    /// Cancelled when nobody wants the result any more: look at it between steps.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_as_it_is_stays_as_it_is() {
        let value = json!({"error": "part of the answer", "refresh_worker": true});
        let output = Output::new(value.clone());
        assert_eq!(output, Output { value, error: None, refresh_worker: false });
    }

    #[test]
    fn empty_marks_do_not_count() {
        for empty in
            [json!(null), json!(false), json!(0), json!(0.0), json!(""), json!([]), json!({})]
        {
            let output = Output::conventional(json!({"error": empty, "refresh_worker": empty}));
            assert_eq!(output, Output::new(json!({})), "{empty}");
        }
        for set in [json!(true), json!(-1), json!("x"), json!([0]), json!({"a": null})] {
            let output = Output::conventional(json!({"error": set, "refresh_worker": set}));
            assert_eq!(output.error, Some(set));
            assert!(output.refresh_worker);
        }
    }
}
