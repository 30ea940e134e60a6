//! The envelope of earlier services: `{"input": {"operation", "data": {..}}}` in, `{"output": ..}` out, on one page.
//!
//! A service says under which names its operations were known. Requests are answered when they are done; who does
//! not want to wait submits a job and asks for it. Whatever else a request may be, it is bounded, admitted and run
//! as every other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures::FutureExt;
use parallax_listener::Peer;
use parallax_ports::Ids;
use serde_json::{Map, Value, json};

use super::body::{self, Bodies};
use super::client::client;
use super::{Limits, Tokens};
use crate::{Failure, FailureKind, Handle, Progress, Request, Service};

/// Jobs that are kept, with their answers.
const KEPT: usize = 256;
/// Bytes of all answers that are kept; the newest is kept whatever it has.
const KEPT_BYTES: usize = 256 << 20;
/// Digits of a job's name, as clients know them.
const DIGITS: usize = 8;

/// How an earlier service was asked.
#[derive(Debug, Clone, Copy)]
pub struct Envelope {
    /// What it calls itself.
    pub service: &'static str,
    /// What a request does that names no operation.
    pub default: &'static str,
    /// Its operations, and what they are called here.
    pub names: &'static [(&'static str, &'static str)],
    /// Those that have a page of their own, which takes the bare `data`.
    pub pages: &'static [&'static str],
    /// What is asked for with GET.
    pub reads: &'static [Read],
}

/// A page that is asked for with GET and answered with the bare output.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    /// Its path, with `{id}` where it has a parameter.
    pub path: &'static str,
    /// The earlier service's operation.
    pub operation: &'static str,
    /// The field that `{id}` is.
    pub parameter: Option<&'static str>,
    /// Fields that are numbers; others are text, whatever they look like.
    pub numbers: &'static [&'static str],
}

impl Envelope {
    /// The operation and its request of an `input`: `{"operation", "data"}`.
    ///
    /// # Errors
    /// `Invalid`, in the earlier service's words where it had some.
    pub fn open(&self, input: Value) -> Result<(String, Value), Failure> {
        let invalid = |message: String| Failure::new(FailureKind::Invalid, message);
        let Value::Object(mut fields) = input else {
            return Err(invalid("input: expected an object".to_owned()));
        };
        let asked = match fields.remove("operation") {
            None | Some(Value::Null) => self.default.to_owned(),
            Some(Value::String(name)) => name,
            Some(_) => return Err(Failure::field("operation", "expected a string")),
        };
        let data = match fields.remove("data") {
            None | Some(Value::Null) => Value::Object(Map::new()),
            Some(data) => data,
        };
        let known = self.names.iter().find(|(name, _)| *name == asked);
        let Some((_, name)) = known else {
            let shown: String = asked.chars().filter(|c| !c.is_control()).take(64).collect();
            return Err(invalid(format!("Unknown operation: {shown}")));
        };
        Ok(((*name).to_owned(), data))
    }
}

/// A submitted job.
#[derive(Debug)]
struct Job {
    id: String,
    handle: Handle,
}

#[derive(Debug, Clone)]
struct Front {
    service: Arc<Service>,
    tokens: Tokens,
    bodies: Arc<Bodies>,
    envelope: Envelope,
    ids: Arc<Ids>,
    /// Oldest first.
    jobs: Arc<Mutex<VecDeque<Arc<Job>>>>,
}

/// `GET /` and `POST /`, a page for each operation that has one, and jobs.
pub fn routes(service: Arc<Service>, tokens: Tokens, limits: Limits, envelope: Envelope) -> Router {
    let bodies = Arc::new(Bodies::new(limits, &service));
    let (ids, jobs) = (Arc::new(Ids::random()), Arc::default());
    let front = Front { service, tokens, bodies, envelope, ids, jobs };
    let mut router = Router::new()
        .route("/", get(status).post(whole))
        .route("/jobs/submit", post(submit))
        .route("/jobs/{id}", get(job));
    for page in envelope.pages {
        let bare = move |State(front), peer, headers, body| bare(front, page, peer, headers, body);
        router = router.route(&format!("/{page}"), post(bare));
    }
    for page in envelope.reads {
        let id = move |State(front), path: Option<Path<String>>, uri, peer| {
            read(front, page, (path, uri), peer)
        };
        router = router.route(page.path, get(id));
    }
    router.layer(from_fn_with_state(front.clone(), admit)).with_state(front)
}

/// Nothing is looked at, not even the body, before the token is.
async fn admit(
    State(front): State<Front>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    match front.tokens.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => refusal(&failure),
    }
}

async fn status(State(front): State<Front>) -> Response {
    Json(json!({ "status": "running", "service": front.envelope.service })).into_response()
}

async fn whole(
    State(front): State<Front>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(async { front.begin(peer, &headers, body).await?.outcome().await }.await)
}

async fn bare(
    front: Front,
    page: &'static str,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let run = async {
        let body::Json { value, place: _place } = front.bodies.json(&headers, body).await?;
        let input = json!({ "operation": page, "data": value });
        front.start(input, peer).await?.outcome().await
    };
    answer(run.await)
}

