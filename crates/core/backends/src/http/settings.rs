//! Where the servers are and how they are spoken to.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use parallax_secret::{Given, Secret};
use reqwest::header::HeaderValue;
use reqwest::{Client, Url};
use serde::Serialize;

/// The value of `Authorization`.
pub(super) fn bearer(token: &Secret) -> Result<HeaderValue, SettingsError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        .map_err(|_| SettingsError("token: only printable ASCII is allowed".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What the backend may be told.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// Base addresses, at least one; `/invocations` is added. https, unless the host is a loopback
    /// address.
    pub urls: Vec<String>,
    /// Sent as `Authorization: Bearer`, as it is when an attempt begins. Defaults to none.
    pub token: Option<Given>,
    /// Allows http to any host: for a private network that is trusted. Defaults to false.
    pub allow_plain: bool,
    /// Longest time to connect. Defaults to 3 s.
    pub connect_limit: Duration,
    /// Longest time from connecting until the head of the answer is complete. A server that answers
    /// when it is done is silent for as long as its work takes. Defaults to 20 min.
    pub answer_limit: Duration,
    /// Longest silence within the answer's body. Defaults to 10 s.
    pub progress_limit: Duration,
    /// Longest time for all of one attempt. Defaults to 21 min.
    pub total_limit: Duration,
}

/// A setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(pub(super) String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// The defaults for these servers.
    pub fn new(urls: Vec<String>) -> Self {
        Self {
            urls,
            token: None,
            allow_plain: false,
            connect_limit: Duration::from_secs(3),
            answer_limit: Duration::from_secs(1200),
            progress_limit: Duration::from_secs(10),
            total_limit: Duration::from_secs(1260),
        }
    }

    /// The addresses to post to.
    pub(super) fn endpoints(&self) -> Result<Vec<Url>, SettingsError> {
        if self.urls.is_empty() {
            return Err(SettingsError("inference URL: none is given".to_owned()));
        }
        self.urls.iter().map(|text| endpoint(text, self.allow_plain)).collect()
    }

    pub(super) fn client(&self) -> Result<Client, SettingsError> {
        let failed = |error: &dyn std::error::Error| SettingsError(format!("TLS: {error}"));
        parallax_http_client::builder()
            .map_err(|error| failed(&error))?
            .no_proxy()
            .connect_timeout(self.connect_limit)
            .timeout(self.total_limit)
            // A peer that vanished during a long run is noticed by its silence.
            .tcp_keepalive(Duration::from_secs(30))
            .pool_idle_timeout(Duration::from_secs(20))
            .build()
            .map_err(|error| failed(&error))
    }
}

fn endpoint(text: &str, allow_plain: bool) -> Result<Url, SettingsError> {
    // A password in the text must not reach a log.
    let fail = |why: &str| {
        let shown = text.split_once('@').map_or(text, |_| "[with credentials]");
        Err(SettingsError(format!("inference URL {shown:?}: {why}")))
    };
    let Ok(mut url) = text.parse::<Url>() else { return fail("not a URL") };
    if !url.username().is_empty() || url.password().is_some() {
        return fail("credentials in a URL are not allowed; use the token");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return fail("a query or a fragment is not allowed");
    }
    let Some(host) = url.host_str() else { return fail("it names no host") };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback =
        host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if loopback || allow_plain => {}
        "http" => {
            return fail(
                "http is allowed for loopback addresses only; INFERENCE_HTTP_ALLOW_PLAIN=true \
                 allows it inside a private network that is trusted",
            );
        }
        _ => return fail("allowed are https and, for loopback addresses, http"),
    }
    let path = format!("{}/invocations", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        for (text, expected) in [
            ("https://gpu.example", "https://gpu.example/invocations"),
            ("https://gpu.example/base/", "https://gpu.example/base/invocations"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/invocations"),
            ("http://[::1]:8080/", "http://[::1]:8080/invocations"),
            ("http://localhost", "http://localhost/invocations"),
        ] {
            assert_eq!(endpoint(text, false).unwrap().as_str(), expected);
        }
        for bad in [
            "",
            "gpu.example",
            "ftp://gpu.example",
            "file:///etc/passwd",
            "http://gpu.example",
            "http://127.0.0.1.evil.example",
            "http://10.0.0.7",
            "https://user:canary@gpu.example",
            "https://gpu.example/?x=1",
            "https://gpu.example/#x",
        ] {
            let error = endpoint(bad, false).unwrap_err();
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        assert!(endpoint("http://10.0.0.7", true).is_ok(), "a private network may be trusted");
        assert!(Settings::new(Vec::new()).endpoints().is_err());
    }

    #[test]
    fn a_token_is_not_shown() {
        let mut settings = Settings::new(vec!["https://gpu.example".to_owned()]);
        let secret = Secret::new("canary");
        settings.token =
            Given::new("TOKEN", Some(secret.clone()), None, parallax_secret::one_line).unwrap();
        let header = bearer(&secret).unwrap();
        let shown =
            format!("{settings:?} {header:?} {}", serde_json::to_string(&settings).unwrap());
        assert!(!shown.contains("canary"), "{shown}");
        assert!(bearer(&Secret::new("a\nb")).is_err());
    }
}
