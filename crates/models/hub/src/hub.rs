//! What is asked of a hub, in the addresses and headers that the public one and its mirrors share:
//! `{endpoint}/{owner}/{name}/resolve/{revision}/{path}`, answered with `X-Repo-Commit`, an `ETag` or
//! `X-Linked-ETag` that is the file's digest, and `X-Linked-Size` where the bytes lie elsewhere.

use std::time::{Duration, SystemTime};

use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue,
    LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::{Client, Method, Response, StatusCode, Url};

use crate::error::Error;
use crate::model::Model;
use crate::partial::Digest;
use crate::pins::is_commit;
use crate::redirect::{LONGEST, same_origin, target};
use crate::retry::Failure;
use crate::settings::{Settings, Token, loopback};

/// What is shown of a hub's own words.
const LONGEST_REASON: usize = 300;

/// A connection to a hub.
#[derive(Debug)]
pub(crate) struct Hub {
    client: Client,
    endpoint: Url,
    token: Option<Token>,
    authorization: Option<HeaderValue>,
    silence: Duration,
    /// It is a mirror: a folder that knows nothing of the files in it.
    mirror: bool,
}

/// What a hub says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) commit: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// A file's bytes, from `start` on.
#[derive(Debug)]
pub(crate) struct Body {
    response: Response,
    pub(crate) start: u64,
    silence: Duration,
}

impl Body {
    /// The next piece; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, Failure> {
        timed(self.silence, self.response.chunk()).await
    }
}

