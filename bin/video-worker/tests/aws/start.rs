//! A start that cannot succeed says which variable is to blame, within ten seconds.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cloud::Cloud;

const SECRET: &str = "canary-7d1f";

/// Everything that a start may use, so that each variable can be spoilt.
fn environment(cloud: &Cloud, backend: &str) -> BTreeMap<String, String> {
    let mut all = cloud.environment();
    let more = [
        ("INFERENCE_BACKEND", backend),
        ("INFERENCE_HTTP_URL", "http://127.0.0.1:9"),
        ("INFERENCE_HTTP_TOKEN", SECRET),
        ("SAGEMAKER_ENDPOINT_NAME", "stereo"),
    ];
    all.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
    all.insert("CHUNKING_QUEUE_URL".to_owned(), cloud.queue_url("chunking"));
    all
}

/// Whether the check was good, the log, and the time from its first word to the end: how long the system
/// takes to load a program is not the program's.
fn check(cloud: &Cloud, environment: &BTreeMap<String, String>) -> (bool, String, Duration) {
    let mut command = cloud.command(environment, &["--check-config"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut log = String::new();
    stderr.read_line(&mut log).unwrap();
    let began = Instant::now();
    stderr.read_to_string(&mut log).unwrap();
    let good = child.wait().unwrap().success();
    (good, log, began.elapsed())
}

/// The daemon's last words: one line of its log, or what the command line's parser prints.
fn last_words(log: &str) -> String {
    let ends = |line: &&str| line.contains("\"video-worker ends\"");
    match log.lines().rev().find(ends) {
        Some(line) => {
            let line: Value = serde_json::from_str(line).unwrap();
            line["error"].as_str().unwrap().to_owned()
        }
        None => log.to_owned(),
    }
}

/// Stands for the address of a queue that is not there.
const NOWHERE: &str = "NOWHERE";
const MISSING: &str = "is not set";
const LONG: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// A backend, a variable, a value that cannot work (nothing: the variable is not set), and a word
/// of what is said of it.
const SPOILT: &[(&str, &str, &str, &str)] = &[
    ("stub", "PLATFORM", "gcp", "local, aws"),
    ("stub", "ROLES", "segments,oops", "oops"),
    ("draft", "STATE_DIR", "/proc/nowhere", "/proc/nowhere"),
    ("stub", "PLATFORM", "", "PLATFORM is not set, but JOBS_TABLE_NAME is"),
    ("stub", "AWS_REGION", "", MISSING),
    ("stub", "INPUT_BUCKET_NAME", "", MISSING),
    ("stub", "INPUT_BUCKET_NAME", "No Bucket", "No Bucket"),
    ("stub", "INPUT_BUCKET_NAME", "nowhere", "s3:ListBucket"),
    ("stub", "OUTPUT_BUCKET_NAME", "", MISSING),
    ("stub", "OUTPUT_BUCKET_NAME", "nowhere", "s3:ListBucket"),
    ("stub", "JOBS_TABLE_NAME", "", MISSING),
    ("stub", "JOBS_TABLE_NAME", "no table", "3 to 255"),
    ("stub", "JOBS_TABLE_NAME", "nowhere", "dynamodb:DescribeTable"),
    ("stub", "SEGMENT_COMPLETIONS_TABLE_NAME", "", MISSING),
    ("stub", "SEGMENT_COMPLETIONS_TABLE_NAME", "nowhere", "dynamodb:DescribeTable"),
    ("stub", "REASSEMBLY_TRIGGERED_TABLE_NAME", "", MISSING),
    ("stub", "REASSEMBLY_TRIGGERED_TABLE_NAME", "nowhere", "dynamodb:DescribeTable"),
    ("stub", "INFERENCE_INVOCATIONS_TABLE_NAME", "", MISSING),
    ("stub", "INFERENCE_INVOCATIONS_TABLE_NAME", "nowhere", "dynamodb:DescribeTable"),
    ("stub", "VIDEO_WORKER_QUEUE_URL", "", MISSING),
    ("stub", "VIDEO_WORKER_QUEUE_URL", "video-worker", "a queue's address"),
    ("stub", "VIDEO_WORKER_QUEUE_URL", NOWHERE, "sqs:GetQueueAttributes"),
    ("stub", "OUTPUT_EVENTS_QUEUE_URL", "", MISSING),
    ("stub", "OUTPUT_EVENTS_QUEUE_URL", NOWHERE, "sqs:GetQueueAttributes"),
    ("stub", "REASSEMBLY_QUEUE_URL", "", MISSING),
    ("stub", "REASSEMBLY_QUEUE_URL", NOWHERE, "sqs:GetQueueAttributes"),
    ("stub", "CHUNKING_QUEUE_URL", "https://", "a queue's address"),
    ("stub", "CHUNKING_QUEUE_URL", NOWHERE, "sqs:GetQueueAttributes"),
    ("stub", "DEAD_LETTER_QUEUE_URL", "ftp://x/y", "a queue's address"),
    ("stub", "DEAD_LETTER_QUEUE_URL", NOWHERE, "sqs:GetQueueAttributes"),
    ("stub", "SQS_LONG_POLL_WAIT_SECONDS", "21", "0..=20"),
    ("stub", "SQS_LONG_POLL_WAIT_SECONDS", "soon", "soon"),
    ("stub", "INFERENCE_BACKEND", "magic", "sagemaker"),
    ("stub", "INFERENCE_MAX_IN_FLIGHT", "0", "1..=20"),
    ("stub", "INFERENCE_MAX_IN_FLIGHT", "21", "1..=20"),
    ("stub", "METRICS_PROVIDER", "paper", "prometheus"),
    ("stub", "COMPLETION_OWNER", "nobody", "job-worker"),
    ("stub", "HEALTH_ADDRESS", "nowhere", "nowhere"),
    ("stub", "DRAIN_SECONDS", "3601", "0..=3600"),
    ("stub", "LEASE_SECONDS", "2", "3..=43200"),
    ("stub", "LOG_FORMAT", "verse", "verse"),
    ("stub", "LOG_FILTER", "a=b=c", "a=b=c"),
    ("http", "INFERENCE_HTTP_URL", "", MISSING),
    ("http", "INFERENCE_HTTP_URL", "nonsense", "nonsense"),
    ("http", "INFERENCE_HTTP_URL", "http://10.0.0.7", "INFERENCE_HTTP_ALLOW_PLAIN=true"),
    ("http", "INFERENCE_HTTP_ALLOW_PLAIN", "perhaps", "perhaps"),
    ("http", "INFERENCE_HTTP_CONNECT_SECONDS", "0", "1..=60"),
    ("http", "INFERENCE_HTTP_ANSWER_SECONDS", "3601", "1..=3600"),
    ("http", "INFERENCE_HTTP_PROGRESS_SECONDS", "601", "1..=600"),
    ("http", "INFERENCE_HTTP_TOTAL_SECONDS", "1199", "INFERENCE_HTTP_ANSWER_SECONDS"),
    ("http", "INFERENCE_HTTP_ACCEPTED_SECONDS", "0", "1..=43200"),
    ("stub", "RETRY_AFTER_LIMIT_SECONDS", "3601", "1..=3600"),
    ("sagemaker", "SAGEMAKER_ENDPOINT_NAME", "", MISSING),
    ("sagemaker", "SAGEMAKER_ENDPOINT_NAME", LONG, "1 to 63"),
    ("sagemaker", "SAGEMAKER_INVOKE_TIMEOUT_SECONDS", "3601", "1..=3600"),
    ("sagemaker", "SAGEMAKER_INVOKE_TIMEOUT_SECONDS", "0", "1..=3600"),
    ("sagemaker", "SAGEMAKER_REQUEST", "pigeon", "inline"),
];

#[test]
fn a_bad_variable_is_named() {
    let cloud = Cloud::start();
    let mut environment_of_stub = environment(&cloud, "stub");
    let (good, log, _) = check(&cloud, &environment_of_stub);
    assert!(good, "{log}");
    // Nothing is written on a root that may be read-only, and names may be written in capitals.
    for (name, value) in [("STATE_DIR", "/proc/nowhere"), ("PLATFORM", "AWS")] {
        environment_of_stub.insert(name.to_owned(), value.to_owned());
    }
    let (good, log, _) = check(&cloud, &environment_of_stub);
    assert!(good, "{log}");
    let nowhere = cloud.queue_url("nowhere");
    for (backend, variable, value, expected) in SPOILT {
        let value = if *value == NOWHERE { &nowhere } else { *value };
        let mut spoilt = environment(&cloud, backend);
        if value.is_empty() {
            spoilt.remove(*variable);
        } else {
            spoilt.insert((*variable).to_owned(), value.to_owned());
        }
        let (good, log, took) = check(&cloud, &spoilt);
        let words = last_words(&log);
        assert!(!good, "{variable}={value:?} was taken");
        assert!(words.contains(variable), "{variable}={value:?}: {words}");
        assert!(words.contains(expected), "{variable}={value:?}: {words}");
        assert!(!log.contains(SECRET), "{log}");
        assert!(took < Duration::from_secs(10), "{variable}={value:?}: {took:?}");
    }
}

#[test]
fn what_only_other_roles_need_is_not_asked_for() {
    let cloud = Cloud::start();
    let segments = "VIDEO_WORKER_QUEUE_URL";
    let (events, chunking) = ("OUTPUT_EVENTS_QUEUE_URL", "CHUNKING_QUEUE_URL");
    let backend = "INFERENCE_HTTP_URL";
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("segments", &[events, chunking], &[segments, backend]),
        ("output-events", &[segments, chunking], &[events, backend]),
        ("reconcile", &[events, chunking], &[segments, backend]),
        ("chunking", &[segments, events, backend], &[chunking, "REASSEMBLY_QUEUE_URL"]),
        ("reassembly", &[segments, events, chunking, backend], &["REASSEMBLY_QUEUE_URL"]),
    ];
    for (role, others, own) in cases {
        let mut environment = environment(&cloud, "http");
        environment.insert("ROLES".to_owned(), role.to_owned());
        // One that is said and out of reach is not asked for either.
        for other in others.iter().filter(|other| **other != chunking && **other != backend) {
            environment.insert((*other).to_owned(), cloud.queue_url("nowhere"));
        }
        let (good, log, _) = check(&cloud, &environment);
        assert!(good, "{role}: {log}");
        for other in others {
            environment.remove(*other);
        }
        let (good, log, _) = check(&cloud, &environment);
        assert!(good, "{role}: {log}");
        for needed in own {
            let mut spoilt = environment.clone();
            spoilt.remove(*needed);
            let (good, log, _) = check(&cloud, &spoilt);
            assert!(!good && last_words(&log).contains(needed), "{role}: {log}");
        }
    }
}

#[test]
fn every_setting_and_every_check_has_a_line() {
    let cloud = Cloud::start();
    let (good, log, _) = check(&cloud, &environment(&cloud, "http"));
    assert!(good, "{log}");
    assert!(!log.contains(SECRET));
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |message: &str, variable: &str| {
        let fits = |line: &&Value| line["message"] == message && line["variable"] == variable;
        lines.iter().find(fits).unwrap_or_else(|| panic!("{message} {variable}: {log}")).clone()
    };
    assert_eq!(find("configuration", "INFERENCE_HTTP_TOKEN")["value"], "[redacted]");
    assert_eq!(find("configuration", "INPUT_BUCKET_NAME")["source"], "environment");
    let wait = find("configuration", "SQS_LONG_POLL_WAIT_SECONDS");
    assert_eq!((&wait["value"], &wait["source"]), (&"20".into(), &"default".into()));
    assert_eq!(find("checked", "OUTPUT_BUCKET_NAME")["permission"], "s3:ListBucket");
    let checked = lines.iter().filter(|line| line["message"] == "checked").count();
    assert_eq!(checked, 11, "five queues, two buckets, four tables");
}

#[test]
fn a_denied_bucket_and_a_silent_service_are_named_in_time() {
    let cloud = Cloud::start();
    let denied = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = denied.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in denied.incoming().flatten() {
            std::thread::spawn(move || {
                let mut some = [0; 4096];
                while stream.read(&mut some).is_ok_and(|n| n > 0) {
                    let _ =
                        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
                }
            });
        }
    });
    let mut spoilt = environment(&cloud, "stub");
    spoilt.insert("AWS_ENDPOINT_URL_S3".to_owned(), format!("http://{address}"));
    let (good, log, took) = check(&cloud, &spoilt);
    let words = last_words(&log);
    assert!(!good && took < Duration::from_secs(10), "{took:?}");
    assert!(words.contains("INPUT_BUCKET_NAME") && words.contains("s3:ListBucket"), "{words}");

    // A listener that never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut spoilt = environment(&cloud, "stub");
    let address = format!("http://{}", silent.local_addr().unwrap());
    spoilt.insert("AWS_ENDPOINT_URL_SQS".to_owned(), address);
    let (good, log, took) = check(&cloud, &spoilt);
    let words = last_words(&log);
    assert!(!good && took < Duration::from_secs(10), "{took:?}");
    assert!(words.contains("VIDEO_WORKER_QUEUE_URL"), "{words}");
    assert!(!words.contains("BUCKET"), "{words}");
}

#[test]
fn a_queue_that_gives_up_too_soon_is_told() {
    let cloud = Cloud::start();
    let dead = "arn:aws:sqs:eu-west-1:123456789012:dead";
    for (most, expected) in [(10, None), (5, Some(true)), (1, Some(false))] {
        let policy = json!({"deadLetterTargetArn": dead, "maxReceiveCount": most}).to_string();
        let asked = json!({"QueueUrl": cloud.queue_url("video-worker"),
            "Attributes": {"RedrivePolicy": policy}});
        cloud.sqs("SetQueueAttributes", &asked);
        let (good, log, _) = check(&cloud, &environment(&cloud, "stub"));
        assert_eq!(good, expected != Some(false), "{most}: {log}");
        let told = log.lines().find(|line| line.contains("redrive policy"));
        assert_eq!(told.is_some(), expected.is_some(), "{most}: {log}");
        if let Some(line) = told {
            assert!(line.contains("VIDEO_WORKER_QUEUE_URL"), "{line}");
            assert!(line.contains(if expected == Some(true) { "\"WARN\"" } else { "\"ERROR\"" }));
        }
    }
}
