//! Notifications: S3's own shape and EventBridge's, and an endpoint's results, each of them also
//! in the envelope of an SNS topic.
//!
//! Delivery is at least once, unordered and may carry several records in one message, some of
//! them about other things. So a notification is parsed record by record, and a record that
//! makes no sense does not hide its neighbours.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;
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

/// A notification, and when the first event of it happened, where it says.
pub type Timed = (Notification, Option<Timestamp>);

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
    time: Option<Value>,
    #[serde(rename = "eventTime")]
    event_time: Option<Value>,
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
    /// Absent from what some forwarders make of a notification: then the object tells.
    #[serde(rename = "eventName", skip_serializing_if = "Option::is_none")]
    event_name: Option<String>,
    /// Of any type, so that an odd one does not cost the record.
    #[serde(rename = "eventTime", skip_serializing_if = "Option::is_none")]
    event_time: Option<Value>,
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
    parse_timed_notification(body).map(|(notification, _)| notification)
}

/// The same, and when the first event of the message happened, where it says.
///
/// # Errors
/// As [`parse_notification`].
pub fn parse_timed_notification(body: &str) -> Result<Timed, String> {
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

fn parse_plain(envelope: Envelope<'_>, body: &str) -> Result<Timed, String> {
    let at = utc(envelope.event_time.as_ref().or(envelope.time.as_ref()));
    if let Some(records) = envelope.records {
        if records.len() > MAX_RECORDS {
            return Err(format!("{} records: at most {MAX_RECORDS} are read", records.len()));
        }
        let (records, times): (Vec<_>, Vec<_>) = records.into_iter().map(s3_record).unzip();
        return Ok((Notification::Records(records), times.first().copied().flatten()));
    }
    let names = [envelope.event.as_deref(), envelope.event_name.as_deref()];
    if names.iter().flatten().any(|name| ["s3:TestEvent", "TestNotification"].contains(name)) {
        return Ok((Notification::Test, None));
    }
    if envelope.event_name.as_deref() == Some("InferenceResult") {
        let wire: Wire = serde_json::from_str(body)
            .map_err(|error| format!("not an InferenceResult: {error}"))?;
        let record = wire.read().map_or_else(Record::Malformed, Record::Inference);
        return Ok((Notification::Records(vec![record]), at));
    }
    match (envelope.detail_type, envelope.detail) {
        (Some(kind), Some(detail)) if kind == "Object Created" => {
            let record = created(detail.bucket, detail.object, false);
            Ok((Notification::Records(vec![record]), at))
        }
        (Some(kind), _) => Ok((Notification::Records(vec![Record::Foreign(kind)]), at)),
        _ => Err("neither Records, an object event's detail nor an InferenceResult".to_owned()),
    }
}

fn utc(text: Option<&Value>) -> Option<Timestamp> {
    Timestamp::parse_utc(text?.as_str()?)
}

fn s3_record(raw: &RawValue) -> (Record, Option<Timestamp>) {
    match serde_json::from_str::<WireRecord>(raw.get()) {
        Ok(record) => {
            let at = utc(record.event_time.as_ref());
            (read_s3_record(record), at)
        }
        Err(error) => (Record::Malformed(error.to_string()), None),
    }
}

fn read_s3_record(record: WireRecord) -> Record {
    // "s3:" is the prefix in the configuration, not in the event; both have been seen.
    let told = record.event_name.as_deref();
    let name = told.map(|name| name.strip_prefix("s3:").unwrap_or(name));
    if let Some(name) = name.filter(|name| !name.starts_with("ObjectCreated:")) {
        return Record::Foreign(name.chars().take(64).collect());
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

/// Builds the notification that S3 would send for `events`: what the embedded object store emits.
pub fn s3_notification(events: &[ObjectEvent]) -> String {
    notification(events, None)
}

/// The same with the time at which all of it happened, by the store's clock.
pub fn s3_notification_at(events: &[ObjectEvent], at: Timestamp) -> String {
    notification(events, Some(at))
}

fn notification(events: &[ObjectEvent], at: Option<Timestamp>) -> String {
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
            event_name: Some("ObjectCreated:Put".to_owned()),
            event_time: at.map(|at| Value::String(at.to_utc())),
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
            {"eventName":"s3:ObjectCreated:CompleteMultipartUpload","s3":{"bucket":{"name":"b"},"object":{"key":"y"}}},
            {"s3":{"bucket":{"name":"b"},"object":{"key":"z"}}}
        ]}"#;
        let Notification::Records(records) = parse_notification(body).unwrap() else { panic!() };
        assert_eq!(records[0], Record::Created(created("b", "a b+c", Some(3))));
        assert_eq!(records[1], Record::Foreign("ObjectRemoved:Delete".into()));
        assert!(matches!(records[2], Record::Malformed(_)));
        assert!(matches!(records[3], Record::Malformed(_)));
        assert_eq!(records[4], Record::Created(created("b", "y", None)));
        assert_eq!(records[5], Record::Created(created("b", "z", None)), "it names no event");
    }

    #[test]
    fn a_notification_may_say_when_it_happened_also_through_a_topic() {
        let at = Some(Timestamp(1_700_000_000_123));
        let record = r#"{"eventName":"ObjectCreated:Put","eventTime":"2023-11-14T22:13:20.123Z"}"#;
        for (body, expected) in [
            (format!(r#"{{"Records":[{record}]}}"#), at),
            (format!(r#"{{"Records":[{record},{{"eventTime":"2025-01-01T00:00:00Z"}}]}}"#), at),
            (r#"{"time":"2023-11-14T22:13:20.123Z","detail-type":"x"}"#.to_owned(), at),
            (
                r#"{"eventName":"InferenceResult","invocationStatus":"Completed",
                    "eventTime":"2023-11-14T22:13:20.123Z"}"#
                    .to_owned(),
                at,
            ),
            (format!(r#"{{"Records":[{}]}}"#, record.replace("2023-11-14T", "on day ")), None),
            (r#"{"Records":[{"eventName":"ObjectCreated:Put"}]}"#.to_owned(), None),
            (r#"{"Records":[]}"#.to_owned(), None),
        ] {
            let enveloped = serde_json::json!({"Type": "Notification", "Message": body});
            for body in [body, enveloped.to_string()] {
                assert_eq!(parse_timed_notification(&body).unwrap().1, expected, "{body}");
            }
        }
    }

    #[test]
    fn an_odd_time_costs_no_record() {
        let body = r#"{"Records":[{"eventName":"ObjectCreated:Put","eventTime":7,
            "s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]}"#;
        let expected = Notification::Records(vec![Record::Created(created("b", "k", None))]);
        assert_eq!(parse_timed_notification(body).unwrap(), (expected, None));
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
