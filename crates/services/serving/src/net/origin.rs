//! Whom a request may name: scheme, host and port.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};

/// An origin that requests may name: `https://host`, `https://*.host` (any name below it), with
/// `:port` when it is not the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    below: bool,
    port: u16,
}

/// Text that is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: expected https://host, https://*.host or https://host:port (or http)")]
pub struct OriginError(String);

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let error = || OriginError(text.chars().take(256).collect());
        let below = text.contains("://*.");
        let url = Url::parse(&text.replacen("://*.", "://", 1)).map_err(|_| error())?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(error());
        };
        let named = matches!(host, Host::Domain(_)) || !below;
        if !bare || !anonymous || !named || !["http", "https"].contains(&url.scheme()) {
            return Err(error());
        }
        let host = plain(&host);
        if host.contains('*') || host.split('.').any(str::is_empty) {
            return Err(error());
        }
        Ok(Self { scheme: url.scheme().to_owned(), host, below, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.below { "*." } else { "" };
        write!(f, "{}://{below}{}:{}", self.scheme, self.host, self.port)
    }
}

impl Origin {
    /// Whether the URL is of this origin.
    pub(super) fn holds(&self, url: &Url) -> bool {
        let Some(host) = url.host() else { return false };
        let host = plain(&host);
        let same = match self.below {
            true => host
                .strip_suffix(&self.host)
                .is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
            false => host == self.host,
        };
        same && url.scheme() == self.scheme && url.port_or_known_default() == Some(self.port)
    }
}

/// A host's one spelling: the parser has brought numbers and letters into theirs, and a name's
/// final dot means nothing.
fn plain(host: &Host<&str>) -> String {
    match host {
        Host::Domain(name) => name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => format!("[{address}]"),
    }
}

/// The address that a URL's host is, when it is not a name.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
        Host::Domain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let holds = |origin: &str, url: &str| {
            origin.parse::<Origin>().unwrap().holds(&Url::parse(url).unwrap())
        };
        assert!(holds("https://cdn.example", "https://cdn.example/a?b#c"));
        assert!(holds("https://cdn.example", "https://CDN.example.:443/a"));
        assert!(holds("https://*.example", "https://a.b.example/"));
        assert!(holds("http://127.0.0.1:81", "http://0x7f.1:81/"));
        assert!(holds("https://[2001:db8::1]", "https://[2001:DB8:0::1]:443/"));
        let shown = "https://[2001:db8::1]".parse::<Origin>().unwrap().to_string();
        assert_eq!(shown, "https://[2001:db8::1]:443");
        for (origin, url) in [
            ("https://cdn.example", "http://cdn.example/"),
            ("https://cdn.example", "https://cdn.example:444/"),
            ("https://cdn.example", "https://cdn.example.evil/"),
            ("https://cdn.example", "https://x.cdn.example/"),
            ("https://*.example", "https://example/"),
            ("https://*.example", "https://.example/"),
            ("https://*.example", "https://evilexample/"),
            ("https://cdn.example", "https://evil/@cdn.example"),
            ("https://cdn.example", "https://cdn.example@evil/"),
        ] {
            assert!(!holds(origin, url), "{origin} {url}");
        }
        for text in [
            "",
            "cdn.example",
            "https://",
            "https://a/b",
            "ftp://a",
            "https://u@a",
            "https://*.1.2.3.4",
            "https://*",
            "https://../",
            "http://127.0.%2e",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
