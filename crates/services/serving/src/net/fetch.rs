//! Downloads from addresses that a request names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Client, Response, StatusCode};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use url::Url;

use super::resolve::Outside;
use crate::{Failure, FailureKind};

/// Redirects that are followed, each checked like the first address.
const REDIRECTS: usize = 3;
const CONNECT: Duration = Duration::from_secs(5);
/// Longest silence.
const READ: Duration = Duration::from_secs(30);
/// Longest download.
const WHOLE: Duration = Duration::from_secs(600);

/// Downloads files over HTTP within what is allowed.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client,
    outside: Outside,
}

impl Fetcher {
    /// Downloads from `outside`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(outside: Outside) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::internal(format!("TLS: {error}"));
        let client = parallax_http_client::builder()
            .map_err(|error| failed(&error))?
            .dns_resolver(Arc::new(outside.clone()))
            .no_proxy()
            .connect_timeout(CONNECT)
            .read_timeout(READ)
            .timeout(WHOLE)
            // A connection outlives the check of its address by nothing.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Self { client, outside })
    }

    /// What may be asked.
    pub fn outside(&self) -> &Outside {
        &self.outside
    }

    /// Downloads into a new file and returns its size in bytes, at most `limit`.
    ///
    /// # Errors
    /// `Forbidden` for what may not be asked, `NotFound`, `TooLarge`, `Invalid` for answers that
    /// are no file, `Unavailable` when nobody answers. Messages hold neither paths nor queries,
    /// which may hold signatures.
    pub async fn fetch(&self, url: &Url, to: &Path, limit: u64) -> Result<u64, Failure> {
        self.outside.permit(url)?;
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let response = self.client.get(url.clone()).send().await.map_err(unanswered)?;
            let status = response.status();
            if !status.is_redirection() {
                return save(response, to, limit).await;
            }
            let next = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            url = self.outside.redirected(&url, next)?;
        }
        Err(Failure::new(FailureKind::Invalid, format!("more than {REDIRECTS} redirects")))
    }
}

fn unanswered(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let mut detail = error.to_string();
    let mut cause = std::error::Error::source(&error);
    let mut denied = false;
    while let Some(error) = cause {
        detail.push_str(": ");
        detail.push_str(&error.to_string());
        denied |= error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        cause = error.source();
    }
    if denied {
        let message = "the host has an address that may not be spoken to";
        return Failure::new(FailureKind::Forbidden, message).with_detail(detail);
    }
    Failure::new(FailureKind::Unavailable, "the host does not answer").with_detail(detail)
}

async fn save(mut response: Response, to: &Path, limit: u64) -> Result<u64, Failure> {
    let kind = match response.status() {
        StatusCode::OK => None,
        StatusCode::NOT_FOUND | StatusCode::GONE => Some(FailureKind::NotFound),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(FailureKind::Forbidden),
        StatusCode::TOO_MANY_REQUESTS => Some(FailureKind::Unavailable),
        status if status.is_server_error() => Some(FailureKind::Unavailable),
        _ => Some(FailureKind::Invalid),
    };
    if let Some(kind) = kind {
        let message = format!("the host answered {}", response.status().as_u16());
        return Err(Failure::new(kind, message));
    }
    let large = || Failure::new(FailureKind::TooLarge, format!("more than {limit} bytes"));
    if response.content_length().is_some_and(|bytes| bytes > limit) {
        return Err(large());
    }
    let failed = |error: std::io::Error| Failure::internal(format!("save a download: {error}"));
    let mut file = File::create_new(to).await.map_err(failed)?;
    let mut size = 0;
    while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
        size += chunk.len() as u64;
        if size > limit {
            return Err(large());
        }
        file.write_all(&chunk).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(size)
}
