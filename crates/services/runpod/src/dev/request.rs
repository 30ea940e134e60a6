//! Requests, read within bounds.

use std::time::Duration;

use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::Limits;
use super::refused::Refused;

/// A job that somebody wants done.
#[derive(Debug, PartialEq)]
pub(super) struct Submission {
    pub(super) input: Value,
    /// Whatever else was sent along.
    pub(super) rest: Map<String, Value>,
    /// How long it may run, if it says so.
    pub(super) execution: Option<Duration>,
    /// The memory that it takes, and at least the length of the request.
    pub(super) bytes: usize,
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Queue => Self::new(StatusCode::TOO_MANY_REQUESTS, "the queue is full"),
            Refused::Memory => Self::new(StatusCode::TOO_MANY_REQUESTS, "too much is held"),
            Refused::Shutdown => Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server ends"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let later =
            matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let mut response = (self.status, Json(json!({"error": self.why}))).into_response();
        if later {
            response.headers_mut().insert(RETRY_AFTER, axum::http::HeaderValue::from_static("1"));
        }
        response
    }
}

/// Reads a job from a request of at most `longest` bytes.
pub(super) async fn submission(
    request: Request,
    longest: usize,
    limits: &Limits,
    uploads: &Semaphore,
) -> Result<Submission, Refusal> {
    let (head, body) = request.into_parts();
    if !is_json(&head.headers) {
        let why = "Content-Type: application/json is needed";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let too_long = || {
        let why = format!("the request is longer than {longest} bytes; send addresses, not media");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why)
    };
    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > longest) {
        return Err(too_long());
    }
    let _upload = uploads.try_acquire().map_err(|_| {
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many requests are being read")
    })?;
    let bytes = match tokio::time::timeout(limits.upload, to_bytes(body, longest)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(too_long()),
        Err(_) => {
            let why = format!("the body did not come within {:?}", limits.upload);
            return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, why));
        }
    };
    parse(&bytes, limits)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/json")
}

fn parse(bytes: &Bytes, limits: &Limits) -> Result<Submission, Refusal> {
    let bad = |why: String| Refusal::new(StatusCode::BAD_REQUEST, why);
    let body: Value =
        serde_json::from_slice(bytes).map_err(|error| bad(format!("body: {error}")))?;
    let Value::Object(mut rest) = body else {
        return Err(bad("body: an object is needed".to_owned()));
    };
    let input = rest.remove("input").filter(|input| !input.is_null());
    let Some(input) = input else {
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "input: missing"));
    };
    // The server names its jobs itself.
    rest.remove("id");
    let asked = rest.get("policy").and_then(|policy| policy.get("executionTimeout"));
    let execution = match asked.filter(|asked| !asked.is_null()) {
        None => None,
        Some(asked) => {
            let most = limits.longest_execution;
            let time = asked.as_u64().map(Duration::from_millis);
            let time = time.filter(|time| *time > Duration::ZERO && *time <= most);
            let why = || format!("policy.executionTimeout: allowed are 1 to {}", most.as_millis());
            Some(time.ok_or_else(|| bad(why()))?)
        }
    };
    let held = rest.values().fold(weight(&input), |sum, value| sum + weight(value));
    Ok(Submission { input, rest, execution, bytes: held.max(bytes.len()) })
}

/// About the memory that a value takes: of `[0,0,0]` far more than its text.
fn weight(value: &Value) -> usize {
    let inside = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(weight).sum(),
        // A name, and its place in the tree.
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| 2 * size_of::<String>() + name.len() + weight(value))
            .sum(),
    };
    size_of::<Value>() + inside
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Submission, Refusal> {
        parse(&Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
    }

    #[test]
    fn jobs_are_read_with_all_that_came_along() {
        let text = r#"{"input": {"a": 1}, "id": "mine", "webhook": "w", "policy": {"executionTimeout": 5000}}"#;
        let read = read(text).unwrap();
        assert_eq!(read.input, json!({"a": 1}));
        assert_eq!(read.rest["webhook"], "w");
        assert!(!read.rest.contains_key("id"));
        assert_eq!(read.execution, Some(Duration::from_secs(5)));
        assert!(read.bytes >= text.len(), "{}", read.bytes);
        let zeros = format!("{{\"input\": [0{}]}}", ",0".repeat(999));
        assert!(
            super::parse(&Bytes::from(zeros), &Limits::default()).unwrap().bytes
                >= 1000 * size_of::<Value>()
        );
    }

    #[test]
    fn what_makes_no_job_is_named() {
        let deep = format!("{{\"input\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for (text, status, why) in [
            ("", 400, "body: "),
            ("[]", 400, "body: an object"),
            ("{\"input\": ", 400, "body: "),
            (deep.as_str(), 400, "body: recursion limit"),
            ("{}", 422, "input: missing"),
            ("{\"input\": null}", 422, "input: missing"),
            (
                "{\"input\": 1, \"policy\": {\"executionTimeout\": 0}}",
                400,
                "policy.executionTimeout",
            ),
            (
                "{\"input\": 1, \"policy\": {\"executionTimeout\": -5}}",
                400,
                "policy.executionTimeout",
            ),
            (
                "{\"input\": 1, \"policy\": {\"executionTimeout\": \"x\"}}",
                400,
                "policy.executionTimeout",
            ),
            (
                "{\"input\": 1, \"policy\": {\"executionTimeout\": 86400001}}",
                400,
                "policy.executionTimeout",
            ),
        ] {
            let refusal = read(text).unwrap_err();
            assert_eq!(refusal.status.as_u16(), status, "{refusal:?}");
            assert!(refusal.why.starts_with(why), "{refusal:?}");
        }
    }
}
