//! The container contract: `GET /ping` and `POST /invocations`.
//!
//! The connection is the request: whoever closes it leaves, and a run that nobody waits for ends.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use parallax_listener::Peer;
use serde_json::{Map, Value, json};

use super::answer::refusal;
use super::client::client;
use super::{Limits, Tokens, body};
use crate::{Failure, FailureKind, Request, Service};

/// What a request runs when it names no operation.
const DEFAULT: &str = "stereo";

#[derive(Debug, Clone)]
struct Front {
    service: Arc<Service>,
    tokens: Tokens,
    limits: Limits,
}

/// The two routes. `/ping` asks for no token.
pub fn routes(service: Arc<Service>, tokens: Tokens, limits: Limits) -> Router {
    Router::new()
        .route("/ping", get(ping))
        .route("/invocations", post(invocations))
        .with_state(Front { service, tokens, limits })
}

/// 200 once work can be taken; 503 and the reasons until then.
async fn ping(State(front): State<Front>) -> Response {
    let reasons = front.service.readiness().reasons();
    if reasons.is_empty() {
        return axum::Json(json!({ "status": "ready" })).into_response();
    }
    let reasons: Map<String, Value> =
        reasons.into_iter().map(|(name, why)| (name, why.into())).collect();
    let body = axum::Json(json!({ "status": "not ready", "reasons": reasons }));
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

async fn invocations(
    State(front): State<Front>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let id = request_id(&headers);
    match invoke(&front, peer, &headers, body, id.clone()).await {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(failure) => refusal(&failure, id.as_deref()),
    }
}

async fn invoke(
    front: &Front,
    peer: Option<Extension<Peer>>,
    headers: &HeaderMap,
    body: Body,
    id: Option<String>,
) -> Result<Value, Failure> {
    front.tokens.check(headers)?;
    let mut input = body::json(headers, body, front.limits).await?;
    let operation = match input.as_object_mut().and_then(|fields| fields.remove("operation")) {
        None => DEFAULT.to_owned(),
        Some(Value::String(name)) => name,
        Some(_) => return Err(Failure::field("operation", "expected a string")),
    };
    let client = client(peer);
    let answer = front.service.call(Request { operation, input, id, client }).await;
    // The contract has 400 for everything that is wrong with a request.
    answer.map_err(|failure| match failure.kind {
        FailureKind::NotFound if failure.field.as_deref() == Some("operation") => {
            Failure { kind: FailureKind::Invalid, ..failure }
        }
        _ => failure,
    })
}

/// The caller's name for the request.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let names = ["x-amzn-sagemaker-inference-id", "x-request-id"];
    let value = names.iter().find_map(|name| headers.get(*name)?.to_str().ok())?;
    let id: String = value.chars().filter(|c| c.is_ascii_graphic()).take(128).collect();
    (!id.is_empty()).then_some(id)
}