impl Hub {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let endpoint = settings.endpoint()?;
        let failed = |error: &dyn std::error::Error| Error::Settings(format!("TLS: {error}"));
        // Redirects and retries are decided here: the client's own would not know who may see the
        // token, nor what a signed address is worth a minute later.
        let mut client = parallax_http_client::builder()
            .map_err(|error| failed(&error))?
            .connect_timeout(settings.silence);
        if loopback(&endpoint) {
            client = client.no_proxy();
        }
        let token = settings.token.as_ref().filter(|_| settings.mirror.is_none());
        Ok(Self {
            client: client.build().map_err(|error| failed(&error.without_url()))?,
            endpoint,
            // A mirror is somebody else's business than the hub's account.
            authorization: token.map(Token::header).transpose()?,
            token: token.cloned(),
            mirror: settings.mirror.is_some(),
            silence: settings.silence,
        })
    }

    /// What the hub says of `path`; `None` if the repository has no such file.
    pub(crate) async fn announced(
        &self,
        model: &Model,
        revision: &str,
        path: &str,
    ) -> Result<Option<Announced>, Failure> {
        let what = format!("{}/{path}", model.repository);
        let answer = |why: String| Failure::Permanent(Error::Answer { what: what.clone(), why });
        let (mut commit, mut digest, mut size) = (None, None, None);
        if self.mirror {
            // What it gives is believed for what is pinned of it, and for nothing else.
            let Some(pin) = model.pin(path) else { return Ok(None) };
            (commit, digest) = (Some(revision.to_owned()), Some(pin.sha256.clone()));
        }
        let mut url = self.address(model, revision, path)?;
        for _ in 0..=LONGEST {
            let response = self.send(Method::HEAD, &url, None).await?;
            let status = response.status();
            let headers = response.headers();
            if missing_file(status, headers) || (self.mirror && status == StatusCode::NOT_FOUND) {
                return Ok(None);
            }
            if !status.is_success() && !status.is_redirection() {
                return Err(self.refused(model, &what, revision, &response));
            }
            commit = commit.or(text(headers, "x-repo-commit"));
            // A redirect's own size and tag are not the file's; those of its target are.
            let own = status.is_success();
            let tag = text(headers, "x-linked-etag")
                .or_else(|| text(headers, ETAG.as_str()).filter(|_| own));
            digest = digest.or(tag);
            let length = text(headers, "x-linked-size")
                .or_else(|| text(headers, CONTENT_LENGTH.as_str()).filter(|_| own));
            size = size.or(length);
            match (&commit, &digest, &size) {
                (Some(commit), Some(tag), Some(size)) => {
                    let quoted = |name: &str, value: &str| answer(format!("{name} is {value:?}"));
                    if !is_commit(commit) {
                        return Err(quoted("X-Repo-Commit", commit));
                    }
                    return Ok(Some(Announced {
                        commit: commit.clone(),
                        digest: Digest::parse(tag).ok_or_else(|| quoted("ETag", tag))?,
                        size: size.parse().map_err(|_| quoted("the size", size))?,
                    }));
                }
                _ if own => {
                    return Err(answer("the hub does not say commit, digest and size".into()));
                }
                _ => url = follow(&url, &response).map_err(answer)?,
            }
        }
        Err(answer("redirected too often".into()))
    }

    /// The bytes of `path` at `commit`, from `from` on if the server can, else from the start.
    ///
    /// Every call begins at the hub: addresses that it signs live for minutes.
    pub(crate) async fn open(
        &self,
        model: &Model,
        commit: &str,
        path: &str,
        (from, size): (u64, u64),
    ) -> Result<Body, Failure> {
        let what = format!("{}/{path}", model.repository);
        let answer = |why: String| Failure::Permanent(Error::Answer { what: what.clone(), why });
        let mut url = self.address(model, commit, path)?;
        for _ in 0..=LONGEST {
            let response = self.send(Method::GET, &url, Some(from)).await?;
            let status = response.status();
            if status.is_redirection() {
                url = follow(&url, &response).map_err(answer)?;
                continue;
            }
            if status == StatusCode::RANGE_NOT_SATISFIABLE {
                // The announced size was accepted, so the server is out of step with the hub.
                return Err(transient(format!("{status} for bytes {from} to {size}")));
            }
            if !status.is_success() {
                return Err(self.refused(model, &what, commit, &response));
            }
            let start = match status {
                StatusCode::PARTIAL_CONTENT => {
                    let range = text(response.headers(), CONTENT_RANGE.as_str());
                    let expected = format!("bytes {from}-{}/{size}", size.saturating_sub(1));
                    if range.as_deref() != Some(expected.as_str()) {
                        let range = range.unwrap_or_default();
                        return Err(transient(format!("{range:?} instead of {expected:?}")));
                    }
                    from
                }
                _ => 0,
            };
            return Ok(Body { response, start, silence: self.silence });
        }
        Err(answer("redirected too often".into()))
    }

    fn address(&self, model: &Model, revision: &str, path: &str) -> Result<Url, Error> {
        let mut url = self.endpoint.clone();
        let mut segments = url
            .path_segments_mut()
            .map_err(|()| Error::Settings("HF_ENDPOINT: cannot be a base".to_owned()))?;
        // A revision is one segment: its slashes are escaped.
        segments
            .pop_if_empty()
            .extend(model.repository.split('/'))
            .extend((!self.mirror).then_some("resolve"))
            .extend([revision])
            .extend(path.split('/'));
        drop(segments);
        Ok(url)
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        from: Option<u64>,
    ) -> Result<Response, Failure> {
        let mut request =
            self.client.request(method, url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(from) = from.filter(|&from| from > 0) {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(value) = &self.authorization
            && same_origin(&self.endpoint, url)
        {
            request = request.header(AUTHORIZATION, value.clone());
        }
        timed(self.silence, request.send()).await
    }

    fn refused(&self, model: &Model, what: &str, revision: &str, response: &Response) -> Failure {
        let status = response.status();
        let why = self.reason(response.headers());
        let code = status.as_u16();
        match code {
            408 | 425 | 429 | 500..=599 => Failure::Transient {
                why: format!("the hub answered {status}{why}"),
                after: retry_after(response.headers()),
            },
            401 | 403 => {
                let page = format!("{}{}", self.endpoint, model.repository);
                let hint = if self.mirror {
                    "is it there, and may this machine read it from the mirror?".to_owned()
                } else if self.token.is_none() {
                    format!(
                        "if it exists, it is gated: accept its licence at {page} and set HF_TOKEN to a \
                         read token of that account"
                    )
                } else {
                    format!("HF_TOKEN is set: does its account have access, see {page}?")
                };
                Error::Access { what: what.to_owned(), status: code, why, hint }.into()
            }
            404 => Error::NotFound { what: format!("{what} at revision {revision}"), why }.into(),
            _ => Error::Answer { what: what.to_owned(), why: format!("answered {status}{why}") }
                .into(),
        }
    }

    /// The hub's own words, led by a colon: never long, never with the token, never over two lines.
    fn reason(&self, headers: &HeaderMap) -> String {
        let Some(text) = text(headers, "x-error-message") else { return String::new() };
        let text = self.token.as_ref().map_or_else(|| text.clone(), |token| token.redact(&text));
        let printable = text.chars().filter(|c| !c.is_control());
        format!(": {}", printable.take(LONGEST_REASON).collect::<String>())
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Whether only this file is missing, rather than the revision or the repository.
fn missing_file(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::NOT_FOUND
        && text(headers, "x-error-code").is_some_and(|code| code == "EntryNotFound")
}

fn follow(from: &Url, response: &Response) -> Result<Url, String> {
    let location = text(response.headers(), LOCATION.as_str());
    let location = location.ok_or_else(|| format!("{} without a target", response.status()))?;
    target(from, &location).map_err(str::to_owned)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = text(headers, RETRY_AFTER.as_str())?;
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(&text).ok()?;
    date.duration_since(SystemTime::now()).ok()
}

fn transient(why: String) -> Failure {
    Failure::Transient { why, after: None }
}

/// `work` with an end; what goes wrong on the way may pass.
async fn timed<T>(
    silence: Duration,
    work: impl Future<Output = reqwest::Result<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(silence, work).await {
        Ok(Ok(value)) => Ok(value),
        // The address may be signed: it is not shown.
        Ok(Err(error)) => Err(transient(chain(&error.without_url()))),
        Err(_) => Err(transient(format!("silence for {} s", silence.as_secs()))),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
