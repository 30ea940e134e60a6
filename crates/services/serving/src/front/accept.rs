//! What a caller wants to be answered with.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// Whether server-sent events are asked for: `text/event-stream` among the types of `Accept`.
pub(super) fn events(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(ACCEPT).into_iter().filter_map(|list| list.to_str().ok());
    let mut types = lists.flat_map(|list| list.split(','));
    types.any(|one| {
        let name = one.split(';').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("text/event-stream")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_asked_for_by_their_type() {
        for (accept, wanted) in [
            ("text/event-stream", true),
            ("application/json, Text/Event-Stream;q=0.9", true),
            ("*/*", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(events(&headers), wanted, "{accept}");
        }
        assert!(!events(&HeaderMap::new()));
    }
}
