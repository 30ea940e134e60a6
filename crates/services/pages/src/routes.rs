//! What can be asked for.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use parallax_web::{Refusal, guard};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use crate::job::Job;
use crate::look::Look;
use crate::names::is_id;
use crate::pages::Pages;
use crate::queue::Error as QueueError;
use crate::viewer::Moment;
use crate::{assets, events, ranges, views};

impl Pages {
    /// What answers requests.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/", get(index))
            .route("/watch/{id}", get(watch))
            .route("/assets/{name}", get(asset))
            .route("/api/films", post(add_film))
            .route("/api/films/{id}", axum::routing::delete(remove_film))
            .route("/api/films/{id}/preview", get(preview))
            .route("/api/jobs", get(jobs).post(add_job))
            .route("/api/jobs/{id}", axum::routing::delete(remove_job))
            .route("/api/jobs/{id}/stop", post(stop_job))
            .route("/api/jobs/{id}/resume", post(resume_job))
            .route("/api/jobs/{id}/result", get(result))
            .route("/api/events", get(stream))
            .fallback(async || Refusal::nothing())
            .layer(from_fn_with_state(self.clone(), admit))
            .with_state(self.clone())
    }
}

/// Nothing is looked at, not even the body, before it is known who asks and from where.
async fn admit(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    let (method, uri, asked) = (request.method(), request.uri(), request.headers());
    let mut response = match admitted(&pages, method, uri, asked).await {
        Ok(None) => next.run(request).await,
        Ok(Some(response)) => response,
        Err(refusal) if request.uri().path().starts_with("/api/") => refusal.into_response(),
        Err(refusal) => (refusal.status, Html(views::refused(&refusal.why))).into_response(),
    };
    guard(response.headers_mut());
    response
}

