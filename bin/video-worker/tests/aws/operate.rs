//! `explain` and `redrive` against what a deployment holds.

use std::process::Output;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Daemon, until};

fn said(done: &Output) -> String {
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout.clone()).unwrap()
}

fn event(bucket: &str, key: &str) -> String {
    json!({"Records": [{"eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1}}}]})
    .to_string()
}

pub(crate) fn segment_event(job: &str) -> String {
    event("in-bucket", &format!("segments/{job}/00000_00002_sbs.mp4"))
}

/// The row of a segment that was given up.
pub(crate) fn failed_row(job: &str, index: u32, total: u32) -> Value {
    let input = format!("s3://in-bucket/segments/{job}/{index:05}_{total:05}_sbs.mp4");
    json!({
        "output_location": {"S": format!("seg#{job}#{total}#{index}#sbs")}, "version": {"N": "4"},
        "job_id": {"S": job}, "segment_index": {"N": index.to_string()},
        "total_segments": {"N": total.to_string()}, "mode": {"S": "sbs"},
        "state": {"S": "failed"}, "attempt": {"N": "3"}, "failures": {"N": "3"},
        "nonce": {"S": "n"}, "custody": {"S": "caller"}, "input_uri": {"S": input},
        "output_s3_uri": {"S": format!("s3://out-bucket/jobs/{job}/segments/{index}.mp4")},
        "created_at_ms": {"N": "1700000000000"}, "deadline_ms": {"N": "1700000060000"},
        "next_at_ms": {"N": "1700000000000"},
        "error_class": {"S": "model"}, "error_message": {"S": "out of memory"},
    })
}

#[test]
fn a_job_is_explained_segment_by_segment() {
    let cloud = Cloud::start();
    cloud.job_in("job-x", "chunking_complete", 3);
    cloud.put_item("invocations", &failed_row("job-x", 1, 3));
    let cuts = json!({"output_location": {"S": "cuts#job-x"}, "cuts": {"SS": ["3#sbs"]}});
    cloud.put_item("invocations", &cuts);
    let completion = json!({"job_id": {"S": "job-x"}, "segment_index": {"N": "0"},
        "output_s3_uri": {"S": "s3://out-bucket/jobs/job-x/segments/0.mp4"},
        "completed_at": {"N": "1700000000"}, "total_segments": {"N": "3"}});
    cloud.put_item("completions", &completion);
    let text = said(&cloud.run(&["explain", "job-x"]));
    for expected in [
        "job job-x is chunking_complete, 1 of 3 segments completed",
        "waits for 2 of 3 segments",
        "segment 0: completed\n",
        "segment 1: failed, attempt 3, 3 failed; waits for an operator",
        "last error, model: out of memory",
        "segment 2: unknown; waits for its first attempt",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let object: Value =
        serde_json::from_str(&said(&cloud.run(&["explain", "job-x", "--json"]))).unwrap();
    assert_eq!(object["job"]["status"], "chunking_complete");
    assert_eq!(object["segments"][1]["last_error"]["class"], "model");
    let nobody = cloud.run(&["explain", "nobody"]);
    assert!(!nobody.status.success());
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("nobody"));
}

#[test]
fn nothing_is_promised_that_will_not_come() {
    let cloud = Cloud::start();
    cloud.job_in("failed", "failed", 3);
    cloud.put_item("invocations", &failed_row("failed", 1, 3));
    let mut waiting = failed_row("failed", 2, 3);
    waiting["state"] = json!({"S": "retry_wait"});
    cloud.put_item("invocations", &waiting);
    let cuts = json!({"output_location": {"S": "cuts#failed"}, "cuts": {"SS": ["3#sbs"]}});
    cloud.put_item("invocations", &cuts);
    let text = said(&cloud.run(&["explain", "failed"]));
    for expected in [
        "segment 0: unknown; waits for nothing, because its job is failed",
        "segment 1: failed, attempt 3, 3 failed; waits for an operator",
        "segment 2: retry_wait, attempt 3, 3 failed; waits for nothing, because its job is failed",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("its first attempt"), "{text}");
    cloud.job_in("empty", "chunking_complete", 0);
    let text = said(&cloud.run(&["explain", "empty"]));
    assert!(text.contains("waits for an operator: its total_segments is 0"), "{text}");
    assert!(!text.contains("which is due"), "{text}");
}

#[test]
fn dead_letters_go_back_where_they_make_sense() {
    let cloud = Cloud::start();
    cloud.job_in("alive", "chunking_complete", 2);
    cloud.job_in("over", "completed", 2);
    let poison = [("reason", "x"), ("receive_count", "100")];
    cloud.send("dead", &segment_event("alive"), &poison);
    cloud.send("dead", &event("out-bucket", "jobs/alive/segments/0.mp4"), &[]);
    cloud.send("dead", r#"{"job_id":"alive"}"#, &[]);
    cloud.send("dead", &segment_event("over"), &[]);
    cloud.send("dead", &segment_event("nobody"), &[]);
    cloud.send("dead", &event("elsewhere", "segments/alive/00000_00002_sbs.mp4"), &[]);
    cloud.send("dead", "not JSON", &poison);
    let plan = said(&cloud.run(&["redrive", "--dry-run"]));
    assert!(plan.contains("would be moved 3, would be reopened 0, refused 4"), "{plan}");
    assert_eq!(cloud.depth("dead"), (7, 0), "nothing was done, nothing is hidden");
    let only = said(&cloud.run(&["redrive", "--queue", "reassembly"]));
    assert!(only.contains("moved 1, reopened 0, refused 0"), "{only}");
    assert_eq!(cloud.depth("reassembly").0, 1);
    let done = said(&cloud.run(&["redrive", "--limit", "1"]));
    assert!(done.contains("moved 1"), "{done}");
    let done = said(&cloud.run(&["redrive"]));
    assert!(done.contains("moved 1, reopened 0, refused 4"), "{done}");
    for why in ["is completed", "no such job", "expected \"in-bucket\"", "not a notification"] {
        assert!(done.contains(why), "{why}: {done}");
    }
    assert_eq!(cloud.depth("dead"), (4, 0));
    let bodies = |queue: &str| -> Vec<Value> {
        let all = cloud.messages(queue).into_iter().map(|message| message["Body"].clone());
        // A bucket tests the queue once.
        all.filter(|body| !body.as_str().unwrap().contains("s3:TestEvent")).collect()
    };
    assert_eq!(bodies("video-worker"), [segment_event("alive")], "the body as it was");
    assert_eq!(bodies("output-events").len(), 1);
}

#[test]
fn a_failed_job_goes_on_with_its_failed_segments_alone() {
    let cloud = Cloud::start();
    cloud.job_in("job-y", "failed", 2);
    for index in 0..2 {
        cloud.upload_segment("job-y", index, 2);
    }
    cloud.sqs("PurgeQueue", &json!({"QueueUrl": cloud.queue_url("video-worker")}));
    cloud.put_item("invocations", &failed_row("job-y", 1, 2));
    let cuts = json!({"output_location": {"S": "cuts#job-y"}, "cuts": {"SS": ["2#sbs"]}});
    cloud.put_item("invocations", &cuts);
    let completion = json!({"job_id": {"S": "job-y"}, "segment_index": {"N": "0"},
        "output_s3_uri": {"S": "s3://out-bucket/jobs/job-y/segments/0.mp4"},
        "completed_at": {"N": "1700000000"}, "total_segments": {"N": "2"}});
    cloud.put_item("completions", &completion);
    let plan = said(&cloud.run(&["redrive", "--job", "job-y", "--dry-run"]));
    assert!(plan.contains("would be reopened 1"), "{plan}");
    assert_eq!(cloud.job("job-y")["status"]["S"], "failed");
    let done = said(&cloud.run(&["redrive", "--job", "job-y"]));
    assert!(done.contains("reopened 1"), "{done}");
    assert_eq!(cloud.job("job-y")["status"]["S"], "chunking_complete");
    assert_eq!(cloud.depth("video-worker").0, 1, "segment 1 alone");
    let daemon = Daemon::start(&cloud, &[]);
    until("the reassembly message", || cloud.depth("reassembly").0 == 1);
    let (good, log) = daemon.stop("TERM");
    assert!(good, "{log}");
    let again = cloud.run(&["redrive", "--job", "nobody"]);
    assert!(!again.status.success(), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stdout).contains("there is no such job"));
    let again = cloud.run(&["redrive", "--job", "job-y"]);
    let words = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && words.contains("job-y: nothing to redrive"), "{again:?}");
    assert!(words.contains("it is reassembling"), "{words}");
}

#[test]
fn what_was_done_is_told_also_when_a_later_step_fails() {
    let cloud = Cloud::start();
    cloud.job_in("alive", "chunking_complete", 2);
    cloud.send("dead", &segment_event("alive"), &[]);
    cloud.send("dead", r#"{"job_id":"alive"}"#, &[]);
    let mut environment = cloud.environment();
    environment.insert("REASSEMBLY_QUEUE_URL".to_owned(), cloud.queue_url("nowhere"));
    let done = cloud.command(&environment, &["redrive"]).output().unwrap();
    assert!(!done.status.success(), "{done:?}");
    let (said, error) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("(to segments)"), "{said}");
    assert!(said.contains("moved 1, reopened 0, refused 0"), "{said}");
    assert!(error.contains("nowhere"), "{error}");
    assert_eq!(cloud.depth("dead"), (1, 0), "what is left can be seen at once");
}

/// The row of a segment that waits an hour for its next attempt, because its backend said so.
fn waiting_row(job: &str, index: u32, total: u32) -> Value {
    let mut row = failed_row(job, index, total);
    row["state"] = json!({"S": "retry_wait"});
    row["error_class"] = json!({"S": "throttled"});
    let hour = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let hour = hour.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    row["next_at_ms"] = json!({"N": hour.to_string()});
    row
}

#[test]
fn an_operator_ends_a_wait_and_is_told_where_there_is_none() {
    let cloud = Cloud::start();
    cloud.job_in("job-w", "chunking_complete", 2);
    cloud.upload_segment("job-w", 1, 2);
    cloud.put_item("invocations", &waiting_row("job-w", 1, 2));
    let cuts = json!({"output_location": {"S": "cuts#job-w"}, "cuts": {"SS": ["2#sbs"]}});
    cloud.put_item("invocations", &cuts);
    // The message that came with the refusal is hidden as long as the wait lasts.
    let asked = json!({"QueueUrl": cloud.queue_url("video-worker"), "VisibilityTimeout": 3600,
        "MaxNumberOfMessages": 10});
    cloud.sqs("ReceiveMessage", &asked);
    assert_eq!(cloud.depth("video-worker").0, 0);
    let text = said(&cloud.run(&["retry-now", "job-w"]));
    assert_eq!(text, "segment 1 may be attempted at once\n");
    assert_eq!(cloud.depth("video-worker").0, 1, "its event was sent again");
    let daemon = Daemon::start(&cloud, &[("ROLES", "segments")]);
    let completed = || {
        let key = json!({"job_id": {"S": "job-w"}, "segment_index": {"N": "1"}});
        let found = cloud.dynamodb("GetItem", &json!({"TableName": "completions", "Key": key}));
        found["Item"].is_object()
    };
    until("the segment that waited", completed);
    assert!(daemon.stop("TERM").0);
    for (job, why) in
        [("job-w", "none of its segments waits for another attempt"), ("nobody", "none of this id")]
    {
        let done = cloud.run(&["retry-now", job]);
        let log = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && log.contains(why), "{log}");
    }
}

#[test]
fn an_operator_frees_a_permit_on_his_word_and_only_one_that_is_held() {
    let cloud = Cloud::start();
    cloud.job_in("job-r", "chunking_complete", 2);
    let mut row = waiting_row("job-r", 0, 2);
    row["state"] = json!({"S": "invoked"});
    row["custody"] = json!({"S": "backend"});
    row["holder"] = json!({"S": "h"});
    cloud.put_item("invocations", &row);
    let cuts = json!({"output_location": {"S": "cuts#job-r"}, "cuts": {"SS": ["2#sbs"]}});
    cloud.put_item("invocations", &cuts);
    let work = json!({"M": {"deadline_ms": {"N": "1700000060000"}, "attempt": {"N": "3"},
        "segment": {"S": "job-r#2#0#sbs"}}});
    let permits = json!({"output_location": {"S": "permits#stub"}, "holders": {"M": {"h": work}}});
    cloud.put_item("invocations", &permits);
    let words = ["release", "--job", "job-r", "--segment", "0", "--because", "instance is gone"];
    // From a shell that means another pool, or does not say which.
    let force = ["delete", "--force", "job-r"];
    for (backend, why) in [
        (Some("copy"), "the pool \"engine\" (INFERENCE_BACKEND)"),
        (None, "INFERENCE_BACKEND is not set"),
    ] {
        let mut environment = cloud.environment();
        environment.remove("INFERENCE_BACKEND");
        environment.extend(backend.map(|name| ("INFERENCE_BACKEND".to_owned(), name.to_owned())));
        for words in [&words[..], &force] {
            let done = cloud.command(&environment, words).output().unwrap();
            let log = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(!done.status.success() && log.contains(why), "{words:?}: {log}");
        }
    }
    assert_eq!(cloud.job("job-r")["status"]["S"], "chunking_complete");
    let text = said(&cloud.run(&words));
    assert!(text.starts_with("released: job-r/0 of 2 (sbs) attempt 3"), "{text}");
    let item = |key: &str| {
        let key = json!({"output_location": {"S": key}});
        cloud.dynamodb("GetItem", &json!({"TableName": "invocations", "Key": key}))["Item"].clone()
    };
    assert_eq!(item("permits#stub")["holders"]["M"], json!({}));
    let row = item("seg#job-r#2#0#sbs");
    assert_eq!(row["state"]["S"], "retry_wait");
    assert!(row["error_message"]["S"].as_str().unwrap().contains("instance is gone"), "{row}");
    let again = cloud.run(&words);
    let log = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && log.contains("it holds no permit"), "{log}");
}
