//! What is answered when something is not done, and why.

use axum::Json;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A status and a sentence for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The answer's status.
    pub status: StatusCode,
    /// What to say.
    pub why: String,
}

impl Refusal {
    /// With a sentence for a person.
    pub fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }

    /// There is no such thing.
    pub fn nothing() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing here")
    }

    /// It was understood, and cannot be used.
    pub fn unusable(why: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, why)
    }

    /// Not in the state that it is in.
    pub fn conflict(why: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, why)
    }

    /// The folder could not be read or written.
    pub fn broken(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::new(StatusCode::INSUFFICIENT_STORAGE, "the disk is full");
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the work folder: {error}"))
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::broken(&error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.why }))).into_response();
        let unread = [
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::INSUFFICIENT_STORAGE,
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        if unread.contains(&self.status) {
            // What was not read of the request would be taken for the next one.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
