//! A request's body: bounded in bytes, time and depth.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use futures::StreamExt;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use crate::service::LARGE_BODIES;
use crate::{Failure, FailureKind, Service};

/// Arrays and objects within each other that a request may have. No operation needs a third of it.
const DEPTH: usize = 32;
/// What is read beyond the limit of a body, and for how long at most.
const DROPPED_BYTES: usize = 1 << 20;
const DROPPING: Duration = Duration::from_millis(500);

/// A body with more bytes takes one of the few places for large ones.
const LARGE_BYTES: usize = 64 << 10;

/// What reads the bodies of one front.
#[derive(Debug)]
pub(super) struct Bodies {
    limits: Limits,
    large: Arc<Semaphore>,
}

/// A request's body. What is large keeps its place until this is dropped: keep it until the request
/// is admitted.
#[derive(Debug)]
pub(super) struct Json {
    pub(super) value: Value,
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// What reads bodies for `service`, whose fronts share the places for large ones.
    pub(super) fn new(limits: Limits, service: &Service) -> Self {
        Self { limits, large: service.large_bodies.clone() }
    }

    /// Reads a JSON body.
    ///
    /// # Errors
    /// `TooLarge`, `TooSlow`, `Invalid`, or `Overloaded` when there are as many large ones as may be.
    pub(super) async fn json(&self, headers: &HeaderMap, body: Body) -> Result<Json, Failure> {
        let (bytes, place) = self.read(headers, body).await?;
        Ok(Json { value: parse(&bytes)?, place })
    }

    async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Failure> {
        let most = self.limits.most_body_bytes();
        let too_large = || {
            let message = format!("the body is larger than {most} bytes");
            Failure::new(FailureKind::TooLarge, message)
        };
        let mut body = body.into_data_stream();
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|bytes| bytes > most) {
            // With `Expect: 100-continue` the client has not sent the body; reading would make
            // hyper send the 100.
            if !headers.contains_key(EXPECT) {
                let _ = tokio::time::timeout(DROPPING, drop_rest(&mut body, DROPPED_BYTES)).await;
            }
            return Err(too_large());
        }
        let reading = async {
            let (mut bytes, mut place) = (Vec::new(), None);
            while let Some(chunk) = body.next().await {
                let broken = |_| Failure::new(FailureKind::Invalid, "the body broke off");
                let chunk = chunk.map_err(broken)?;
                if bytes.len() + chunk.len() > most {
                    let rest = drop_rest(&mut body, DROPPED_BYTES);
                    let _ = tokio::time::timeout(DROPPING, rest).await;
                    return Err(too_large());
                }
                bytes.extend_from_slice(&chunk);
                if bytes.len() > LARGE_BYTES && place.is_none() {
                    let Ok(taken) = self.large.clone().try_acquire_owned() else {
                        drop(bytes);
                        // All of it, so that the answer arrives and the connection goes on.
                        drop_rest(&mut body, most).await;
                        return Err(too_many());
                    };
                    place = Some(taken);
                }
            }
            Ok((bytes, place))
        };
        let limit = self.limits.body;
        tokio::time::timeout(limit, reading).await.unwrap_or_else(|_| Err(slow(limit)))
    }
}

fn too_many() -> Failure {
    let message = format!(
        "{LARGE_BODIES} requests of more than {LARGE_BYTES} bytes are being read; no more at once"
    );
    Failure::new(FailureKind::Overloaded, message)
}

/// Reads and forgets at most so much more of a body: closing a connection on what was sent already
/// resets it, and the answer is lost on the way.
async fn drop_rest(body: &mut BodyDataStream, most: usize) {
    let mut left = most;
    while let Some(Ok(chunk)) = body.next().await {
        left = match left.checked_sub(chunk.len()) {
            Some(left) => left,
            None => return,
        };
    }
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
