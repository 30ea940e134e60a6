//! The addresses: at the root, and under `/v2/{endpoint}` as the platform has them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::ORIGIN;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Limits;
use super::jobs::Jobs;
use super::request::{Refusal, submission};
use crate::Handler;

/// How long `runsync` may be asked to wait, in milliseconds.
const WAIT_RANGE_MS: std::ops::RangeInclusive<u64> = 1000..=300_000;

#[derive(Debug, Clone)]
struct Api {
    jobs: Arc<Jobs>,
    uploads: Arc<Semaphore>,
}

/// The development API over `handler`: `run`, `runsync`, `status/{id}`, `stream/{id}`,
/// `cancel/{id}`, `purge-queue` and `health`, at the root and under `/v2/{endpoint}` for any
/// endpoint. When `shutdown` is cancelled, jobs are stopped and further ones refused.
///
/// Needs a runtime when called upon: jobs run as tasks of their own.
pub fn router(handler: Arc<dyn Handler>, limits: Limits, shutdown: CancellationToken) -> Router {
    let uploads = Arc::new(Semaphore::new(limits.uploads));
    let api = Api { jobs: Arc::new(Jobs::new(handler, limits, shutdown)), uploads };
    let routes = Router::new()
        .route("/run", post(run))
        .route("/runsync", post(runsync))
        .route("/status/{id}", get(status).post(status))
        .route("/stream/{id}", get(stream).post(stream))
        .route("/cancel/{id}", post(cancel))
        .route("/purge-queue", post(purge))
        .route("/health", get(health));
    let both = Router::new().merge(routes.clone()).nest("/v2/{endpoint}", routes);
    both.layer(from_fn(no_pages)).with_state(api)
}

/// A page that a browser shows could ask from within: there is no token to tell it by.
async fn no_pages(request: Request, next: Next) -> Response {
    if request.headers().contains_key(ORIGIN) {
        let why = "requests of web pages are not answered";
        return Refusal::new(StatusCode::FORBIDDEN, why).into_response();
    }
    next.run(request).await
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Wait {
    /// Milliseconds.
    wait: Option<u64>,
}

async fn run(State(api): State<Api>, request: Request) -> Result<Json<Value>, Refusal> {
    let limits = &api.jobs.limits;
    let submission = submission(request, limits.run_body, limits, &api.uploads).await?;
    let (id, _) = api.jobs.submit(submission, limits.keep_run)?;
    Ok(Json(json!({"id": id, "status": "IN_QUEUE"})))
}

async fn runsync(
    State(api): State<Api>,
    Query(Wait { wait }): Query<Wait>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let limits = &api.jobs.limits;
    if wait.is_some_and(|wait| !WAIT_RANGE_MS.contains(&wait)) {
        let why = "wait: allowed are 1000 to 300000 milliseconds";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, why));
    }
    let wait = wait.map_or(limits.runsync_wait, Duration::from_millis);
    let submission = submission(request, limits.runsync_body, limits, &api.uploads).await?;
    let (id, over) = api.jobs.submit(submission, limits.keep_runsync)?;
    // Whether it is over or not, its status says.
    let _ = tokio::time::timeout(wait, over.cancelled()).await;
    let gone = || Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the result was not kept");
    api.jobs.describe(&id).map(Json).ok_or_else(gone)
}

async fn status(State(api): State<Api>, Path(Named { id }): Path<Named>) -> Response {
    about(&id, api.jobs.describe(&id))
}

async fn stream(State(api): State<Api>, Path(Named { id }): Path<Named>) -> Response {
    about(&id, api.jobs.describe_parts(&id))
}

async fn cancel(State(api): State<Api>, Path(Named { id }): Path<Named>) -> Response {
    about(&id, api.jobs.cancel(&id))
}

async fn purge(State(api): State<Api>) -> Json<Value> {
    Json(json!({"removed": api.jobs.purge(), "status": "completed"}))
}

async fn health(State(api): State<Api>) -> Json<Value> {
    Json(api.jobs.health())
}

fn about(id: &str, answer: Option<Value>) -> Response {
    match answer {
        Some(answer) => Json(answer).into_response(),
        None => {
            let id: String = id.chars().take(256).collect();
            let body = json!({"id": id, "status": "FAILED", "error": "Job ID not found"});
            (StatusCode::NOT_FOUND, Json(body)).into_response()
        }
    }
}
