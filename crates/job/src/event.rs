//! Notifications: S3's own shape and EventBridge's, and an endpoint's results, each of them also
//! in the envelope of an SNS topic.
//!
//! Delivery is at least once, unordered and may carry several records in one message, some of
//! them about other things. So a notification is parsed record by record, and a record that
//! makes no sense does not hide its neighbours.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::inference::Wire;
use crate::{InferenceResult, Timestamp};

/// An object that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEvent {
    /// Bucket name.
    pub bucket: String,
    /// Object key, decoded.
    pub key: String,
    /// Size in bytes, when the event says.
    pub size: Option<u64>,
}

/// One record of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An object was written.
    Created(ObjectEvent),
    /// An asynchronous endpoint is done with an invocation.
    Inference(InferenceResult),
    /// Something else happened; its name, for the log.
    Foreign(String),
    /// The record could not be understood, and why.
    Malformed(String),
}

/// A notification message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// Records, possibly none.
    Records(Vec<Record>),
    /// `s3:TestEvent` or `TestNotification`, sent when notifications are configured.
    Test,
}

/// The largest body that is looked at: the queue's own limit.
const MAX_BODY_BYTES: usize = 1 << 20;
/// The most records in one message. S3 sends one today and promises no bound.
const MAX_RECORDS: usize = 1000;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "Records", borrow)]
    records: Option<Vec<&'a RawValue>>,
    #[serde(rename = "Event")]
    event: Option<Cow<'a, str>>,
    #[serde(rename = "eventName", borrow)]
    event_name: Option<Cow<'a, str>>,
    #[serde(rename = "Type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(rename = "Message")]
    message: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    detail: Option<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    bucket: Name,
    object: Object,
}

#[derive(Deserialize, Serialize)]
struct Name {
    name: String,
}

#[derive(Deserialize, Serialize)]
struct Object {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

#[derive(Deserialize, Serialize)]
struct WireRecord {
    #[serde(rename = "eventName")]
    event_name: String,
    s3: Option<S3>,
}

#[derive(Deserialize, Serialize)]
struct S3 {
    bucket: Name,
    object: Object,
}

/// Parses a message body.
///
/// # Errors
/// A reason, when the body as a whole is not a notification.
pub fn parse_notification(body: &str) -> Result<Notification, String> {
    if body.len() > MAX_BODY_BYTES {
        return Err(format!("body of {} bytes: at most {MAX_BODY_BYTES} are read", body.len()));
    }
    let envelope = read(body)?;
    if envelope.kind.as_deref() == Some("Notification") {
        let message = envelope.message.ok_or("a topic's envelope without Message")?;
        return parse_plain(read(&message)?, &message);
    }
    parse_plain(envelope, body)
}

fn read(body: &str) -> Result<Envelope<'_>, String> {
    serde_json::from_str(body).map_err(|error| format!("not a notification: {error}"))
}

fn parse_plain(envelope: Envelope<'_>, body: &str) -> Result<Notification, String> {
    if let Some(records) = envelope.records {
        if records.len() > MAX_RECORDS {
            return Err(format!("{} records: at most {MAX_RECORDS} are read", records.len()));
        }
        return Ok(Notification::Records(records.into_iter().map(s3_record).collect()));
    }
    let names = [envelope.event.as_deref(), envelope.event_name.as_deref()];
    if names.iter().flatten().any(|name| ["s3:TestEvent", "TestNotification"].contains(name)) {
        return Ok(Notification::Test);
    }
    if envelope.event_name.as_deref() == Some("InferenceResult") {
        let wire: Wire = serde_json::from_str(body)
            .map_err(|error| format!("not an InferenceResult: {error}"))?;
        let record = wire.read().map_or_else(Record::Malformed, Record::Inference);
        return Ok(Notification::Records(vec![record]));
    }
    match (envelope.detail_type, envelope.detail) {
        (Some(kind), Some(detail)) if kind == "Object Created" => {
            Ok(Notification::Records(vec![created(detail.bucket, detail.object, false)]))
        }
        (Some(kind), _) => Ok(Notification::Records(vec![Record::Foreign(kind)])),
        _ => Err("neither Records, an object event's detail nor an InferenceResult".to_owned()),
    }
}

fn s3_record(raw: &RawValue) -> Record {
    let record: WireRecord = match serde_json::from_str(raw.get()) {
        Ok(record) => record,
        Err(error) => return Record::Malformed(error.to_string()),
    };
    // "s3:" is the prefix in the configuration, not in the event; both have been seen.
    let name = record.event_name.strip_prefix("s3:").unwrap_or(&record.event_name);
    if !name.starts_with("ObjectCreated:") {
        return Record::Foreign(record.event_name.chars().take(64).collect());
    }
    match record.s3 {
        Some(S3 { bucket, object }) => created(bucket, object, true),
        None => Record::Malformed("an ObjectCreated record without s3".to_owned()),
    }
}

fn created(bucket: Name, object: Object, encoded: bool) -> Record {
    let key = if encoded {
        // Form encoding: '+' is a space, and a literal '+' arrives as %2B.
        let spaced = object.key.replace('+', " ");
        match percent_decode_str(&spaced).decode_utf8() {
            Ok(key) => key.into_owned(),
            Err(_) => return Record::Malformed("the key is not UTF-8 once decoded".to_owned()),
        }
    } else {
        object.key
    };
    Record::Created(ObjectEvent { bucket: bucket.name, key, size: object.size })
}

