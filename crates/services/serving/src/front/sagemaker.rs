//! The container contract: `GET /ping` and `POST /invocations`.
//!
//! The connection is the request: whoever closes it leaves, and a run that nobody waits for ends.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures::stream;
use parallax_listener::Peer;
use serde_json::{Map, Value, json};

use super::answer::{self, ErrorView, refusal};
use super::body::{Bodies, Json};
use super::client::client;
use super::{Limits, Tokens, accept};
use crate::{Failure, FailureKind, Handle, Request, Service};

/// What a request runs when it names no operation.
const DEFAULT: &str = "stereo";

#[derive(Debug, Clone)]
struct Front {
    service: Arc<Service>,
    tokens: Tokens,
    bodies: Arc<Bodies>,
}

/// The two routes. `/ping` asks for no token.
pub fn routes(service: Arc<Service>, tokens: Tokens, limits: Limits) -> Router {
    let bodies = Arc::new(Bodies::new(limits, &service));
    Router::new()
        .route("/ping", get(ping))
        .route("/invocations", post(invocations))
        .with_state(Front { service, tokens, bodies })
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
    let begun = invoke(&front, peer, &headers, body, id.clone()).await;
    let answer = match begun {
        Ok(handle) if accept::events(&headers) => return events(handle, id),
        Ok(handle) => handle.outcome().await.map_err(in_the_contract),
        Err(failure) => Err(failure),
    };
    match answer {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(failure) => refusal(&failure, id.as_deref()),
    }
}

/// A `part` event for each part of the answer, then one event `result` or `error`. Whoever closes
/// the connection drops the stream, and with it the handle.
fn events(handle: Handle, id: Option<String>) -> Response {
    let parts = handle.parts();
    let events = stream::unfold(Some((handle, 0)), move |state| {
        let (parts, id) = (parts.clone(), id.clone());
        async move {
            let (handle, number) = state?;
            if let Some(part) = parts.get(number).await {
                let event = Event::default().event("part").id(number.to_string());
                let event = event.data(part.to_string());
                return Some((event, Some((handle, number + 1))));
            }
            let event = match handle.outcome().await.map_err(in_the_contract) {
                Ok(answer) => Event::default().event("result").data(answer.to_string()),
                Err(failure) => {
                    let error = json!(ErrorView::of(&failure, id.as_deref()));
                    Event::default().event("error").data(error.to_string())
                }
            };
            Some((event, None))
        }
    });
    answer::stream(events)
}

async fn invoke(
    front: &Front,
    peer: Option<Extension<Peer>>,
    headers: &HeaderMap,
    body: Body,
    id: Option<String>,
) -> Result<Handle, Failure> {
    front.tokens.check(headers)?;
    let Json { value: mut input, place: _place } = front.bodies.json(headers, body).await?;
    let operation = match input.as_object_mut().and_then(|fields| fields.remove("operation")) {
        None => DEFAULT.to_owned(),
        Some(Value::String(name)) => name,
        Some(_) => return Err(Failure::field("operation", "expected a string")),
    };
    let request = Request { operation, input, id, client: client(peer) };
    front.service.submit(request).await.map_err(in_the_contract)
}

/// The contract has 400 for everything that is wrong with a request.
fn in_the_contract(failure: Failure) -> Failure {
    match failure.kind {
        FailureKind::NotFound if failure.field.as_deref() == Some("operation") => {
            Failure { kind: FailureKind::Invalid, ..failure }
        }
        _ => failure,
    }
}

/// The caller's name for the request.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let names = ["x-amzn-sagemaker-inference-id", "x-request-id"];
    let value = names.iter().find_map(|name| headers.get(*name)?.to_str().ok())?;
    let id: String = value.chars().filter(|c| c.is_ascii_graphic()).take(128).collect();
    (!id.is_empty()).then_some(id)
}
