//! The REST call as the SDK makes it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use parallax_job::Uri;
use serde_json::json;

use crate::endpoint::{Body, Endpoint, Request};

/// The most that a call may carry itself.
const LONGEST_INLINE: usize = 128_000;

/// The service: the call, and `GET /stats`.
pub fn router(endpoint: Arc<Endpoint>) -> Router {
    Router::new()
        .route("/endpoints/{name}/async-invocations", post(invoke))
        .route("/stats", get(stats))
        .layer(DefaultBodyLimit::max(LONGEST_INLINE + 1))
        .with_state(endpoint)
}

async fn stats(State(endpoint): State<Arc<Endpoint>>) -> Response {
    axum::Json(endpoint.stats()).into_response()
}

async fn invoke(
    State(endpoint): State<Arc<Endpoint>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if name != endpoint.settings.name {
        return refusal(400, "ValidationError", &format!("Endpoint {name} not found."));
    }
    let request = match read(&endpoint, &headers, body) {
        Ok(request) => request,
        Err(why) => return refusal(400, "ValidationError", &why),
    };
    let fate = endpoint.fate(&request.inference_id);
    if fate.throttle {
        endpoint.refused();
        return refusal(400, "ThrottlingException", "Rate exceeded");
    }
    if fate.unavailable {
        endpoint.refused();
        return refusal(503, "ServiceUnavailable", "The service is unavailable. Try again later.");
    }
    let places = [
        ("x-amzn-sagemaker-outputlocation", request.response.to_string()),
        ("x-amzn-sagemaker-failurelocation", request.failure.to_string()),
    ];
    let answer = json!({ "InferenceId": request.inference_id });
    endpoint.accept(request, fate);
    if fate.lost_reply {
        std::future::pending::<()>().await;
    }
    if fate.broken_reply {
        return refusal(500, "InternalFailure", "An internal failure occurred.");
    }
    let mut response = (StatusCode::ACCEPTED, axum::Json(answer)).into_response();
    for (name, value) in places {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn refusal(status: u16, code: &'static str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = [(HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_static(code))];
    (status, kind, axum::Json(json!({ "message": message }))).into_response()
}

/// Checks a call as the service does and names its outcome.
fn read(endpoint: &Endpoint, headers: &HeaderMap, body: Bytes) -> Result<Request, String> {
    let header = |name: &str| {
        let value = headers.get(format!("x-amzn-sagemaker-{name}"))?;
        value.to_str().ok().map(str::to_owned)
    };
    let seconds = |name: &str, default: u64, least: u64, most: u64| match header(name) {
        None => Ok(Duration::from_secs(default)),
        Some(text) => match text.parse() {
            Ok(value) if (least..=most).contains(&value) => Ok(Duration::from_secs(value)),
            _ => Err(format!("{name} {text:?}: allowed are {least} to {most}")),
        },
    };
    let body = match header("inputlocation") {
        Some(text) if body.is_empty() => {
            Body::Object(text.parse().map_err(|error| format!("InputLocation: {error}"))?)
        }
        Some(_) => return Err("both InputLocation and Body were given".to_owned()),
        None if body.is_empty() => return Err("neither InputLocation nor Body".to_owned()),
        None if body.len() > LONGEST_INLINE => return Err("the Body is too long".to_owned()),
        None => Body::Inline(body),
    };
    let inference_id = header("inference-id").unwrap_or_else(|| endpoint.some_name());
    if inference_id.is_empty() || inference_id.len() > 64 {
        return Err(format!("InferenceId {inference_id:?}: 1 to 64 characters"));
    }
    let some = endpoint.some_name();
    let folder = match header("s3outputpathextension") {
        Some(text) if text.len() <= 512 => format!("{}/", text.trim_matches('/')),
        Some(_) => return Err("S3OutputPathExtension: at most 512 characters".to_owned()),
        None => String::new(),
    };
    let file = match header("filename") {
        Some(text) if (1..=32).contains(&text.len()) && !text.contains('/') => text,
        Some(_) => return Err("Filename: 1 to 32 characters".to_owned()),
        None => format!("{some}.out"),
    };
    let settings = &endpoint.settings;
    let place = |text: String| text.parse::<Uri>().map_err(|error| error.to_string());
    Ok(Request {
        content_type: header("content-type").unwrap_or_else(|| "application/json".to_owned()),
        run_limit: seconds("invocationtimeoutseconds", 900, 1, 3600)?,
        queue_limit: seconds("requestttlseconds", 21_600, 60, 21_600)?,
        response: place(format!("{}{folder}{file}", settings.responses))?,
        failure: place(format!("{}{some}-error.out", settings.failures))?,
        inference_id,
        body,
    })
}