async fn read(
    front: Front,
    page: &'static Read,
    (path, uri): (Option<Path<String>>, Uri),
    peer: Option<Extension<Peer>>,
) -> Response {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let value = |name: &str, text: &str| match text.parse::<u64>() {
        Ok(number) if page.numbers.contains(&name) => json!(number),
        _ => json!(text),
    };
    let mut data: Map<String, Value> =
        pairs.map(|(name, text)| (name.to_string(), value(&name, &text))).collect();
    if let (Some(field), Some(Path(id))) = (page.parameter, path) {
        data.insert(field.to_owned(), json!(id));
    }
    let input = json!({ "operation": page.operation, "data": data });
    let run = async { front.start(input, peer).await?.outcome().await };
    match run.await {
        Ok(output) => Json(output).into_response(),
        Err(failure) => refusal(&failure),
    }
}

async fn submit(
    State(front): State<Front>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match front.begin(peer, &headers, body).await {
        Ok(handle) => {
            let id = front.keep(handle);
            Json(json!({ "job_id": id, "status": "queued" })).into_response()
        }
        Err(failure) => refusal(&failure),
    }
}

async fn job(State(front): State<Front>, Path(id): Path<String>) -> Response {
    let jobs = front.jobs.lock().unwrap_or_else(PoisonError::into_inner);
    let job = jobs.iter().find(|job| job.id == id).cloned();
    drop(jobs);
    let Some(job) = job else {
        let failure = Failure::new(FailureKind::NotFound, "Job not found");
        return refusal(&failure);
    };
    let id = &job.id;
    Json(match job.handle.outcome().now_or_never() {
        Some(Ok(result)) => json!({ "job_id": id, "status": "completed", "result": result }),
        Some(Err(failure)) => {
            json!({ "job_id": id, "status": "failed", "error": failure.message })
        }
        None if job.handle.progress().borrow().stage == Progress::WAITING => {
            json!({ "job_id": id, "status": "queued" })
        }
        None => json!({ "job_id": id, "status": "processing" }),
    })
    .into_response()
}

impl Front {
    /// Begins what a whole envelope asks for.
    async fn begin(
        &self,
        peer: Option<Extension<Peer>>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Handle, Failure> {
        let body::Json { mut value, place: _place } = self.bodies.json(headers, body).await?;
        let input = value.as_object_mut().and_then(|fields| fields.remove("input"));
        let input = input.ok_or_else(|| Failure::field("input", "expected an object"))?;
        self.start(input, peer).await
    }

    async fn start(&self, input: Value, peer: Option<Extension<Peer>>) -> Result<Handle, Failure> {
        let (operation, input) = self.envelope.open(input)?;
        let request = Request { operation, input, id: None, client: client(peer) };
        self.service.submit(request).await
    }

    /// Keeps a job under a name as short as clients know it, in place of the oldest that have ended where they are many
    /// or large. Of those that run none is given up: the server's places bound them.
    fn keep(&self, handle: Handle) -> String {
        let id: String = self.ids.next().chars().filter(char::is_ascii_hexdigit).collect();
        let id = id.chars().rev().take(DIGITS).collect::<String>().to_ascii_lowercase();
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.push_back(Arc::new(Job { id: id.clone(), handle }));
        let (mut count, mut bytes) = (0, 0);
        let mut keeps = |job: &Arc<Job>| {
            let Some(weight) = job.handle.weight(KEPT_BYTES) else { return true };
            count += 1;
            bytes += weight;
            count == 1 || (count <= KEPT && bytes <= KEPT_BYTES)
        };
        // The newest first, so that those that are given up are the oldest.
        let mut kept: VecDeque<Arc<Job>> = VecDeque::new();
        for job in jobs.drain(..).rev() {
            if keeps(&job) {
                kept.push_front(job);
            }
        }
        *jobs = kept;
        id
    }
}

fn answer(outcome: Result<Value, Failure>) -> Response {
    match outcome {
        Ok(output) => Json(json!({ "output": output })).into_response(),
        Err(failure) => refusal(&failure),
    }
}

/// 400 for whatever is wrong with a request, as clients of the envelope know it; other failures keep their status.
fn refusal(failure: &Failure) -> Response {
    let own = StatusCode::from_u16(failure.kind.status());
    let status = own.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let detail = json!({ "error": failure.message, "kind": failure.kind, "field": failure.field });
    let mut response = super::answer::refusal(failure, None);
    let body = Json(json!({ "detail": detail })).into_response();
    let (parts, body) = body.into_parts();
    *response.body_mut() = body;
    response.headers_mut().extend(parts.headers);
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: Envelope = Envelope {
        service: "S",
        default: "health",
        names: &[("health", "own_health"), ("look", "look")],
        pages: &[],
        reads: &[],
    };

    #[test]
    fn an_envelope_names_its_operation_or_means_the_default() {
        let open = |input: Value| ENVELOPE.open(input);
        assert_eq!(open(json!({})).unwrap(), ("own_health".to_owned(), json!({})));
        let whole = json!({ "operation": "look", "data": { "a": 1 } });
        assert_eq!(open(whole).unwrap(), ("look".to_owned(), json!({ "a": 1 })));
        let unknown = open(json!({ "operation": "own_health\n" })).unwrap_err();
        assert_eq!(unknown.message, "Unknown operation: own_health");
        for wrong in [json!([]), json!({ "operation": 7 })] {
            assert_eq!(open(wrong).unwrap_err().kind, FailureKind::Invalid);
        }
    }
}
