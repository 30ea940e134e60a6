//! REST: operations by name, jobs as resources, progress as events, a document that describes it.
//!
//! What takes a place in the queue is answered with 202 and a job; what does not is answered at
//! once. A job belongs to whoever knows its id, which cannot be guessed.

mod events;
mod jobs;
mod openapi;
mod view;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request as HttpRequest, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use parallax_listener::Peer;
use parallax_ports::Clock;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::refusal;
use super::body::{self, Bodies};
use super::client::client;
use super::{Limits, Tokens, accept};
use crate::{Failure, FailureKind, Request, Service};
pub use jobs::Retention;
use jobs::{Job, Jobs};

/// The longest `Idempotency-Key`.
const LONGEST_KEY: usize = 128;

#[derive(Debug, Clone)]
struct Front {
    service: Arc<Service>,
    tokens: Tokens,
    bodies: Arc<Bodies>,
    jobs: Arc<Jobs>,
    streams: Arc<Semaphore>,
}

impl Front {
    /// The right to one more stream of events.
    ///
    /// # Errors
    /// `Overloaded`.
    fn stream(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.streams.clone().try_acquire_owned().map_err(|_| {
            let message = "as many streams of events are open as may be";
            Failure::new(FailureKind::Overloaded, message)
        })
    }
}

/// Everything below `/v1`, and `/openapi.json`. All but the latter ask for a token where there are
/// some.
pub fn routes(
    service: Arc<Service>,
    tokens: Tokens,
    limits: Limits,
    retention: Retention,
    clock: Arc<dyn Clock>,
) -> Router {
    let streams = Arc::new(Semaphore::new(retention.streams));
    let jobs = Arc::new(Jobs::new(retention, clock));
    let bodies = Arc::new(Bodies::new(limits, &service));
    let front = Front { service, tokens, bodies, jobs, streams };
    Router::new()
        .route("/v1/operations", get(operations))
        .route("/v1/operations/{name}", post(operate))
        .route("/v1/jobs/{id}", get(job).delete(cancel))
        .route("/v1/jobs/{id}/events", get(job_events))
        .layer(from_fn_with_state(front.clone(), admit))
        .route("/openapi.json", get(document))
        .fallback(nowhere)
        .method_not_allowed_fallback(no_method)
        .with_state(front)
}

/// Nothing is looked at, not even the body, before the token is.
async fn admit(State(front): State<Front>, request: HttpRequest, next: Next) -> Response {
    match front.tokens.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => refusal(&failure, None),
    }
}

async fn nowhere() -> Response {
    refusal(&Failure::new(FailureKind::NotFound, "there is no such resource"), None)
}

async fn no_method() -> Response {
    let failure = Failure::new(FailureKind::Invalid, "the resource has no such method");
    let mut response = refusal(&failure, None);
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

async fn document(State(front): State<Front>) -> Response {
    Json(openapi::document(front.service.registry(), !front.tokens.is_open())).into_response()
}

async fn operations(State(front): State<Front>) -> Response {
    let list = front.service.registry().descriptions().map(|operation| {
        json!({
            "name": operation.name,
            "summary": operation.summary,
            "request": operation.request,
            "response": operation.response,
            "part": operation.part,
        })
    });
    Json(json!({ "operations": list.collect::<Vec<_>>() })).into_response()
}

async fn operate(
    State(front): State<Front>,
    name: Result<Path<String>, PathRejection>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match begin(&front, name, peer, &headers, body).await {
        Ok(response) => response,
        Err(failure) => refusal(&failure, None),
    }
}

async fn begin(
    front: &Front,
    name: Result<Path<String>, PathRejection>,
    peer: Option<Extension<Peer>>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let name = parameter(name)?;
    let Some(operation) = front.service.registry().name(&name) else {
        return Err(Failure::new(FailureKind::NotFound, "there is no such operation"));
    };
    let key = idempotency_key(headers)?;
    let first = accept::events(headers).then(|| events::first_part(headers)).transpose()?;
    let body::Json { value: input, place: _place } = front.bodies.json(headers, body).await?;
    let watch = first.map(|part| Ok((part, front.stream()?))).transpose()?;
    let key = key.map(|key| (key, format!("{operation} {input}")));
    if let Some((key, digest)) = &key
        && let Some(job) = front.jobs.of_key(key, digest)?
    {
        return Ok(begun(&job, watch));
    }
    front.jobs.room()?;
    let client = client(peer);
    let request = Request { operation: name, input, id: None, client };
    let handle = front.service.submit(request).await?;
    if !handle.is_queued() && watch.is_none() {
        return Ok(Json(handle.outcome().await?).into_response());
    }
    let job = front.jobs.add(operation, handle, key);
    Ok(begun(&job, watch))
}

/// The job's address, with its events for whoever asked for them, or how it stands.
fn begun(job: &Arc<Job>, watch: Option<(usize, OwnedSemaphorePermit)>) -> Response {
    let view = job.view();
    let place = format!("/v1/jobs/{}", view.id);
    let mut response = match watch {
        Some((part, stream)) => events::stream(job.clone(), part, stream),
        None => (StatusCode::ACCEPTED, Json(view)).into_response(),
    };
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

async fn job(State(front): State<Front>, id: Result<Path<String>, PathRejection>) -> Response {
    match parameter(id).and_then(|id| front.jobs.get(&id)) {
        Ok(job) => fresh(Json(job.view()).into_response()),
        Err(failure) => refusal(&failure, None),
    }
}

/// Ends the job unless it has ended, and answers with what has become of it.
async fn cancel(State(front): State<Front>, id: Result<Path<String>, PathRejection>) -> Response {
    match parameter(id).and_then(|id| front.jobs.get(&id)) {
        Ok(job) => {
            job.cancel().await;
            fresh(Json(job.view()).into_response())
        }
        Err(failure) => refusal(&failure, None),
    }
}

async fn job_events(
    State(front): State<Front>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let watch = || -> Result<Response, Failure> {
        let job = front.jobs.get(&parameter(id)?)?;
        let part = events::first_part(&headers)?;
        Ok(events::stream(job, part, front.stream()?))
    };
    watch().unwrap_or_else(|failure| refusal(&failure, None))
}

fn fresh(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn parameter(path: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    match path {
        Ok(Path(text)) => Ok(text),
        Err(_) => Err(Failure::new(FailureKind::NotFound, "there is no such resource")),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || text.len() > LONGEST_KEY || !plain {
        let message = format!("1 to {LONGEST_KEY} visible ASCII characters are allowed");
        return Err(Failure::field("Idempotency-Key", message));
    }
    Ok(Some(text.to_owned()))
}
