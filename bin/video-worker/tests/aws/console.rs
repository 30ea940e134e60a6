//! The console beside a daemon, over what a deployment holds.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Daemon, until};
use crate::operate::{failed_row, segment_event};

const TOKEN: &str = "a-token-of-the-tests";

/// Asks as a program does that has the token or has none; the status and the body.
fn ask(host: &str, method: &str, path: &str, token: Option<&str>, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(host).unwrap();
    let bearer = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    write!(stream, "{head}{bearer}Content-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn seen(host: &str, path: &str) -> Value {
    let (status, body) = ask(host, "GET", path, None, "");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn done(host: &str, path: &str) -> Value {
    let (status, body) = ask(host, "POST", &format!("/api/do/{path}"), Some(TOKEN), "{}");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn an_operator_sees_what_failed_and_sets_it_going_again() {
    let cloud = Cloud::start();
    cloud.job_in("job-z", "failed", 2);
    cloud.upload_segment("job-z", 1, 2);
    cloud.sqs("PurgeQueue", &json!({"QueueUrl": cloud.queue_url("video-worker")}));
    cloud.put_item("invocations", &failed_row("job-z", 1, 2));
    let cuts = json!({"output_location": {"S": "cuts#job-z"}, "cuts": {"SS": ["2#sbs"]}});
    cloud.put_item("invocations", &cuts);
    cloud.job_in("alive", "chunking_complete", 2);
    cloud.send("dead", &segment_event("alive"), &[("reason", "exhausted after 12 deliveries")]);
    cloud.send("dead", "not JSON, token=canary", &[("reason", "not a notification")]);
    let work = json!({"M": {"deadline_ms": {"N": "1700000060000"}, "attempt": {"N": "3"},
        "segment": {"S": "alive#2#0#sbs"}}});
    let permits = json!({"output_location": {"S": "permits#stub"}, "holders": {"M": {"h": work}}});
    cloud.put_item("invocations", &permits);
    // A role that touches neither of them.
    let daemon = Daemon::start(
        &cloud,
        &[
            ("ROLES", "output-events"),
            ("WORKER_CONSOLE_ADDRESS", "127.0.0.1:0"),
            ("WORKER_CONSOLE_TOKEN", TOKEN),
        ],
    );
    let host = daemon.said("the operator's console");
    let overview = seen(&host, "/api/");
    assert_eq!(overview["failed"]["jobs"][0]["job_id"], "job-z", "{overview}");
    assert_eq!(
        (&overview["dead_letters"], &overview["held"]),
        (&2.into(), &1.into()),
        "{overview}"
    );
    let job = seen(&host, "/api/jobs/job-z");
    assert_eq!(job["segments"][1]["last_error"]["message"], "out of memory", "{job}");
    let permits = seen(&host, "/api/permits");
    assert_eq!(permits["permits"][0]["job_id"], "alive");
    assert_eq!(permits["permits"][0]["is_overdue"], true, "{permits}");
    let queues = seen(&host, "/api/queues");
    let letters = queues["dead_letters"][0]["letters"].as_array().unwrap();
    assert_eq!(letters.len(), 2, "{queues}");
    assert!(!queues.to_string().contains("canary"), "{queues}");
    assert!(queues.to_string().contains("exhausted after 12 deliveries"), "{queues}");
    assert_eq!(cloud.depth("dead"), (2, 0), "looked at, and still to be received");
    until("this replica", || {
        let replicas = seen(&host, "/api/replicas");
        replicas["replicas"][0]["roles"] == "output-events"
    });
    let (status, body) = ask(&host, "POST", "/api/do/redrive/job-z", None, "{}");
    assert_eq!(status, 403, "{body}");
    assert_eq!(cloud.job("job-z")["status"]["S"], "failed");
    let redriven = done(&host, "redrive/job-z");
    assert_eq!(redriven["steps"][0], "reopened: segment job-z/1 of 2 (sbs) (out of memory)");
    assert_eq!(cloud.job("job-z")["status"]["S"], "chunking_complete");
    assert_eq!(cloud.depth("video-worker").0, 1, "its event was sent");
    let moved = done(&host, "redrive");
    assert_eq!(moved["steps"].as_array().unwrap().len(), 2, "{moved}");
    assert_eq!((cloud.depth("dead").0, cloud.depth("video-worker").0), (1, 2));
    done(&host, "pause/segments");
    let paused = json!({"output_location": {"S": "paused-roles"}});
    let paused = cloud.dynamodb("GetItem", &json!({"TableName": "invocations", "Key": paused}));
    assert_eq!(paused["Item"]["roles"]["SS"], json!(["segments"]));
    done(&host, "cancel/alive");
    assert_eq!(cloud.job("alive")["status"]["S"], "failed");
    let acts = seen(&host, "/api/acts");
    let whats: Vec<_> = acts["acts"].as_array().unwrap().iter().map(|act| &act["what"]).collect();
    assert_eq!(whats, ["cancel alive", "pause segments", "redrive", "redrive --job job-z"]);
    let (good, log) = daemon.stop("TERM");
    assert!(good && !log.contains(TOKEN), "{log}");
    let gone = json!({"output_location": {"S": "replicas"}});
    let gone = cloud.dynamodb("GetItem", &json!({"TableName": "invocations", "Key": gone}));
    assert_eq!(gone["Item"].as_object().unwrap().len(), 1, "it has left: {gone}");
}

#[test]
fn a_console_beyond_this_machine_needs_a_token() {
    let cloud = Cloud::start();
    let daemon = Daemon::start(&cloud, &[("WORKER_CONSOLE_ADDRESS", "0.0.0.0:0")]);
    let log = daemon.failed();
    assert!(
        log.contains("WORKER_CONSOLE_ADDRESS 0.0.0.0:0") && log.contains("WORKER_CONSOLE_TOKEN"),
        "{log}"
    );
}
