//! Browsers that were let in. Each has a cookie that scripts cannot read and that no other site's request
//! carries: downloads and server-sent events are asked for by the browser itself, which sends cookies and no
//! headers of ours.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use parallax_secret::Secret;

use crate::site::cookie_name;

/// Browsers that are let in at the same time; one more takes the place of the first.
const MOST: usize = 32;

/// The sessions of a server, each with what is known of whoever has it.
#[derive(Debug)]
pub struct Sessions<T>(Mutex<VecDeque<(Secret, T)>>);

impl<T> Default for Sessions<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Sessions<T> {
    /// A new secret that nobody can guess.
    pub fn secret() -> Secret {
        Secret::new(format!("{:032x}", rand::random::<u128>()))
    }

    /// Lets one more browser in. Gives the header that sets its cookie.
    pub fn open(&self, headers: &HeaderMap, who: T) -> String {
        let session = Self::secret();
        let cookie = cookie(headers, session.expose());
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.push_back((session, who));
        if sessions.len() > MOST {
            sessions.pop_front();
        }
        cookie
    }

    /// Ends the request's session. Gives the header that removes its cookie.
    pub fn close(&self, headers: &HeaderMap) -> String {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for given in given(headers) {
            sessions.retain(|(session, _)| !session.is(given.as_bytes()));
        }
        format!("{}; Max-Age=0", cookie(headers, ""))
    }

    /// Who has the request's session; `None` where it has none of this server.
    pub fn of(&self, headers: &HeaderMap) -> Option<T> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut who = None;
        for given in given(headers) {
            // Every session is compared, whichever it is.
            for (session, whose) in sessions.iter() {
                if session.is(given.as_bytes()) {
                    who = Some(whose.clone());
                }
            }
        }
        who
    }
}

fn cookie(headers: &HeaderMap, value: &str) -> String {
    format!("{}={value}; Path=/; HttpOnly; SameSite=Strict", cookie_name(headers))
}

/// The values of the cookie of this server's name.
fn given(headers: &HeaderMap) -> Vec<&str> {
    let name = cookie_name(headers);
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = cookies.flat_map(|line| line.split(';'));
    let own = cookies.filter_map(|cookie| {
        let (found, value) = cookie.trim().split_once('=')?;
        (found == name).then_some(value)
    });
    own.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &str) -> HeaderMap {
        let pairs = [("host", "127.0.0.1:8017"), ("cookie", cookie)];
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_browser_is_known_by_its_cookie_until_it_leaves_or_too_many_came_after_it() {
        let sessions = Sessions::default();
        let set = sessions.open(&headers(""), 7);
        let (pair, rest) = set.split_once(';').unwrap();
        assert_eq!(rest, " Path=/; HttpOnly; SameSite=Strict");
        assert_eq!(sessions.of(&headers(&format!("a=b; {pair}"))), Some(7));
        let value = pair.split_once('=').unwrap().1;
        for other in
            ["", "parallax_8017=", &format!("parallax_80={value}"), &pair[..pair.len() - 1]]
        {
            assert_eq!(sessions.of(&headers(other)), None, "{other}");
        }
        let gone = sessions.close(&headers(pair));
        assert!(gone.starts_with("parallax_8017=;") && gone.ends_with("Max-Age=0"), "{gone}");
        assert_eq!(sessions.of(&headers(pair)), None);
        let first = sessions.open(&headers(""), 0);
        for other in 1..MOST {
            sessions.open(&headers(""), other);
        }
        let first = headers(first.split(';').next().unwrap());
        assert_eq!(sessions.of(&first), Some(0));
        sessions.open(&headers(""), MOST);
        assert_eq!(sessions.of(&first), None);
    }
}
