//! An existing deployment's environment starts the daemon as it is, and a deployed job-worker may
//! stay beside it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Daemon, until};

/// The file as a deployment has it; names and numbers in it are invented.
fn deployed() -> BTreeMap<String, String> {
    let lines = include_str!("deployed.env").lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let (name, value) = line.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    lines.filter(|line| !line.is_empty()).map(pair).collect()
}

#[test]
fn a_deployments_environment_starts_the_daemon_unchanged() {
    let cloud = Cloud::start_as(&deployed());
    let mut environment = deployed();
    for (name, value) in cloud.environment() {
        // Where AWS is and who asks: what a task's role and network give in production.
        if name.starts_with("AWS_") && name != "AWS_REGION" || name == "STATE_DIR" {
            environment.insert(name, value);
        }
    }
    let done = cloud.command(&environment, &["--check-config"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // Whoever leaves completions to a job-worker needs nothing of reassembly.
    environment.insert("COMPLETION_OWNER".to_owned(), "job-worker".to_owned());
    environment.remove("REASSEMBLY_TRIGGERED_TABLE_NAME");
    environment.remove("REASSEMBLY_QUEUE_URL");
    let done = cloud.command(&environment, &["--check-config"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    environment.remove("INFERENCE_INVOCATIONS_TABLE_NAME");
    let done = cloud.command(&environment, &["--check-config"]).output().unwrap();
    assert!(!done.status.success());
}

#[test]
fn beside_a_job_worker_results_are_made_and_nothing_else_is_written() {
    let cloud = Cloud::start();
    cloud.job_in("job-z", "chunking_complete", 2);
    for index in 0..2 {
        cloud.upload_segment("job-z", index, 2);
    }
    let daemon = Daemon::start(&cloud, &[("COMPLETION_OWNER", "job-worker")]);
    let empty = |queue: &str| cloud.depth(queue) == (0, 0);
    until("the end of all events", || empty("video-worker") && empty("output-events"));
    let (good, log) = daemon.stop("TERM");
    assert!(good, "{log}");
    for index in 0..2 {
        let path = format!("/out-bucket/jobs/job-z/segments/{index}.mp4");
        assert_eq!(cloud.s3("GET", &path, ""), "not really a video");
    }
    for table in ["completions", "triggers"] {
        let found = cloud.dynamodb("Scan", &json!({"TableName": table}));
        assert_eq!(found["Count"], 0, "{table} belongs to the job-worker: {found}");
    }
    assert_eq!(cloud.depth("reassembly"), (0, 0));
    assert_eq!(cloud.job("job-z")["status"]["S"], "chunking_complete");
    let rows = cloud.dynamodb("Scan", &json!({"TableName": "invocations"}));
    let done = |item: &&Value| item["state"]["S"] == "done";
    assert_eq!(rows["Items"].as_array().unwrap().iter().filter(done).count(), 2);
}
