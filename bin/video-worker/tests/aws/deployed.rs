//! An existing deployment's environment starts the daemon as it is, and a deployed job-worker may
//! stay beside it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Daemon, until};

/// A file of a task's variables; names and numbers in it are invented.
fn read(file: &str) -> BTreeMap<String, String> {
    let lines = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let pair = |line: &str| {
        let (name, value) = line.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    lines.map(pair).collect()
}

/// The same on a server, with what a task's role and network give in production: where AWS is, and who
/// asks.
fn on(cloud: &Cloud, mut variables: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (name, value) in cloud.environment() {
        if name.starts_with("AWS_") && name != "AWS_REGION" || name == "STATE_DIR" {
            variables.insert(name, value);
        }
    }
    variables
}

#[test]
fn a_deployments_environment_starts_the_daemon_unchanged() {
    let deployed = read(include_str!("deployed.env"));
    let cloud = Cloud::start_as(&deployed);
    let mut environment = on(&cloud, deployed);
    let done = cloud.command(&environment, &["--check-config"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // Whoever leaves completions to a job-worker needs nothing of reassembly.
    environment.insert("COMPLETION_OWNER".to_owned(), "job-worker".to_owned());
    environment.remove("REASSEMBLY_TRIGGERED_TABLE_NAME");
    environment.remove("REASSEMBLY_QUEUE_URL");
    let done = cloud.command(&environment, &["--check-config"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_python_tasks_environment_suffices_beside_its_job_worker() {
    let task = read(include_str!("python-task.env"));
    let cloud = Cloud::start_as(&task);
    let mut environment = on(&cloud, task);
    let check = |environment: &BTreeMap<String, String>| {
        let done = cloud.command(environment, &["--check-config"]).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    // Whoever records completions needs more, and is told all of it at once.
    let (good, log) = check(&environment);
    let said = log.lines().last().unwrap();
    let lacks = [
        "SEGMENT_COMPLETIONS_TABLE_NAME",
        "REASSEMBLY_TRIGGERED_TABLE_NAME",
        "REASSEMBLY_QUEUE_URL",
    ];
    assert!(!good && lacks.iter().all(|name| said.contains(name)), "{said}");
    assert_eq!(said.matches("is not set").count(), lacks.len(), "and nothing else: {said}");
    environment.insert("COMPLETION_OWNER".to_owned(), "job-worker".to_owned());
    let (good, log) = check(&environment);
    assert!(good, "{log}");
    // With a server for a backend the Python task has no table of invocations, and this daemon needs one:
    // it keeps the permits and the state of segments there.
    for name in ["INFERENCE_INVOCATIONS_TABLE_NAME", "SAGEMAKER_ENDPOINT_NAME"] {
        environment.remove(name);
    }
    environment.insert("INFERENCE_BACKEND".to_owned(), "http".to_owned());
    let (good, log) = check(&environment);
    let said = log.lines().last().unwrap();
    assert!(!good && said.contains("INFERENCE_HTTP_URL is not set"), "{said}");
    assert!(said.contains("INFERENCE_INVOCATIONS_TABLE_NAME is not set"), "{said}");
    assert_eq!(said.matches("is not set").count(), 2, "{said}");
}

/// A segment that the Python task completed before has no row here and no completion that can be read.
#[test]
fn what_the_python_task_completed_is_not_made_again() {
    let cloud = Cloud::start();
    cloud.job_in("job-p", "chunking_complete", 2);
    for index in 0..2 {
        cloud.upload_segment("job-p", index, 2);
    }
    // The events of both are gone; the result of one is there.
    cloud.sqs("PurgeQueue", &json!({"QueueUrl": cloud.queue_url("video-worker")}));
    cloud.s3("PUT", "/out-bucket/jobs/job-p/segments/0.mp4", "made by the Python task");
    let mut environment = cloud.environment();
    for name in ["SEGMENT_COMPLETIONS_TABLE_NAME", "REASSEMBLY_TRIGGERED_TABLE_NAME"] {
        environment.remove(name);
    }
    environment.remove("REASSEMBLY_QUEUE_URL");
    let more = [("COMPLETION_OWNER", "job-worker"), ("PACE", "quick")];
    let daemon = Daemon::start_in(&cloud, &environment, &more);
    until("the other segment", || {
        let found = cloud.dynamodb("Scan", &json!({"TableName": "invocations"}));
        let rows = found["Items"].as_array().unwrap();
        rows.iter().any(|item| item["state"]["S"] == "done")
    });
    // Both were overdue at the same time.
    let (good, log) = daemon.stop("TERM");
    assert!(good, "{log}");
    assert_eq!(log.matches("its event is sent again").count(), 1, "{log}");
    let kept = cloud.s3("GET", "/out-bucket/jobs/job-p/segments/0.mp4", "");
    assert_eq!(kept, "made by the Python task");
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
