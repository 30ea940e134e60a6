//! Who may read and who may act.
//!
//! A token is exchanged for a session by a form, or comes with each request of a program. Wrong ones take turns and
//! wait, whoever tries them, so that guessing is slow however many connections guess; the right one waits for
//! nobody.

use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, StatusCode};
use parallax_secret::{Given, Secret};
use parallax_web::{Refusal, Sessions, Site};
use tokio::sync::Mutex;
use tracing::warn;

use crate::settings::Settings;

/// Between two wrong tokens.
const AFTER_WRONG: Duration = Duration::from_secs(1);
/// The longest name that somebody gives.
const LONGEST_NAME: usize = 64;

/// What a request may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Level {
    Nothing,
    Read,
    /// Act, as somebody of this name.
    Act(String),
}

#[derive(Debug)]
pub(crate) struct Access {
    site: Site,
    token: Option<Given>,
    everybody_reads: bool,
    /// Who entered, and by which token: another one ends them.
    sessions: Sessions<(String, Secret)>,
    wrong: Mutex<()>,
}

impl Access {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            site: Site::new(settings.hosts.clone(), "WORKER_CONSOLE_HOSTS"),
            token: settings.token.clone(),
            everybody_reads: settings.everybody_reads,
            sessions: Sessions::default(),
            wrong: Mutex::default(),
        }
    }

    /// What a request may do that names this server and comes from a page of it or from no page.
    ///
    /// # Errors
    /// 403 for one that does not, or that brings a token that is not the one.
    pub(crate) async fn level(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Level, Refusal> {
        let bearer = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        // No page of another site can have a browser send this header, and programs have no origin.
        let judged_as = if bearer.is_some() { &Method::GET } else { method };
        self.site.check(judged_as, headers)?;
        if let Some(bearer) = bearer {
            let given = bearer.strip_prefix(b"Bearer ").unwrap_or_default();
            self.check(given).await?;
            return Ok(Level::Act("a program".to_owned()));
        }
        match self.sessions.of(headers) {
            Some((who, by)) if self.is_now(by.expose().as_bytes()) => Ok(Level::Act(who)),
            _ if self.everybody_reads => Ok(Level::Read),
            _ => Ok(Level::Nothing),
        }
    }

    /// The header that sets the cookie of the session that the token is exchanged for.
    ///
    /// # Errors
    /// 403 for another token.
    pub(crate) async fn enter(
        &self,
        token: &str,
        name: &str,
        headers: &HeaderMap,
    ) -> Result<String, Refusal> {
        self.check(token.as_bytes()).await?;
        let name: String =
            name.trim().chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        let who = if name.is_empty() { "somebody".to_owned() } else { name };
        Ok(self.sessions.open(headers, (who, Secret::new(token))))
    }

    /// Ends the request's session.
    pub(crate) fn leave(&self, headers: &HeaderMap) -> String {
        self.sessions.close(headers)
    }

    fn is_now(&self, given: &[u8]) -> bool {
        self.token.as_ref().is_some_and(|token| token.now().is(given))
    }

    async fn check(&self, given: &[u8]) -> Result<(), Refusal> {
        if self.is_now(given) {
            return Ok(());
        }
        let _turn = self.wrong.lock().await;
        tokio::time::sleep(AFTER_WRONG).await;
        warn!("the console was given a wrong token");
        let why = match self.token {
            Some(_) => "This is not the token of WORKER_CONSOLE_TOKEN.",
            None => "This console is read-only: WORKER_CONSOLE_TOKEN is not set.",
        };
        Err(Refusal::new(StatusCode::FORBIDDEN, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use parallax_secret::one_line;
    use tokio::time::Instant;

    fn access(token: Option<&str>) -> Access {
        let token = token.map(Secret::new);
        Access::new(&Settings {
            hosts: vec![],
            token: Given::new("WORKER_CONSOLE_TOKEN", token, None, one_line).unwrap(),
            everybody_reads: true,
            max_in_flight: 1,
            never_ends_attempts: None,
            secrets: vec![],
            platform: String::new(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_tokens_take_turns_and_the_right_one_waits_for_nobody() {
        let access = access(Some("the right one"));
        let (begun, headers) = (Instant::now(), HeaderMap::new());
        let right = async {
            tokio::task::yield_now().await;
            access.enter("the right one", " ann\u{7} ", &headers).await.unwrap();
            assert_eq!(begun.elapsed(), Duration::ZERO);
        };
        let guesses = join_all((0..10).map(|n| {
            let (access, headers) = (&access, &headers);
            async move { access.enter(&format!("the right on{n}"), "", headers).await.is_err() }
        }));
        let (wrong, ()) = tokio::join!(guesses, right);
        assert!(wrong.into_iter().all(|refused| refused));
        assert_eq!(begun.elapsed(), 10 * AFTER_WRONG);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_token_nobody_enters() {
        let access = access(None);
        for given in ["", "None", "[redacted]"] {
            assert!(access.enter(given, "", &HeaderMap::new()).await.is_err(), "{given}");
        }
    }
}
