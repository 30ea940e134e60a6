//! Outcomes and events as HTTP answers.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Failure, FailureKind};

/// Between two signs of life of a stream of events.
const ALIVE: Duration = Duration::from_secs(15);

/// Server-sent events as they come.
pub(super) fn stream(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let events = events.map(Ok::<_, Infallible>);
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}

/// What the body of a refusal holds.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ErrorView<'a> {
    /// What was found and what is allowed.
    error: &'a str,
    kind: FailureKind,
    /// The field of the request that is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// The request.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

impl<'a> ErrorView<'a> {
    /// What a caller is told of a failure.
    pub(super) fn of(failure: &'a Failure, id: Option<&'a str>) -> Self {
        let field = failure.field.as_deref();
        Self { error: &failure.message, kind: failure.kind, field, id }
    }
}

/// An [`ErrorView`] with the status of the kind.
pub(super) fn refusal(failure: &Failure, id: Option<&str>) -> Response {
    let status = StatusCode::from_u16(failure.kind.status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = ErrorView::of(failure, id);
    let mut response = (status, axum::Json(body)).into_response();
    let wait = failure.retry_after.map(|wait| wait.as_secs_f64().ceil().max(1.0) as u64);
    let wait = match failure.kind {
        FailureKind::Overloaded | FailureKind::Unavailable | FailureKind::Cancelled => {
            Some(wait.unwrap_or(5))
        }
        _ => wait,
    };
    if let Some(wait) = wait {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait));
    }
    if matches!(failure.kind, FailureKind::TooLarge | FailureKind::TooSlow) {
        // What was not read of the request would be taken for the next one.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if failure.kind == FailureKind::Unauthenticated {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
