//! Names and messages that mean no good: each is answered, and what is taken is what it says.

#![allow(clippy::unwrap_used)]

use parallax_fuzz::Cases;
use parallax_job::{
    JobId, Mode, Notification, ObjectEvent, ObjectKey, ReassemblyMessage, Record, Uri,
    parse_notification, parse_timed_notification, s3_notification,
};

const CASES: u64 = 20_000;

#[test]
fn fuzz_uris() {
    let corpus = [
        "s3://input/segments/job-1/00000_00002_sbs.mp4",
        "gs://bucket.name/key with space/ü.mp4",
        "file:///srv/video/in/a%20b.mp4",
    ];
    let mut taken = 0;
    Cases::new(CASES, &corpus, &["s3://", "gs://", "file:///", "%2f", "..", "/./"]).run_text(
        |text| {
            let Ok(uri) = text.parse::<Uri>() else { return };
            taken += 1;
            assert_eq!(uri.to_string().parse::<Uri>().unwrap(), uri, "it is written as it is read");
            if let Uri::File(path) = &uri {
                let parts: Vec<_> = path.components().collect();
                assert!(path.is_absolute() && parts.len() > 1, "{path:?}");
                assert!(!path.to_str().unwrap().split('/').any(|part| part == ".."), "{path:?}");
            }
        },
    );
    assert!(taken > CASES / 100, "{taken}");
}

#[test]
fn fuzz_keys() {
    let corpus = [
        "input/job-1/source.mp4",
        "segments/job-1/00000_00002_anaglyph.mp4",
        "jobs/job_1/segments/17.mp4",
        "jobs/job-1/final.mp4",
        "jobs/job-1/.reassembly-done",
        "sagemaker-invocation-requests/job-1/0.json",
        "sagemaker-async-responses/abc.out",
        "sagemaker-async-failures/abc-error.out",
    ];
    let mut taken = 0;
    Cases::new(CASES, &corpus, &["jobs/", "segments/", "_", "00001", "sbs", "/"]).run_text(
        |text| {
            if let Ok(key) = text.parse::<ObjectKey>() {
                taken += 1;
                assert_eq!(key.to_string(), text, "one spelling for each key");
            }
            if let Ok(id) = text.parse::<JobId>() {
                assert_eq!(id.to_string(), text);
            }
            let _ = text.parse::<Mode>();
        },
    );
    assert!(taken > CASES / 100, "{taken}");
}

#[test]
fn fuzz_messages() {
    let event = ObjectEvent { bucket: "input".to_owned(), key: "a b/ü".to_owned(), size: Some(7) };
    let inner = r#"{\"invocationStatus\": \"Failed\", \"failureReason\": \"x\"}"#;
    let corpus = [
        s3_notification(&[event.clone(), event]),
        r#"{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "input"}"#.to_owned(),
        r#"{"detail-type": "Object Created", "time": "2024-01-01T00:00:00Z",
            "detail": {"bucket": {"name": "b"}, "object": {"key": "k", "size": 1}}}"#
            .to_owned(),
        r#"{"invocationStatus": "Completed", "inferenceId": "i",
            "requestParameters": {"inputLocation": "s3://input/a"},
            "responseParameters": {"outputLocation": "s3://output/a"}}"#
            .to_owned(),
        format!(r#"{{"Type": "Notification", "TopicArn": "arn:x", "Message": "{inner}"}}"#),
        r#"{"job_id": "job-1"}"#.to_owned(),
    ];
    let words = ["Records", "eventName", "ObjectCreated:Put", "Type", "Message", "detail", "+"];
    let mut records = 0;
    Cases::new(CASES, &corpus, &words).run_text(|text| {
        if let Ok(Notification::Records(found)) = parse_notification(text) {
            records += found.len();
            for record in found {
                // Whatever is shown of a stranger's message is short.
                if let Record::Malformed(why) | Record::Foreign(why) = record {
                    assert!(why.len() < 2000, "{why}");
                }
            }
        }
        let timed = parse_timed_notification(text).map(|(read, _)| read);
        assert_eq!(timed.is_ok(), parse_notification(text).is_ok());
        if let Ok(message) = ReassemblyMessage::parse(text) {
            assert_eq!(ReassemblyMessage::parse(&message.body()).unwrap(), message);
        }
    });
    assert!(records > CASES as usize / 100, "{records}");
}
