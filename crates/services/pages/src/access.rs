//! Who may ask: whoever opened the link that the program printed, from pages of this server only.
//!
//! A link works once. It is exchanged for a cookie that scripts cannot read and that no other site's request
//! carries: films, downloads and server-sent events are asked for by the browser itself, which sends cookies
//! and no headers of ours. Ports do not tell sites apart, so another server on this machine is kept out by
//! `Origin` and `Sec-Fetch-Site`, and a name that was made to point here by `Host`.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode};
use parallax_secret::Secret;
use tokio::sync::watch;

use crate::refusal::Refusal;

/// Browsers that are let in at the same time; one more takes the place of the first.
const MOST_SESSIONS: usize = 32;
/// Between two wrong links, whoever tries them.
const AFTER_WRONG: Duration = Duration::from_millis(250);

/// Links and sessions.
#[derive(Debug)]
pub(crate) struct Access {
    /// The one that works.
    link: Mutex<Secret>,
    sessions: Mutex<VecDeque<Secret>>,
    /// Names by which this server may be asked for, beside addresses and `localhost`.
    hosts: Vec<String>,
    wrong: tokio::sync::Mutex<()>,
    links: watch::Sender<Secret>,
}

fn secret() -> Secret {
    Secret::new(format!("{:032x}", rand::random::<u128>()))
}

impl Access {
    pub(crate) fn new(hosts: Vec<String>) -> Self {
        let link = secret();
        Self {
            links: watch::Sender::new(link.clone()),
            link: Mutex::new(link),
            sessions: Mutex::default(),
            hosts,
            wrong: tokio::sync::Mutex::default(),
        }
    }

    /// The link that works, and each one that takes its place.
    pub(crate) fn links(&self) -> watch::Receiver<Secret> {
        self.links.subscribe()
    }

    /// The session that `link` is exchanged for.
    ///
    /// # Errors
    /// 403 for a link that does not work any more, or never did; those take turns.
    pub(crate) async fn enter(&self, link: &str) -> Result<Secret, Refusal> {
        if let Some(session) = self.exchange(link) {
            return Ok(session);
        }
        let _turn = self.wrong.lock().await;
        tokio::time::sleep(AFTER_WRONG).await;
        let why = "This link was used before, or is not one of this server. Its terminal has the next one.";
        Err(Refusal::new(StatusCode::FORBIDDEN, why))
    }

    fn exchange(&self, link: &str) -> Option<Secret> {
        let mut current = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if !current.is(link.as_bytes()) {
            return None;
        }
        *current = secret();
        self.links.send_replace(current.clone());
        let session = secret();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.push_back(session.clone());
        if sessions.len() > MOST_SESSIONS {
            sessions.pop_front();
        }
        Some(session)
    }

    /// Whether the request is one of a browser that was let in.
    pub(crate) fn knows(&self, headers: &HeaderMap) -> bool {
        let name = cookie_name(headers);
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut given = cookies.flat_map(|line| line.split(';')).filter_map(|cookie| {
            let (found, value) = cookie.trim().split_once('=')?;
            (found == name).then_some(value)
        });
        // Every session is compared, whichever it is.
        given.any(|value| {
            let same = |session: &Secret| session.is(value.as_bytes());
            sessions.iter().map(same).fold(false, |any, same| any | same)
        })
    }

    /// Whether the request names this server, and comes from a page of it or from no page.
    ///
    /// # Errors
    /// 403, saying what is not as it should be.
    pub(crate) fn check_source(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let refused = |why: &str| Err(Refusal::new(StatusCode::FORBIDDEN, why));
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !self.is_ours(host) {
            return refused("Host: this server has other names; --host adds one");
        }
        let said = |value: Option<&axum::http::HeaderValue>| {
            value.map(|value| value.to_str().unwrap_or("not a text").to_owned())
        };
        if let Some(site) = said(headers.get("sec-fetch-site"))
            && !matches!(&*site, "same-origin" | "none")
        {
            return refused("Sec-Fetch-Site: only pages of this server may ask");
        }
        match said(headers.get(ORIGIN)) {
            Some(origin) if origin.strip_prefix("http://") == Some(host) => Ok(()),
            Some(origin) if origin.strip_prefix("https://") == Some(host) => Ok(()),
            Some(_) => refused("Origin: only pages of this server may ask"),
            None if matches!(*method, Method::GET | Method::HEAD) => Ok(()),
            None => refused("Origin: it is missing"),
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
pub(crate) fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host_name(host);
    let port = host[name.len()..].trim_start_matches(':');
    format!("parallax_{}", if port.is_empty() { "80" } else { port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_this_servers_names_and_pages_are_taken() {
        let access = Access::new(vec!["den.local".to_owned()]);
        let taken = |method: Method, pairs: &[(&'static str, &str)]| {
            access.check_source(&method, &headers(pairs)).is_ok()
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
        for (site, wanted) in
            [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)]
        {
            assert_eq!(taken(Method::GET, &[host, ("sec-fetch-site", site)]), wanted, "{site}");
        }
    }

    #[tokio::test]
    async fn a_link_works_once() {
        let access = Access::new(vec![]);
        let mut links = access.links();
        let link = links.borrow_and_update().clone();
        assert!(access.enter("x").await.is_err());
        let session = access.enter(link.expose()).await.unwrap();
        assert!(links.has_changed().unwrap() && access.enter(link.expose()).await.is_err());
        let with = |value: &str| {
            let cookie = format!("a=b; parallax_8017={value}");
            access.knows(&headers(&[("host", "127.0.0.1:8017"), ("cookie", &cookie)]))
        };
        assert!(with(session.expose()));
        assert!(!with("") && !with(link.expose()) && !with(&session.expose()[1..]));
        let other = format!("parallax_80={}", session.expose());
        assert!(!access.knows(&headers(&[("host", "127.0.0.1:8017"), ("cookie", &other)])));
    }
}
