//! What the status and headers of an answer mean.

use std::time::{Duration, SystemTime};

use parallax_ports::Kind;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The longest wait that a server is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The longest text of an answer that goes into an error.
const LONGEST_TEXT: usize = 500;

/// `Ok(true)` for finished, `Ok(false)` for accepted.
pub(super) fn kind(status: u16) -> Result<bool, Kind> {
    match status {
        202 => Ok(false),
        200..=299 => Ok(true),
        429 => Err(Kind::Throttled),
        408 | 503 => Err(Kind::Unavailable),
        // A gateway gave up waiting; what stands behind it may be at work.
        504 => Err(Kind::Timeout),
        404 => Err(Kind::NotFound),
        // A redirect is not followed: like missing credentials it is a fault of the deployment.
        100..=199 | 300..=399 | 401 | 403 | 407 => Err(Kind::Unauthorized),
        400..=499 => Err(Kind::Rejected),
        _ => Err(Kind::Internal),
    }
}

/// `Retry-After`, in seconds or as a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = httpdate::parse_http_date(text).ok()?;
            at.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

/// The beginning of a body on one line, without anything that a terminal would act on.
pub(super) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(LONGEST_TEXT).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_what_the_contract_says() {
        for (status, expected) in [
            (200, Ok(true)),
            (202, Ok(false)),
            (302, Err(Kind::Unauthorized)),
            (400, Err(Kind::Rejected)),
            (401, Err(Kind::Unauthorized)),
            (404, Err(Kind::NotFound)),
            (422, Err(Kind::Rejected)),
            (429, Err(Kind::Throttled)),
            (500, Err(Kind::Internal)),
            (503, Err(Kind::Unavailable)),
            (504, Err(Kind::Timeout)),
        ] {
            assert_eq!(kind(status), expected, "{status}");
        }
    }

    #[test]
    fn waits_are_seconds_or_dates_and_bounded() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("999999999"), Some(LONGEST_WAIT));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-3"), None);
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let later = SystemTime::now() + Duration::from_secs(90);
        let parsed = wait(&httpdate::fmt_http_date(later)).unwrap();
        assert!(parsed > Duration::from_secs(80) && parsed <= Duration::from_secs(90));
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn bodies_are_shown_short_and_plain() {
        assert_eq!(printable(b" a\x1b[31m\nb\xff "), "a [31m b\u{fffd}");
        assert_eq!(printable(&[b'x'; 9000]).len(), LONGEST_TEXT);
    }
}
