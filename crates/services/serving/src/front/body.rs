//! A request's body: bounded in bytes, time and depth.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use futures::StreamExt;
use serde_json::Value;

use super::Limits;
use crate::{Failure, FailureKind};

/// Arrays and objects within each other that a request may have. No operation needs a third of it.
const DEPTH: usize = 32;
/// What is read beyond the limit of a body, and for how long at most.
const DROPPED_BYTES: usize = 1 << 20;
const DROPPING: Duration = Duration::from_millis(500);

/// Reads a JSON body.
///
/// # Errors
/// `TooLarge`, `TooSlow` or `Invalid`.
pub(super) async fn json(
    headers: &HeaderMap,
    body: Body,
    limits: Limits,
) -> Result<Value, Failure> {
    parse(&read(headers, body, limits).await?)
}

async fn read(headers: &HeaderMap, body: Body, limits: Limits) -> Result<Vec<u8>, Failure> {
    let too_large = || {
        let message = format!("the body is larger than {} bytes", limits.body_bytes);
        Failure::new(FailureKind::TooLarge, message)
    };
    let mut body = body.into_data_stream();
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > limits.body_bytes) {
        // Who expects to be told to go on has sent nothing yet, and reading would tell him.
        if !headers.contains_key(EXPECT) {
            drop_rest(&mut body).await;
        }
        return Err(too_large());
    }
    let reading = async {
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            let broken = |_| Failure::new(FailureKind::Invalid, "the body broke off");
            let chunk = chunk.map_err(broken)?;
            if bytes.len() + chunk.len() > limits.body_bytes {
                drop_rest(&mut body).await;
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::time::timeout(limits.body, reading).await.unwrap_or_else(|_| Err(slow(limits.body)))
}

/// Reads and forgets a little more of a body that is too large: closing a connection on what was sent
/// already resets it, and the answer is lost on the way.
async fn drop_rest(body: &mut BodyDataStream) {
    let dropping = async {
        let mut left = DROPPED_BYTES;
        while let Some(Ok(chunk)) = body.next().await {
            left = match left.checked_sub(chunk.len()) {
                Some(left) => left,
                None => return,
            };
        }
    };
    let _ = tokio::time::timeout(DROPPING, dropping).await;
}

fn slow(limit: Duration) -> Failure {
    let message = format!("the body took longer than {} s", limit.as_secs_f64());
    Failure::new(FailureKind::TooSlow, message)
}

/// Reads JSON that is not nested too deeply. Total: any bytes are answered.
///
/// # Errors
/// `Invalid`.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Failure> {
    if depth(bytes) > DEPTH {
        let message = format!("the body is nested more than {DEPTH} deep");
        return Err(Failure::new(FailureKind::Invalid, message));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Failure::new(FailureKind::Invalid, format!("the body is not JSON: {place}"))
    })
}

/// The deepest nesting of arrays and objects, whether the text is JSON or not.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut most) = (0usize, 0usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nesting_is_counted_outside_of_strings() {
        assert_eq!(depth(br#"{"a":[1,{"b":"[[[[\"[["}]}"#), 3);
        assert_eq!(depth(b"]]]][["), 2);
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(deep(DEPTH).as_bytes()).is_ok());
        assert_eq!(parse(deep(DEPTH + 1).as_bytes()).unwrap_err().kind, FailureKind::Invalid);
        assert!(parse("[".repeat(1 << 20).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn whatever_is_json_and_flat_is_read(text in "\\PC*", number in any::<i64>()) {
            let value = serde_json::json!({ "text": text, "number": [number, null, true] });
            prop_assert_eq!(parse(value.to_string().as_bytes()).unwrap(), value);
        }
    }
}