/// An answer that needs no page, or none where the request may go on.
async fn admitted(
    pages: &Pages,
    method: &Method,
    uri: &Uri,
    asked: &HeaderMap,
) -> Result<Option<Response>, Refusal> {
    pages.access.check_source(method, asked)?;
    if uri.path().starts_with("/assets/") {
        return Ok(None);
    }
    if uri.path() == "/"
        && let Some(token) = parameter(uri, "token")
    {
        let cookie = pages.access.enter(&token, asked).await?;
        let fields = [(LOCATION, "/".to_owned()), (SET_COOKIE, cookie)];
        return Ok(Some((StatusCode::SEE_OTHER, fields).into_response()));
    }
    if pages.access.knows(asked) {
        return Ok(None);
    }
    let why = "Open the link that the terminal of parallax serve shows: it lets this browser in.";
    Err(Refusal::new(StatusCode::UNAUTHORIZED, why))
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

async fn index(State(pages): State<Pages>) -> Html<String> {
    let largest = pages.uploads.largest;
    Html(views::index(&pages.engines, &pages.films.all(), &pages.queue.all(), largest))
}

async fn watch(
    State(pages): State<Pages>,
    Path(id): Path<String>,
) -> Result<Html<String>, Refusal> {
    let job = pages.queue.get(&id).ok_or_else(Refusal::nothing)?;
    let made = job.result.as_ref().ok_or_else(Refusal::nothing)?;
    Ok(Html(views::watch(&job, made)))
}

async fn asset(Path(name): Path<String>) -> Result<Response, Refusal> {
    assets::asset(&name)
}

async fn add_film(
    State(pages): State<Pages>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let name = parameter(&uri, "name").unwrap_or_default();
    let film = pages.uploads.receive(&name, &headers, body).await?;
    Ok((StatusCode::CREATED, Json(views::film_view(&film))).into_response())
}

async fn remove_film(
    State(pages): State<Pages>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    pages.films.get(&id).ok_or_else(Refusal::nothing)?;
    let needed = |job: &Job| job.film == id && job.state.is_active();
    if pages.queue.all().iter().any(needed) {
        return Err(Refusal::conflict("a conversion still needs it"));
    }
    pages.films.remove(&id)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A frame as a conversion would give it: `engine`, `disparity_percent`, `convergence`, `layout`, and `at`, from
/// 0 at the film's beginning to 1. Ends with whoever asked.
async fn preview(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let film = pages.films.get(&id).ok_or_else(Refusal::nothing)?;
    let said = |name| parameter(&uri, name).unwrap_or_default();
    let number = |name| said(name).parse::<f32>().unwrap_or(f32::NAN);
    let layout = said("layout");
    let layout =
        layout.parse().map_err(|_| Refusal::unusable("layout: there is no such layout"))?;
    let look = Look {
        engine: said("engine"),
        disparity_percent: number("disparity_percent"),
        convergence: number("convergence"),
        layout,
    };
    look.check(&pages.engines)?;
    let at = number("at");
    if !(0.0..=1.0).contains(&at) {
        return Err(Refusal::unusable("at: allowed are 0 to 1"));
    }
    let path = pages.films.path(&film);
    let command = look.command_line(std::path::Path::new(&film.name));
    let command = utf8_percent_encode(&command, NON_ALPHANUMERIC).to_string();
    let (viewer, cancel) = (pages.viewer.clone(), CancellationToken::new());
    let _left = cancel.clone().drop_guard();
    let turn = pages.drawing.clone().acquire_owned().await;
    let drawn = tokio::task::spawn_blocking(move || {
        // Held until it is drawn, whether somebody still waits for it or not.
        let _turn = turn;
        viewer.draw(&path, Moment(f64::from(at)), &look, &cancel)
    });
    let drawn = drawn.await.map_err(|error| Refusal::unusable(error.to_string()))?;
    let drawn = drawn.map_err(|error| Refusal::unusable(error.to_string()))?;
    let (near, far) = drawn.parallax_percent;
    let mut response = drawn.png.into_response();
    for (name, value) in [
        (CONTENT_TYPE.as_str(), "image/png".to_owned()),
        (CACHE_CONTROL.as_str(), "private, max-age=600".to_owned()),
        ("parallax-near-percent", format!("{near:.3}")),
        ("parallax-far-percent", format!("{far:.3}")),
        ("parallax-command", command),
    ] {
        if let (Ok(name), Ok(value)) =
            (axum::http::HeaderName::try_from(name), axum::http::HeaderValue::try_from(value))
        {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

async fn jobs(State(pages): State<Pages>) -> Response {
    let jobs: Vec<_> = pages.queue.all().iter().map(views::job_view).collect();
    Json(json!({ "jobs": jobs })).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    film: String,
    #[serde(rename = "look")]
    chosen: Look,
}

async fn add_job(State(pages): State<Pages>, body: String) -> Result<Response, Refusal> {
    let wanted: Wanted =
        serde_json::from_str(&body).map_err(|error| Refusal::unusable(error.to_string()))?;
    wanted.chosen.check(&pages.engines)?;
    let film = pages.films.get(&wanted.film).ok_or_else(Refusal::nothing)?;
    let job = pages.queue.add(Job::of(&film, wanted.chosen)).map_err(refusal)?;
    Ok((StatusCode::CREATED, Json(views::job_view(&job))).into_response())
}

async fn stop_job(
    State(pages): State<Pages>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    pages.runner.stop(&id).map_err(refusal)?;
    Ok(StatusCode::ACCEPTED)
}

async fn resume_job(
    State(pages): State<Pages>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    pages.queue.resume(&id).map_err(refusal)?;
    Ok(StatusCode::ACCEPTED)
}

async fn remove_job(
    State(pages): State<Pages>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let folder = pages.folder.result(&id);
    let clear = || match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    if !is_id(&id) {
        return Err(Refusal::nothing());
    }
    pages.queue.remove(&id, clear).map_err(refusal)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn result(
    State(pages): State<Pages>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let made = pages.queue.get(&id).and_then(|job| job.result).ok_or_else(Refusal::nothing)?;
    let path = pages.folder.result(&id).join(&made.name);
    ranges::file(&path, &headers, parameter(&uri, "save").is_some()).await
}

async fn stream(State(pages): State<Pages>, headers: HeaderMap) -> Result<Response, Refusal> {
    events::stream(pages.queue.clone(), &headers, &pages.readers, pages.stop.clone())
}

fn refusal(error: QueueError) -> Refusal {
    match error {
        QueueError::Unknown => Refusal::nothing(),
        QueueError::State(why) => Refusal::conflict(why),
        QueueError::Folder(error) => Refusal::broken(&error),
    }
}
