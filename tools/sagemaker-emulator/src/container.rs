//! A container that copies: what stands behind an endpoint, or serves alone, in tests.
//!
//! It keeps the contract of a real one: it reads the input, writes the result to the output
//! address, and only then answers. What it makes is the input itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use parallax_job::{Mode, Uri};
use parallax_ports::{Kind, ObjectStore};
use serde::Deserialize;
use serde_json::json;

/// An input that begins with this is refused for good, so that such failures can be rehearsed.
pub const UNREADABLE: &[u8] = b"unreadable";
/// The largest input that is copied: the copy is made in memory.
const LARGEST: u64 = 64 << 20;

/// A container over some objects.
#[derive(Debug)]
pub struct Container {
    objects: Arc<dyn ObjectStore>,
    run: Duration,
    running: AtomicU64,
    most: AtomicU64,
    runs: AtomicU64,
}

/// Both addresses have two names; callers may give either, or both.
#[derive(Debug, Deserialize)]
struct Asked {
    s3_input_uri: Option<Uri>,
    input_uri: Option<Uri>,
    s3_output_uri: Option<Uri>,
    output_uri: Option<Uri>,
    mode: Option<String>,
}

impl Container {
    /// A container that takes at least `run` for each request.
    pub fn new(objects: Arc<dyn ObjectStore>, run: Duration) -> Self {
        let zero = AtomicU64::default;
        Self { objects, run, running: zero(), most: zero(), runs: zero() }
    }

    /// The service: `/ping`, `/invocations`, and `/stats` with the most requests at once.
    pub fn router(self) -> Router {
        Router::new()
            .route("/ping", get(|| async { Json(json!({ "status": "ok" })) }))
            .route("/invocations", post(invocations))
            .route("/stats", get(stats))
            .with_state(Arc::new(self))
    }

    async fn copy(&self, body: &[u8]) -> Result<(), (StatusCode, String)> {
        let bad = |error: String| (StatusCode::BAD_REQUEST, error);
        let asked: Asked = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
        let mode = asked.mode.as_deref().unwrap_or(Mode::Anaglyph.as_str());
        mode.parse::<Mode>().map_err(|error| bad(error.to_string()))?;
        let missing = |name: &str| bad(format!("{name} is missing"));
        let input = asked.s3_input_uri.or(asked.input_uri).ok_or(missing("input_uri"))?;
        let output = asked.s3_output_uri.or(asked.output_uri).ok_or(missing("output_uri"))?;
        tokio::time::sleep(self.run).await;
        let failed = |error: parallax_ports::Error| {
            let status = match error.kind() {
                Kind::NotFound | Kind::Rejected => StatusCode::BAD_REQUEST,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, error.chain())
        };
        let bytes = self.objects.read(&input, LARGEST).await.map_err(failed)?;
        if bytes.starts_with(UNREADABLE) {
            return Err(bad(format!("{input}: not a video")));
        }
        self.objects.write(&output, &bytes).await.map_err(failed)
    }
}

async fn invocations(State(container): State<Arc<Container>>, body: Bytes) -> Response {
    let now = container.running.fetch_add(1, Ordering::SeqCst) + 1;
    container.most.fetch_max(now, Ordering::SeqCst);
    container.runs.fetch_add(1, Ordering::SeqCst);
    let copied = container.copy(&body).await;
    container.running.fetch_sub(1, Ordering::SeqCst);
    match copied {
        Ok(()) => Json(json!({ "status": "ok" })).into_response(),
        Err((status, error)) => (status, Json(json!({ "error": error }))).into_response(),
    }
}

async fn stats(State(container): State<Arc<Container>>) -> Response {
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    Json(json!({ "runs": count(&container.runs), "max_running": count(&container.most) }))
        .into_response()
}
