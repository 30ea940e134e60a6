//! The platform's addresses and what their answers mean.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;
use tracing::{error, warn};

use super::options::{Options, Timing};
use crate::{Job, Settings, SettingsError, Template};

/// The longest list of jobs to stop that is read, in bytes.
const LONGEST_STOPS: usize = 1 << 20;
/// The most jobs beyond those asked for that wait for their turn.
const MOST_WAITING: usize = 100;
/// The most jobs beyond these that are told so.
const MOST_REFUSED: usize = 100;
const CONNECT: Duration = Duration::from_secs(10);

/// The platform, seen from a worker.
pub(super) struct Platform {
    http: Client,
    authorization: HeaderValue,
    take: Url,
    take_batch: Url,
    stops: Option<Url>,
    output: Template,
    stream: Option<Template>,
    timing: Timing,
    longest_answer: usize,
}

/// What a poll for jobs brought.
#[derive(Debug)]
pub(super) enum Taken {
    Jobs {
        taken: Vec<Job>,
        /// The ids of jobs beyond those that can wait, not all if there are very many.
        refused: Vec<String>,
    },
    Nothing,
    Throttled,
    Failed(String),
}

/// What a poll for jobs to stop brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stops {
    Jobs(Vec<String>),
    Throttled,
    Failed(String),
}

/// Where a body is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Post {
    /// Results and updates; `streamed` says that parts went before.
    Output { streamed: bool },
    /// A part of a streamed result.
    Part,
}

impl Platform {
    pub(super) fn new(settings: &Settings, options: &Options) -> Result<Self, SettingsError> {
        let take = settings.take.url(&settings.worker_id)?;
        if !take.path().contains("/job-take/") {
            warn!("RUNPOD_WEBHOOK_GET_JOB has no /job-take/: jobs cannot be stopped one by one");
        }
        if take.scheme() == "http" && !is_loopback(&take) {
            warn!("RUNPOD_WEBHOOK_GET_JOB is http: the key is sent in the clear");
        }
        Ok(Self {
            http: client()?,
            authorization: crate::settings::authorization(&settings.key)?,
            take_batch: beside(&take, "/job-take-batch/").unwrap_or_else(|| take.clone()),
            stops: beside(&take, "/job-stop/"),
            take,
            output: settings.output.clone(),
            stream: settings.stream.clone(),
            timing: options.timing.clone(),
            longest_answer: options.longest_answer,
        })
    }

