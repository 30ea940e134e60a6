//! What a caller wants to be answered with.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";

/// Whether server-sent events are asked for: their type is named in `Accept`, and JSON is not, or
/// with less weight.
pub(super) fn events(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(ACCEPT).into_iter().filter_map(|list| list.to_str().ok());
    let types: Vec<(String, f32)> = lists.flat_map(|list| list.split(',')).map(weighed).collect();
    let weight = |name: &str| {
        let of_name = types.iter().filter(|(found, _)| found == name).map(|(_, weight)| *weight);
        of_name.fold(0.0, f32::max)
    };
    weight(EVENTS) > weight(JSON)
}

/// A type and its weight, which is 1 unless it says otherwise (RFC 9110, 12.4.2).
fn weighed(one: &str) -> (String, f32) {
    let mut parts = one.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    (name, weight.map_or(1.0, |text| text.parse().unwrap_or(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_asked_for_by_their_type() {
        for (accept, wanted) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; q=0.2, */*", true),
            ("application/json;q=0.5, text/event-stream", true),
            ("application/json, text/event-stream;q=0.9", false),
            ("application/json, text/event-stream", false),
            ("text/event-stream;q=0", false),
            ("text/event-stream;q=much", false),
            ("*/*", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(events(&headers), wanted, "{accept}");
        }
        assert!(!events(&HeaderMap::new()));
    }
}