/// When the first event of a notification happened, where it says.
pub fn notification_time(body: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Timed<'a> {
        #[serde(rename = "Records", borrow)]
        records: Option<Vec<At<'a>>>,
        #[serde(borrow)]
        time: Option<Cow<'a, str>>,
    }
    #[derive(Deserialize)]
    struct At<'a> {
        #[serde(rename = "eventTime", borrow)]
        event_time: Option<Cow<'a, str>>,
    }
    let timed: Timed = serde_json::from_str(body).ok()?;
    let first = timed.records.and_then(|records| records.into_iter().next()?.event_time);
    Timestamp::parse_utc(&first.or(timed.time)?)
}

/// Builds the notification that S3 would send for `events`: what the embedded object store emits.
pub fn s3_notification(events: &[ObjectEvent]) -> String {
    #[derive(Serialize)]
    struct Out {
        #[serde(rename = "Records")]
        records: Vec<WireRecord>,
    }
    let encode = |key: &str| {
        const KEPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
            .remove(b'/')
            .remove(b'-')
            .remove(b'_')
            .remove(b'.')
            .remove(b'~');
        percent_encoding::utf8_percent_encode(key, KEPT).to_string()
    };
    let records = events
        .iter()
        .map(|event| WireRecord {
            event_name: "ObjectCreated:Put".to_owned(),
            s3: Some(S3 {
                bucket: Name { name: event.bucket.clone() },
                object: Object { key: encode(&event.key), size: event.size },
            }),
        })
        .collect();
    // Strings and numbers in structs: serialisation cannot fail.
    serde_json::to_string(&Out { records }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn created(bucket: &str, key: &str, size: Option<u64>) -> ObjectEvent {
        ObjectEvent { bucket: bucket.into(), key: key.into(), size }
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_parsed_back(keys in prop::collection::vec("[^\\p{Cc}]{1,60}", 0..5)) {
            let events: Vec<_> = keys.iter().map(|k| created("in", k, Some(7))).collect();
            let parsed = parse_notification(&s3_notification(&events)).unwrap();
            let expected = events.into_iter().map(Record::Created).collect();
            prop_assert_eq!(parsed, Notification::Records(expected));
        }

        #[test]
        fn any_text_is_answered(text in any::<String>()) {
            let _ = parse_notification(&text);
        }
    }

    #[test]
    fn every_record_is_seen_and_a_bad_one_hides_none() {
        let body = r#"{"Records":[
            {"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"a+b%2Bc","size":3}}},
            {"eventName":"ObjectRemoved:Delete","s3":{"bucket":{"name":"b"},"object":{"key":"x"}}},
            {"eventName":"ObjectCreated:Put"},
            7,
            {"eventName":"s3:ObjectCreated:CompleteMultipartUpload","s3":{"bucket":{"name":"b"},"object":{"key":"y"}}}
        ]}"#;
        let Notification::Records(records) = parse_notification(body).unwrap() else { panic!() };
        assert_eq!(records[0], Record::Created(created("b", "a b+c", Some(3))));
        assert_eq!(records[1], Record::Foreign("ObjectRemoved:Delete".into()));
        assert!(matches!(records[2], Record::Malformed(_)));
        assert!(matches!(records[3], Record::Malformed(_)));
        assert_eq!(records[4], Record::Created(created("b", "y", None)));
    }

    #[test]
    fn a_notification_may_say_when_it_happened() {
        let at = Some(Timestamp(1_700_000_000_123));
        for (body, expected) in [
            (r#"{"Records":[{"eventTime":"2023-11-14T22:13:20.123Z"}]}"#, at),
            (r#"{"time":"2023-11-14T22:13:20.123Z","detail-type":"x"}"#, at),
            (r#"{"Records":[{"eventTime":"yesterday"}]}"#, None),
            (r#"{"Records":[{}]}"#, None),
            ("[]", None),
        ] {
            assert_eq!(notification_time(body), expected, "{body}");
        }
    }

    #[test]
    fn eventbridge_keys_are_not_decoded() {
        let body = r#"{"version":"0","detail-type":"Object Created","source":"aws.s3",
            "detail":{"bucket":{"name":"b"},"object":{"key":"a+b%2B","size":1}}}"#;
        let expected = Record::Created(created("b", "a+b%2B", Some(1)));
        assert_eq!(parse_notification(body).unwrap(), Notification::Records(vec![expected]));
    }

    #[test]
    fn test_events_and_nonsense_are_told_apart() {
        let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#;
        assert_eq!(parse_notification(test).unwrap(), Notification::Test);
        let deep = "[".repeat(200_000);
        let deep_record =
            format!("{{\"Records\":[{}{}]}}", "[".repeat(300_000), "]".repeat(300_000));
        for bad in ["", "[]", "null", "123", "\"x\"", "{}", &deep, &" ".repeat(MAX_BODY_BYTES + 1)]
        {
            assert!(parse_notification(bad).is_err());
        }
        if let Ok(Notification::Records(records)) = parse_notification(&deep_record) {
            assert!(matches!(records[0], Record::Malformed(_)));
        }
    }
}
