//! Who may ask: bearer tokens, compared in constant time.

use std::sync::{Arc, PoisonError, RwLock};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, ORIGIN};
use parallax_secret::Secret;

use crate::{Failure, FailureKind};

/// Tokens that are let in. Empty, everybody is but the pages that a browser shows: they could ask
/// from behind whatever keeps others away from an open server. Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Arc<RwLock<Arc<[Secret]>>>);

impl Tokens {
    /// Lets in whoever has one of `tokens`; everybody when there are none.
    pub fn new(tokens: Vec<Secret>) -> Self {
        Self(Arc::new(RwLock::new(tokens.into())))
    }

    /// Lets in whoever has one of `tokens` from now on. Whoever is in stays in. With none nothing changes:
    /// a server that asks for tokens does not open itself.
    pub fn replace(&self, tokens: Vec<Secret>) {
        if !tokens.is_empty() {
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = tokens.into();
        }
    }

    fn now(&self) -> Arc<[Secret]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether everybody is let in.
    pub fn is_open(&self) -> bool {
        self.now().is_empty()
    }

    /// # Errors
    /// `Unauthenticated`, or `Forbidden` for a page's request where no token is asked for.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Failure> {
        if self.is_open() {
            if headers.contains_key(ORIGIN) {
                let message = "requests of web pages are let in with a token only";
                return Err(Failure::new(FailureKind::Forbidden, message));
            }
            return Ok(());
        }
        let given = headers.get(AUTHORIZATION).map(axum::http::HeaderValue::as_bytes);
        let given = given.and_then(|value| {
            let (scheme, token) = value.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
        });
        // Every token is compared, so that the time does not tell which one was close.
        let given = given.unwrap_or_default();
        let known = self.now().iter().fold(false, |known, token| known | token.is(given));
        if known {
            return Ok(());
        }
        Err(Failure::new(FailureKind::Unauthenticated, "a valid bearer token is needed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_tokens_open() {
        let tokens = Tokens::new(vec![Secret::new("first"), Secret::new("second")]);
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            tokens.check(&headers)
        };
        assert!(check("Bearer first").is_ok() && check("bearer second").is_ok());
        for wrong in
            ["Bearer firs", "Bearer first ", "Bearer", "Bearer ", "Basic first", "first", "é"]
        {
            assert_eq!(check(wrong).unwrap_err().kind, FailureKind::Unauthenticated, "{wrong}");
        }
        assert!(tokens.check(&HeaderMap::new()).is_err());
        assert!(Tokens::default().check(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn tokens_change_for_all_and_never_to_none() {
        let tokens = Tokens::new(vec![Secret::new("first")]);
        let other = tokens.clone();
        let bearer = |token: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            headers
        };
        tokens.replace(vec![Secret::new("second")]);
        assert!(other.check(&bearer("second")).is_ok() && other.check(&bearer("first")).is_err());
        tokens.replace(Vec::new());
        assert!(!other.is_open() && other.check(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_page_needs_a_token() {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, "https://evil.example".parse().unwrap());
        let failure = Tokens::default().check(&headers).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Forbidden);
        headers.insert(AUTHORIZATION, "Bearer first".parse().unwrap());
        assert!(Tokens::new(vec![Secret::new("first")]).check(&headers).is_ok());
    }
}
