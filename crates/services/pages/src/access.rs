//! Who may ask: whoever opened the link that the program printed, from pages of this server only.
//!
//! A link works once. It is exchanged for a session.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, Method, StatusCode};
use parallax_secret::Secret;
use parallax_web::{Refusal, Sessions, Site};
use tokio::sync::watch;

/// Between two wrong links, whoever tries them.
const AFTER_WRONG: Duration = Duration::from_millis(250);

/// Links and sessions.
#[derive(Debug)]
pub(crate) struct Access {
    /// The one that works.
    link: Mutex<Secret>,
    sessions: Sessions<()>,
    site: Site,
    wrong: tokio::sync::Mutex<()>,
    links: watch::Sender<Secret>,
}

impl Access {
    pub(crate) fn new(hosts: Vec<String>) -> Self {
        let link = Sessions::<()>::secret();
        Self {
            links: watch::Sender::new(link.clone()),
            link: Mutex::new(link),
            sessions: Sessions::default(),
            site: Site::new(hosts, "--host"),
            wrong: tokio::sync::Mutex::default(),
        }
    }

    /// The link that works, and each one that takes its place.
    pub(crate) fn links(&self) -> watch::Receiver<Secret> {
        self.links.subscribe()
    }

    /// The header that sets the cookie of the session that `link` is exchanged for.
    ///
    /// # Errors
    /// 403 for a link that does not work any more, or never did; those take turns.
    pub(crate) async fn enter(&self, link: &str, asked: &HeaderMap) -> Result<String, Refusal> {
        if self.exchange(link) {
            return Ok(self.sessions.open(asked, ()));
        }
        let _turn = self.wrong.lock().await;
        tokio::time::sleep(AFTER_WRONG).await;
        let why = "This link was used before, or is not one of this server. Its terminal has the next one.";
        Err(Refusal::new(StatusCode::FORBIDDEN, why))
    }

    /// Whether it was the one that works, which another one takes the place of.
    fn exchange(&self, link: &str) -> bool {
        let mut current = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if !current.is(link.as_bytes()) {
            return false;
        }
        *current = Sessions::<()>::secret();
        self.links.send_replace(current.clone());
        true
    }

    /// Whether the request is one of a browser that was let in.
    pub(crate) fn knows(&self, headers: &HeaderMap) -> bool {
        self.sessions.of(headers).is_some()
    }

    /// Whether the request names this server, and comes from a page of it or from no page.
    ///
    /// # Errors
    /// 403, saying what is not as it should be.
    pub(crate) fn check_source(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        self.site.check(method, headers)
    }
}
