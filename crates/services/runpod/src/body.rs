//! What is said about jobs.

use serde::Serialize;
use serde_json::{Map, Value, json};
use tracing::warn;

use crate::execute::PartsError;
use crate::{JobError, Output, PROTOCOL_VERSION};

/// Bodies longer than this are more than the platform promises to take, in bytes.
const LARGE: usize = 20 << 20;

/// Who reports a failure.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    hostname: String,
    worker_id: String,
}

impl Reporter {
    pub(crate) fn new(hostname: &str, worker_id: &str) -> Self {
        Self { hostname: hostname.to_owned(), worker_id: worker_id.to_owned() }
    }

    /// A failed job: a JSON document within a string.
    pub(crate) fn failure(&self, error: &JobError) -> Map<String, Value> {
        let report = json!({
            "error_type": error.error_type,
            "error_message": error.message,
            "error_traceback": error.trace,
            "hostname": self.hostname,
            "worker_id": self.worker_id,
            "runpod_version": PROTOCOL_VERSION,
        });
        Map::from_iter([("error".to_owned(), report.to_string().into())])
    }
}

/// A whole result.
pub(crate) fn whole(output: Output) -> Map<String, Value> {
    let mut body = Map::new();
    if output.value.as_object().is_none_or(|object| !object.is_empty()) {
        body.insert("output".to_owned(), output.value);
    }
    if let Some(error) = output.error {
        body.insert("error".to_owned(), error);
    }
    if output.refresh_worker {
        refresh(&mut body);
    }
    body
}

/// Asks for a fresh worker.
pub(crate) fn refresh(body: &mut Map<String, Value>) {
    body.insert("stopPod".to_owned(), true.into());
}

/// The end of a stream.
pub(crate) fn parts(gathered: Vec<Value>) -> Map<String, Value> {
    Map::from_iter([("output".to_owned(), gathered.into())])
}

/// The end of a stream that broke.
pub(crate) fn parts_failed(error: PartsError) -> Map<String, Value> {
    let text = match error {
        PartsError::Part(Value::String(text)) => text,
        PartsError::Part(other) => other.to_string(),
        PartsError::Handler(error) => {
            format!("handler: {} \ntraceback: {}", error.message, error.trace)
        }
    };
    Map::from_iter([("error".to_owned(), text.into())])
}

/// An update.
pub(crate) fn progress(update: Value) -> Value {
    json!({"status": "IN_PROGRESS", "output": update})
}

/// A part of a stream.
pub(crate) fn part(part: Value) -> Value {
    json!({"output": part})
}

/// The text of a body.
pub(crate) fn text(job: &str, body: &impl Serialize) -> Option<String> {
    let text = serde_json::to_string(body).ok()?;
    if text.len() > LARGE {
        warn!(request_id = job, bytes = text.len(), "a body beyond 20 MB may be refused");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_not_escaped() {
        let body = whole(Output::new("漢字 é".into()));
        assert_eq!(text("job", &body).unwrap(), r#"{"output":"漢字 é"}"#);
    }
}