    /// Whether parts of a stream can be posted at all.
    pub(super) fn streams(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether jobs can be stopped one by one.
    pub(super) fn stops_jobs(&self) -> bool {
        self.stops.is_some()
    }

    /// Asks for up to `slots` jobs and waits as long as the platform likes to, within bounds.
    pub(super) async fn take(&self, slots: usize, busy: bool) -> Taken {
        let mut url = if slots > 1 { self.take_batch.clone() } else { self.take.clone() };
        if slots > 1 {
            url.query_pairs_mut().append_pair("batch_size", &slots.to_string());
        }
        url.query_pairs_mut().append_pair("job_in_progress", if busy { "1" } else { "0" });
        match tokio::time::timeout(self.timing.poll, self.ask_for_jobs(url, slots)).await {
            Ok(taken) => taken,
            Err(_) => Taken::Nothing,
        }
    }

    async fn ask_for_jobs(&self, url: Url, slots: usize) -> Taken {
        let response = match self.get(url).await {
            Ok(response) => response,
            Err(why) => return Taken::Failed(why),
        };
        match response.status() {
            // 400 is said while a worker warms up.
            StatusCode::NO_CONTENT | StatusCode::BAD_REQUEST => return Taken::Nothing,
            StatusCode::TOO_MANY_REQUESTS => return Taken::Throttled,
            status if !status.is_success() => return Taken::Failed(format!("answered {status}")),
            _ => {}
        }
        match json(response, self.longest_answer).await {
            Ok(Some(one @ Value::Object(_))) if one.get("input").is_none() => {
                Taken::Failed("a job without input".to_owned())
            }
            Ok(Some(one @ Value::Object(_))) => jobs(vec![one], slots),
            Ok(Some(Value::Array(batch))) => jobs(batch, slots),
            Ok(Some(_)) => Taken::Failed("neither a job nor a list of them".to_owned()),
            Ok(None) => Taken::Nothing,
            Err(why) => Taken::Failed(why),
        }
    }

    /// Asks which jobs are to stop.
    pub(super) async fn stops(&self) -> Stops {
        let Some(url) = self.stops.clone() else { return Stops::Jobs(Vec::new()) };
        match tokio::time::timeout(self.timing.poll, self.ask_for_stops(url)).await {
            Ok(stops) => stops,
            Err(_) => Stops::Jobs(Vec::new()),
        }
    }

    async fn ask_for_stops(&self, url: Url) -> Stops {
        let response = match self.get(url).await {
            Ok(response) => response,
            Err(why) => return Stops::Failed(why),
        };
        match response.status() {
            StatusCode::NO_CONTENT => return Stops::Jobs(Vec::new()),
            StatusCode::TOO_MANY_REQUESTS => return Stops::Throttled,
            status if !status.is_success() => return Stops::Failed(format!("answered {status}")),
            _ => {}
        }
        match json(response, LONGEST_STOPS).await {
            Ok(Some(answer)) => {
                let ids = answer.get("jobsToStop").and_then(Value::as_array);
                let ids = ids.into_iter().flatten().filter_map(Value::as_str);
                Stops::Jobs(ids.map(str::to_owned).collect())
            }
            Ok(None) => Stops::Jobs(Vec::new()),
            Err(why) => Stops::Failed(why),
        }
    }

    /// Posts a body until it is taken, refused for good, or the attempts are used up; whether it
    /// was taken. Failures are logged.
    pub(super) async fn post(&self, post: Post, job: &str, body: String) -> bool {
        let (template, streamed) = match post {
            Post::Output { streamed } => (Some(&self.output), streamed),
            Post::Part => (self.stream.as_ref(), false),
        };
        let Some(Ok(mut url)) = template.map(|template| template.url(job)) else { return false };
        let streamed = if streamed { "true" } else { "false" };
        url.query_pairs_mut().append_pair("isStream", streamed);
        let mut waits = self.timing.retries.iter();
        loop {
            let why = match self.post_once(url.clone(), job, body.clone()).await {
                Ok(()) => return true,
                Err(why) => why,
            };
            match waits.next().filter(|_| why.passing) {
                Some(wait) => {
                    warn!(request_id = job, ?post, error = why.text, "post failed; repeated");
                    tokio::time::sleep(*wait).await;
                }
                None => {
                    error!(request_id = job, ?post, error = why.text, "post failed; given up");
                    return false;
                }
            }
        }
    }

    async fn post_once(&self, url: Url, job: &str, body: String) -> Result<(), Refusal> {
        let request = self
            .http
            .post(url)
            .timeout(self.timing.post)
            .header(AUTHORIZATION, self.authorization.clone())
            // It is JSON all the same.
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("charset", "utf-8")
            .header("X-Request-ID", job)
            .body(body);
        let response = request
            .send()
            .await
            .map_err(|error| Refusal { text: chain(&error.without_url()), passing: true })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let passing = status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        Err(Refusal { text: format!("answered {status}"), passing })
    }

    async fn get(&self, url: Url) -> Result<Response, String> {
        let request = self.http.get(url).header(AUTHORIZATION, self.authorization.clone());
        request.send().await.map_err(|error| chain(&error.without_url()))
    }
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform").field("output", &self.output).finish_non_exhaustive()
    }
}

/// Why a post was not taken.
struct Refusal {
    text: String,
    /// Whether the same may be taken later.
    passing: bool,
}

/// A client that follows no redirect: the key goes to the platform only.
pub(super) fn client() -> Result<Client, SettingsError> {
    let failed = |error: &dyn std::error::Error| SettingsError::new(format!("TLS: {error}"));
    parallax_http_client::builder()
        .map_err(|error| failed(&error))?
        .no_proxy()
        .connect_timeout(CONNECT)
        .tcp_keepalive(Duration::from_secs(30))
        .user_agent(concat!("parallax-runpod/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| failed(&error))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The address beside the one for jobs, with the same query.
fn beside(take: &Url, place: &str) -> Option<Url> {
    let path = take.path().contains("/job-take/");
    let path = path.then(|| take.path().replace("/job-take/", place))?;
    let mut url = take.clone();
    url.set_path(&path);
    Some(url)
}

/// The jobs that make sense: those that were asked for and those that can wait; the others are refused.
fn jobs(values: Vec<Value>, slots: usize) -> Taken {
    let (sent, room) = (values.len(), slots + MOST_WAITING);
    let mut taken = Vec::new();
    for value in values {
        match Job::read(value) {
            Ok(job) => taken.push(job),
            Err(why) => error!(why, "a job that makes no sense is left out"),
        }
        if taken.len() == room + MOST_REFUSED {
            break;
        }
    }
    if taken.is_empty() {
        return Taken::Nothing;
    }
    if taken.len() > slots {
        error!(asked = slots, sent, "the platform sent more jobs than were asked for");
    }
    let refused = taken.split_off(room.min(taken.len()));
    Taken::Jobs { taken, refused: refused.into_iter().map(|job| job.id).collect() }
}

/// A JSON body within `limit` bytes; `None` when it is empty or of another type.
async fn json(mut response: Response, limit: usize) -> Result<Option<Value>, String> {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or("").trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > limit => {
                return Err(format!("an answer beyond {limit} bytes"));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Err(chain(&error.without_url())),
        }
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("not JSON: {error}"))
}

/// An error with its causes. Addresses have been taken out: their queries may hold credentials.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
