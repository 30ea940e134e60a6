//! Which requests are of this server's own pages.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::refusal::Refusal;

/// A server's names.
#[derive(Debug, Clone)]
pub struct Site {
    /// Names by which it may be asked for, beside addresses and `localhost`.
    hosts: Vec<String>,
    /// What adds one.
    more: &'static str,
}

impl Site {
    /// With these names beside addresses and `localhost`; `more` is what a person is told to set for another.
    pub fn new(hosts: Vec<String>, more: &'static str) -> Self {
        Self { hosts, more }
    }

    /// Whether the request names this server, and comes from a page of it or from no page.
    ///
    /// # Errors
    /// 403, saying what is not as it should be.
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let refused = |why: String| Err(Refusal::new(StatusCode::FORBIDDEN, why));
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !self.is_ours(host) {
            return refused(format!("Host: this server has other names; {} adds one", self.more));
        }
        let said = |value: Option<&HeaderValue>| {
            value.map(|value| value.to_str().unwrap_or("not a text").to_owned())
        };
        if let Some(site) = said(headers.get("sec-fetch-site"))
            && !matches!(&*site, "same-origin" | "none")
        {
            return refused("Sec-Fetch-Site: only pages of this server may ask".to_owned());
        }
        match said(headers.get(ORIGIN)) {
            Some(origin) if origin.strip_prefix("http://") == Some(host) => Ok(()),
            Some(origin) if origin.strip_prefix("https://") == Some(host) => Ok(()),
            Some(_) => refused("Origin: only pages of this server may ask".to_owned()),
            None if matches!(*method, Method::GET | Method::HEAD) => Ok(()),
            None => refused("Origin: it is missing".to_owned()),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = host_name(host);
        let address = name.parse::<IpAddr>().is_ok()
            || name
                .strip_prefix('[')
                .and_then(|name| name.strip_suffix(']'))
                .is_some_and(|name| name.parse::<Ipv6Addr>().is_ok());
        // No name server has a say in these.
        address
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// A host without its port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Browsers send cookies to every port of a host: the port is in the name, so that two servers do not take
/// each other's.
pub fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host_name(host);
    let port = host[name.len()..].trim_start_matches(':');
    format!("parallax_{}", if port.is_empty() { "80" } else { port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_servers_names_and_pages_are_taken() {
        let site = Site::new(vec!["den.local".to_owned()], "--host");
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect()
        };
        let taken = |method: Method, pairs: &[(&'static str, &str)]| {
            site.check(&method, &headers(pairs)).is_ok()
        };
        for host in
            ["127.0.0.1:8017", "localhost:8017", "[::1]:8017", "192.168.1.9:8017", "Den.Local"]
        {
            assert!(taken(Method::GET, &[("host", host)]), "{host}");
            let own = format!("http://{host}");
            assert!(taken(Method::POST, &[("host", host), ("origin", &own)]), "{host}");
        }
        for host in
            ["evil.example:8017", "localhost.evil.example", "127.0.0.1.nip.io", "", "den.local.x"]
        {
            assert!(!taken(Method::GET, &[("host", host)]), "{host}");
        }
        let host = ("host", "127.0.0.1:8017");
        for origin in ["http://evil.example", "http://127.0.0.1:9999", "null", "http://127.0.0.1"] {
            assert!(!taken(Method::GET, &[host, ("origin", origin)]), "{origin}");
        }
        assert!(!taken(Method::POST, &[host]), "a page always says where it is from");
        for (from, wanted) in
            [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)]
        {
            assert_eq!(taken(Method::GET, &[host, ("sec-fetch-site", from)]), wanted, "{from}");
        }
    }
}
