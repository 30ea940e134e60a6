//! Which names a server answers to.
//!
//! A page that a browser shows can have its own name resolve to this machine after it was loaded, and then
//! ask a server on loopback as its own origin. What such a request cannot hide is the name: it stands in
//! `Host`. An address written in digits is nobody's to resolve.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::{StatusCode, Version};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tracing::warn;

/// The name of a host, in lower case and without a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

/// What is not the name of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostNameError(String);

impl std::fmt::Display for HostNameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: expected the name of a host, without scheme, port or *", self.0)
    }
}

impl std::error::Error for HostNameError {}

impl std::fmt::Display for HostName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let label = |label: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            (1..=63).contains(&label.len()) && label.chars().all(allowed)
        };
        if text.len() > 253 || !text.split('.').all(label) {
            return Err(HostNameError(text.chars().take(64).collect()));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// The names that a server answers to: addresses in digits, `localhost` and what is below it, and others
/// that somebody named.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Arc<[HostName]>);

impl Hosts {
    /// With these names besides.
    pub fn new(names: &[HostName]) -> Self {
        Self(names.into())
    }

    /// Refuses what is asked of `routes` by another name, with 421.
    pub fn guard(self, routes: Router) -> Router {
        routes.layer(from_fn_with_state(self, check))
    }

    /// Whether `authority`, a host with or without a port, is one of them.
    fn has(&self, authority: &str) -> bool {
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            return address.parse::<Ipv6Addr>().is_ok();
        }
        if host.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()) {
            return true;
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let local = host == "localhost" || host.ends_with(".localhost");
        local || self.0.iter().any(|name| name.0 == host)
    }
}

async fn check(
    State(hosts): State<Hosts>,
    request: Request,
    next: Next,
) -> Result<Response, Infallible> {
    let mut named = request.headers().get_all(HOST).iter();
    let own = match (named.next(), named.next()) {
        // Only programs of another age ask without a name; no browser does.
        (None, _) => request.version() == Version::HTTP_10,
        (Some(host), None) => host.to_str().is_ok_and(|host| hosts.has(host)),
        (Some(_), Some(_)) => false,
    };
    let target = request.uri().authority().is_none_or(|authority| hosts.has(authority.as_str()));
    if own && target {
        return Ok(next.run(request).await);
    }
    warn!("refused a request for a host that is not this one");
    let why = "this server is asked for by another name than its own; \
               SERVER_HOSTS and HEALTH_HOSTS name more\n";
    Ok((StatusCode::MISDIRECTED_REQUEST, why).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_local_names_are_its_own_and_others_if_somebody_says_so() {
        let hosts = Hosts::new(&["gpu.example".parse().unwrap()]);
        for own in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "192.0.2.7:80",
            "[::1]",
            "[::1]:8080",
            "localhost",
            "LocalHost:1",
            "localhost.",
            "films.localhost:8080",
            "gpu.example:8443",
            "GPU.example",
        ] {
            assert!(hosts.has(own), "{own}");
        }
        for other in [
            "",
            ":8080",
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "a.gpu.example",
            "gpu.example.evil.example",
            "::1",
            "[::1",
            "[evil.example]",
            "2130706433",
            "127.1",
            "user@localhost",
        ] {
            assert!(!hosts.has(other), "{other}");
        }
        assert!(!Hosts::default().has("gpu.example"));
    }

    #[test]
    fn a_name_is_no_address_of_a_page() {
        for bad in ["", "*", "*.example", "https://a.example", "a.example:80", "a b", "a..b", "é"]
        {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
        assert!("GPU-1.internal".parse::<HostName>().is_ok());
    }
}
