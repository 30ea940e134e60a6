//! The HTTP backend: one or several GPU servers that answer `POST /invocations`.
//!
//! A request runs as long as the work does, so the connection is the attempt: dropping the future
//! closes it. Where a server certainly did not start, the next one is asked; whatever is uncertain
//! is reported as `Timeout` and asked of nobody else.

mod answer;
mod fleet;
mod settings;

pub use settings::{Settings, SettingsError};

use std::time::Duration;

use async_trait::async_trait;
use parallax_job::Uri;
use parallax_ports::{
    Custody, Error, InferenceBackend, Invocation, Invoked, Kind, Locations, Result,
};
use parallax_secret::{Given, Secret};
use reqwest::header::{AUTHORIZATION, HeaderName};
use reqwest::{Client, Response, Url};
use serde::Serialize;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use fleet::{Fleet, Report};

/// Names an attempt, so that a server can recognise a repeated one.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What is read of an answer.
const LONGEST_ANSWER: usize = 64 << 10;
/// How long the body of an answer may take once its status is known, however steadily it comes.
const BODY: Duration = Duration::from_secs(30);

/// Servers that run attempts while they are asked.
#[derive(Debug)]
pub struct Http {
    client: Client,
    fleet: Fleet,
    token: Option<Given>,
    answer_limit: Duration,
    progress_limit: Duration,
}

/// The request, under the names that all deployed containers read.
#[derive(Serialize)]
struct Request<'a> {
    s3_input_uri: &'a Uri,
    s3_output_uri: &'a Uri,
    input_uri: &'a Uri,
    output_uri: &'a Uri,
    mode: &'static str,
}

impl Http {
    /// Makes the backend. Contacts nobody.
    ///
    /// # Errors
    /// Names the setting, its value and what is allowed.
    pub fn new(settings: &Settings) -> std::result::Result<Self, SettingsError> {
        let urls = settings.endpoints()?;
        let token = settings.token.clone();
        token.as_ref().map(|token| settings::bearer(&token.now())).transpose()?;
        let client = settings.client()?;
        let Settings { answer_limit, progress_limit, .. } = *settings;
        let fleet = Fleet::new(urls);
        Ok(Self { client, fleet, token, answer_limit, progress_limit })
    }

    async fn ask(&self, url: &Url, invocation: &Invocation) -> Answer {
        let body = Request {
            s3_input_uri: &invocation.input,
            s3_output_uri: &invocation.output,
            input_uri: &invocation.input,
            output_uri: &invocation.output,
            mode: invocation.segment.mode.as_str(),
        };
        let mut request = self.client.post(url.clone()).json(&body);
        request = request.header(REQUEST_ID, invocation.request_id());
        // As it is now: it may have been changed since the last attempt.
        let token = self.token.as_ref().map(Given::now);
        if let Some(Ok(value)) = token.as_ref().map(settings::bearer) {
            request = request.header(AUTHORIZATION, value);
        }
        match timeout(self.answer_limit, request.send()).await {
            Ok(Ok(response)) => self.answered(url, response, token.as_ref()).await,
            Ok(Err(error)) => unanswered(url, error),
            Err(_) => {
                let seconds = self.answer_limit.as_secs_f64();
                let text = format!("{url} gave no complete head of an answer within {seconds} s");
                Answer { result: Err(Error::new(Kind::Timeout, text)), report: Report::Broken }
            }
        }
    }

    async fn answered(&self, url: &Url, response: Response, token: Option<&Secret>) -> Answer {
        let status = response.status().as_u16();
        let after = answer::retry_after(response.headers());
        let text = self.body(response).await;
        // A careless server repeats what it was told.
        let text = token.map_or(text.clone(), |token| token.redact(&text));
        let text = answer::printable(text.as_bytes());
        let result = match answer::kind(status) {
            Ok(true) => Ok(Invoked::Finished),
            Ok(false) => Ok(Invoked::Accepted(Locations::default())),
            Err(kind) => {
                let mut error = Error::new(kind, format!("{url} answered {status}: {text}"));
                if let Some(after) = after {
                    error = error.with_retry_after(after);
                }
                Err(error)
            }
        };
        let report = match &result {
            Err(error) if matches!(error.kind(), Kind::Throttled | Kind::Unavailable) => {
                Report::Busy(after)
            }
            Err(error) if matches!(error.kind(), Kind::Internal | Kind::Timeout) => Report::Broken,
            _ => Report::Well,
        };
        Answer { result, report }
    }

    /// The beginning of an answer's body. The status has been given: whatever happens
    /// here changes nothing.
    async fn body(&self, mut response: Response) -> String {
        let mut bytes = Vec::new();
        let read = async {
            while let Ok(Ok(Some(chunk))) = timeout(self.progress_limit, response.chunk()).await {
                let room = LONGEST_ANSWER - bytes.len();
                bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() >= room {
                    return;
                }
            }
        };
        let _ = timeout(BODY, read).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What one server made of an attempt.
struct Answer {
    result: Result<Invoked>,
    report: Report,
}

impl Answer {
    /// Whether another server may be asked: this one certainly did not start.
    fn passes_on(&self) -> bool {
        let refused = |error: &Error| matches!(error.kind(), Kind::Throttled | Kind::Unavailable);
        self.report == Report::Unreachable || self.result.as_ref().is_err_and(refused)
    }
}

/// Whether a connection failed for what a certificate says or lacks. The library tells in words alone.
fn names_a_certificate(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().to_ascii_lowercase().contains("certificate") {
            return true;
        }
        cause = error.source();
    }
    false
}

fn unanswered(url: &Url, error: reqwest::Error) -> Answer {
    let kind = if error.is_builder() {
        Kind::Rejected
    } else if error.is_connect() && names_a_certificate(&error) {
        // No time heals it: who runs the deployment has to.
        Kind::Unauthorized
    } else if error.is_connect() {
        Kind::Unavailable
    } else {
        // The request had left, or part of it.
        Kind::Timeout
    };
    let report = if error.is_connect() { Report::Unreachable } else { Report::Broken };
    let what = match kind {
        Kind::Unauthorized => format!("{url} cannot be trusted"),
        _ => format!("no answer from {url}"),
    };
    let error = Error::new(kind, what).with_source(error.without_url());
    Answer { result: Err(error), report }
}

#[async_trait]
impl InferenceBackend for Http {
    fn custody(&self) -> Custody {
        Custody::Caller
    }

    /// # Cancel safety
    /// Cancelling or dropping closes the connection, upon which the server ends the work.
    async fn invoke(&self, invocation: &Invocation, cancel: &CancellationToken) -> Result<Invoked> {
        let mut asked = Vec::new();
        let mut refusal: Option<Error> = None;
        while let Some(turn) = self.fleet.turn(&asked) {
            asked.push(turn.index());
            let answer = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Error::new(Kind::Cancelled, "cancelled")),
                answer = self.ask(turn.url(), invocation) => answer,
            };
            turn.report(answer.report);
            if !answer.passes_on() {
                return answer.result;
            }
            let Err(error) = answer.result else { continue };
            warn!(server = %turn.url(), error = %error.chain(), "server did not take the attempt");
            // The shortest wait that any of them asked for is enough.
            let sooner = |old: &Error| match (old.retry_after(), error.retry_after()) {
                (Some(old), Some(new)) => new < old,
                (None, Some(_)) => true,
                _ => false,
            };
            if refusal.as_ref().is_none_or(sooner) {
                refusal = Some(error);
            }
        }
        Err(refusal.unwrap_or_else(|| Error::new(Kind::Unavailable, "no server is configured")))
    }
}
