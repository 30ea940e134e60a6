//! What can be asked for.
//!
//! - `/…` is a page, `/api/…` the same as JSON, `/events/…` the same whenever it changes.
//! - `/do/…` says what an act would do; posting to it does it. `/api/do/…` is the same for programs.
//! - `/enter` and `/leave` exchange the token for a session, and end that.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_LENGTH, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use parallax_web::{Refusal, asset, guard};
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded;

use crate::access::Level;
use crate::acts::Done;
use crate::assets;
use crate::console::Console;
use crate::deed::{Deed, Manner};
use crate::topic::Topic;
use crate::views::{self, Visitor};

/// The largest body that is taken, in bytes: a form's.
const LARGEST_BODY: usize = 16 << 10;
/// For so long it may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);
/// The longest reason for an act, in characters.
const LONGEST_REASON: usize = 500;

impl Console {
    /// What answers requests.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/", get(page))
            .route("/{*path}", get(page))
            .route("/api/", get(data))
            .route("/api/{*path}", get(data))
            .route("/events/", get(follow))
            .route("/events/{*path}", get(follow))
            .route("/do/{*deed}", get(confirm).post(act))
            .route("/api/do/{*deed}", post(act_for_programs))
            .route("/enter", get(enter).post(entered))
            .route("/leave", post(leave))
            .route("/assets/{name}", get(style))
            .fallback(async || Refusal::nothing())
            .layer(from_fn_with_state(self.clone(), admit))
            .with_state(self.clone())
    }

    fn visitor(&self, level: &Level) -> Visitor {
        match level {
            Level::Act(who) => Visitor::Operator(who.clone()),
            _ if self.source.can_act() => Visitor::Stranger,
            _ => Visitor::Reader,
        }
    }
}

/// Nothing is looked at, not even the body, before it is known who asks and from where.
async fn admit(State(console): State<Console>, request: Request, next: Next) -> Response {
    let is_data = ["/api/", "/events/"].iter().any(|p| request.uri().path().starts_with(p));
    let mut response = match admitted(&console, request, next).await {
        Ok(response) => response,
        Err(refusal) if is_data => refusal.into_response(),
        Err(refusal) => {
            let Refusal { status, why } = &refusal;
            let page = views::refused(&console.source.settings, why);
            let mut response = (*status, Html(page)).into_response();
            // With whatever else a refusal says to the connection.
            let said = refusal.clone().into_response().headers().clone();
            response.headers_mut().extend(
                said.into_iter()
                    .filter_map(|(name, value)| Some((name?, value)))
                    .filter(|(name, _)| *name == axum::http::header::CONNECTION),
            );
            response
        }
    };
    guard(response.headers_mut());
    response
}

async fn admitted(
    console: &Console,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let level = console.access.level(request.method(), request.headers()).await?;
    let path = request.uri().path();
    let is_open = path == "/enter" || path.starts_with("/assets/");
    if level == Level::Nothing && !is_open {
        if path.starts_with("/api/") || path.starts_with("/events/") {
            let why = "only who has the token may read here: send it as a bearer token, or enter by a page";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, why));
        }
        return Ok(to_enter(request.uri().path_and_query().map_or("/", |path| path.as_str())));
    }
    request.extensions_mut().insert(level);
    let (parts, body) = request.into_parts();
    let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced
        .is_some_and(|length| length.parse().is_ok_and(|length: u64| length > LARGEST_BODY as u64))
    {
        return Err(too_large());
    }
    let body = received(body).await?;
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "nothing is done by this method here",
        ));
    }
    Ok(response)
}

/// The whole body, within bounds.
async fn received(body: Body) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(BODY_TIME, to_bytes(body, LARGEST_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

fn too_large() -> Refusal {
    let why = format!("the body is larger than {LARGEST_BODY} bytes, or broke off");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why)
}

fn to_enter(next: &str) -> Response {
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    (StatusCode::SEE_OTHER, [(LOCATION, format!("/enter?next={next}"))]).into_response()
}

fn topic(uri: &Uri, prefix: &str) -> Result<Topic, Refusal> {
    let path = uri.path().strip_prefix(prefix).unwrap_or_default();
    Topic::read(path, uri.query().unwrap_or_default()).ok_or_else(Refusal::nothing)
}

async fn page(
    State(console): State<Console>,
    Extension(level): Extension<Level>,
    uri: Uri,
) -> Result<Html<String>, Response> {
    let settings = &console.source.settings;
    let shown = async {
        let topic = topic(&uri, "/")?;
        let view = console.hub.look(&topic).await?;
        let visitor = console.visitor(&level);
        Ok(Html(views::whole(&view, &topic, settings, &visitor)))
    };
    shown.await.map_err(|refusal: Refusal| {
        (refusal.status, Html(views::refused(settings, &refusal.why))).into_response()
    })
}

async fn data(State(console): State<Console>, uri: Uri) -> Result<Response, Refusal> {
    let view = console.hub.look(&topic(&uri, "/api/")?).await?;
    Ok(Json(&view.data).into_response())
}

async fn follow(
    State(console): State<Console>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    console.streams.open(topic(&uri, "/events/")?, &headers)
}

async fn style(Path(name): Path<String>) -> Result<Response, Refusal> {
    asset(&assets::ALL, &name)
}

/// The fields of a form, or of a query.
fn field(text: &[u8], name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(text);
    pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

fn manner(text: &[u8]) -> Manner {
    Manner {
        force: field(text, "force").is_some_and(|value| value == "yes"),
        because: field(text, "because").and_then(|text| reason(&text)),
    }
}

/// One line of bounded length.
fn reason(text: &str) -> Option<String> {
    let text = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let text: String = text.take(LONGEST_REASON).collect();
    (!text.is_empty()).then_some(text)
}

/// What an act would do, and a button; or first the token.
async fn confirm(
    State(console): State<Console>,
    Extension(level): Extension<Level>,
    Path(deed): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let deed = Deed::read(&deed).ok_or_else(Refusal::nothing)?;
    let visitor = console.visitor(&level);
    let Level::Act(_) = level else {
        return Ok(to_enter(&format!("/do/{}", deed.path())));
    };
    let manner = manner(uri.query().unwrap_or_default().as_bytes());
    let plan = console.acting.clone().plan(deed.clone(), manner.clone()).await;
    Ok(Html(views::confirm(&console.source.settings, &visitor, &deed, &manner, &plan))
        .into_response())
}

async fn act(
    State(console): State<Console>,
    Extension(level): Extension<Level>,
    Path(deed): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let deed = Deed::read(&deed).ok_or_else(Refusal::nothing)?;
    let visitor = console.visitor(&level);
    let done = by(&console, level, deed.clone(), manner(&body)).await?;
    Ok(Html(views::done(&console.source.settings, &visitor, &deed, &done)).into_response())
}

/// What a program says of an act.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    /// Say what would be done.
    dry_run: bool,
    /// Also while the job is not over.
    force: bool,
    /// Why.
    because: Option<String>,
}

async fn act_for_programs(
    State(console): State<Console>,
    Extension(level): Extension<Level>,
    Path(deed): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let deed = Deed::read(&deed).ok_or_else(Refusal::nothing)?;
    let asked: Asked = match &*body {
        b"" => Asked::default(),
        body => serde_json::from_slice(body).map_err(|e| Refusal::unusable(e.to_string()))?,
    };
    let manner = Manner { force: asked.force, because: asked.because.as_deref().and_then(reason) };
    let done = match asked.dry_run {
        true if matches!(level, Level::Act(_)) => console.acting.clone().plan(deed, manner).await,
        _ => by(&console, level, deed, manner).await?,
    };
    let Done { lines, error, number } = done;
    Ok(Json(json!({ "steps": lines, "error": error, "act": number })).into_response())
}

async fn by(console: &Console, level: Level, deed: Deed, manner: Manner) -> Result<Done, Refusal> {
    let Level::Act(who) = level else {
        let why = match console.source.can_act() {
            true => "only who has the token may act",
            false => "this console is read-only: WORKER_CONSOLE_TOKEN is not set",
        };
        return Err(Refusal::new(StatusCode::FORBIDDEN, why));
    };
    console.acting.clone().act(deed, manner, who).await
}

/// A place of this server, and nobody else's.
fn own(next: Option<String>) -> String {
    let is_own = |next: &String| {
        next.starts_with('/')
            && !next.starts_with("//")
            && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    };
    next.filter(is_own).unwrap_or_else(|| "/".to_owned())
}

async fn enter(State(console): State<Console>, uri: Uri) -> Html<String> {
    let next = own(field(uri.query().unwrap_or_default().as_bytes(), "next"));
    Html(views::enter(&console.source.settings, &next, None))
}

async fn entered(State(console): State<Console>, headers: HeaderMap, body: Bytes) -> Response {
    let next = own(field(&body, "next"));
    let token = field(&body, "token").unwrap_or_default();
    let name = field(&body, "name").unwrap_or_default();
    match console.access.enter(&token, &name, &headers).await {
        Ok(cookie) => {
            (StatusCode::SEE_OTHER, [(LOCATION, next), (SET_COOKIE, cookie)]).into_response()
        }
        Err(refusal) => {
            let page = views::enter(&console.source.settings, &next, Some(&refusal.why));
            (refusal.status, Html(page)).into_response()
        }
    }
}

async fn leave(State(console): State<Console>, headers: HeaderMap) -> Response {
    let cookie = console.access.leave(&headers);
    (StatusCode::SEE_OTHER, [(LOCATION, "/".to_owned()), (SET_COOKIE, cookie)]).into_response()
}
