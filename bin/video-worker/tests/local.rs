//! Commands of operators over a state folder.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

fn run(state: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_video-worker"));
    command.env_clear().env("PLATFORM", "local").env("STATE_DIR", state);
    command.args(args).output().unwrap()
}

fn said(done: &Output) -> &str {
    assert!(done.status.success(), "{done:?}");
    std::str::from_utf8(&done.stdout).unwrap()
}

/// What a command that failed says of it.
fn refused(done: &Output) -> String {
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    String::from_utf8_lossy(&done.stderr).into_owned()
}

#[test]
fn a_submitted_job_is_explained_and_has_nothing_to_redrive() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("video.mp4");
    std::fs::write(&video, "not really a video").unwrap();
    let state = folder.path().join("state");
    let submitted = run(&state, &["submit", video.to_str().unwrap(), "--job-id", "job-1"]);
    assert_eq!(said(&submitted), "job-1\n");
    let explained = run(&state, &["explain", "job-1"]);
    assert_eq!(said(&explained), "job job-1 is created\n  waits for its source\n");
    let object = run(&state, &["explain", "job-1", "--json"]);
    let object: serde_json::Value = serde_json::from_str(said(&object)).unwrap();
    assert_eq!(object["segments"], serde_json::json!([]));
    let nothing = run(&state, &["redrive", "--job", "job-1"]);
    let words = refused(&nothing);
    assert_eq!(nothing.stdout, b"moved 0, reopened 0, refused 0\n");
    assert!(words.contains("job-1") && words.contains("it is created"), "{words}");
    assert!(words.contains("no segment of it was given up"), "{words}");
    let nobody = run(&state, &["redrive", "--job", "job-2"]);
    assert!(nobody.stdout.starts_with(b"refused: job job-2 (there is no such job)"), "{nobody:?}");
    assert!(refused(&nobody).contains("nothing was set going"));
    let all = run(&state, &["redrive"]);
    assert_eq!(
        said(&all),
        "moved 0, reopened 0, refused 0\n",
        "there is nothing, and nothing was named"
    );
    let unknown = run(&state, &["explain", "job-2"]);
    assert!(refused(&unknown).contains("job-2"));
    let bad = run(&state, &["redrive", "--limit", "0"]);
    assert!(!bad.status.success() && String::from_utf8_lossy(&bad.stderr).contains("--limit"));
}

#[test]
fn nobody_is_healthy_where_nobody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let done = run(folder.path(), &["healthy", "--help"]);
    assert!(done.status.success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_video-worker"));
    // Nobody can listen where a connection comes from.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let closed = taken.local_addr().unwrap();
    command.env_clear().env("HEALTH_ADDRESS", closed.to_string()).arg("healthy");
    let done = command.output().unwrap();
    let words = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && words.contains(&closed.to_string()), "{words}");
}

#[test]
fn a_file_is_not_submitted_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("video.mp4");
    std::fs::write(&video, "not really a video").unwrap();
    let submit = |environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_video-worker"));
        command.env_clear().env("STATE_DIR", folder.path().join("state"));
        command.envs(environment.iter().copied()).arg("submit").arg(&video).output().unwrap()
    };
    let done = submit(&[("PLATFORM", "aws"), ("AWS_REGION", "eu-west-1")]);
    assert!(refused(&done).contains("JOBS_TABLE_NAME is not set"), "{done:?}");
    assert_eq!(done.stdout, b"", "no id");
    // A deployment's variables, and its platform forgotten.
    let done = submit(&[("VIDEO_WORKER_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/q")]);
    let words = refused(&done);
    assert!(
        words.contains("PLATFORM is not set") && words.contains("VIDEO_WORKER_QUEUE_URL"),
        "{words}"
    );
    assert!(!folder.path().join("state").exists(), "nothing was begun");
    assert!(said(&submit(&[("PLATFORM", "LOCAL")])).len() > 1);
}

#[test]
fn jobs_are_listed_cancelled_and_deleted_by_command() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("video.mp4");
    std::fs::write(&video, "not really a video").unwrap();
    let (video, state) = (video.to_str().unwrap(), folder.path().join("state"));
    assert_eq!(said(&run(&state, &["jobs"])), "there are none\n");
    let plan = run(&state, &["submit", video, "--dry-run"]);
    assert!(said(&plan).starts_with("would be submitted: "), "{plan:?}");
    assert_eq!(said(&run(&state, &["jobs"])), "there are none\n");
    for job in ["job-1", "job-2", "job-3"] {
        assert_eq!(said(&run(&state, &["submit", video, "--job-id", job])), format!("{job}\n"));
    }
    let taken = refused(&run(&state, &["submit", video, "--job-id", "job-1"]));
    assert!(taken.contains("there is a job of this id, and its source was uploaded"), "{taken}");
    let plan = refused(&run(&state, &["submit", video, "--job-id", "job-1", "--dry-run"]));
    assert_eq!(plan, taken, "a plan is refused as the deed is");
    let page = run(&state, &["jobs", "--limit", "2"]);
    let lines: Vec<&str> = said(&page).lines().collect();
    assert!(lines[0].starts_with("job job-3 is created, sbs, made "), "{lines:?}");
    assert!(lines[0].ends_with("; video.mp4") && lines[1].starts_with("job job-2 "), "{lines:?}");
    let next = lines[2].strip_prefix("there are more: --after ").unwrap();
    let rest = run(&state, &["jobs", "--after", next, "--json"]);
    let rest: serde_json::Value = serde_json::from_str(said(&rest)).unwrap();
    assert_eq!(rest["job"]["job_id"], "job-1");
    assert_eq!(rest["job"]["source_file_size_bytes"], 18);
    let cancelled = run(&state, &["cancel", "job-1", "--because", "wrong film"]);
    assert_eq!(said(&cancelled), "cancelled: job job-1 (it was created)\n");
    let again = run(&state, &["cancel", "job-1"]);
    let already = "nothing to do: job job-1 (it is failed: cancelled by an operator: wrong film)\n";
    assert_eq!(said(&again), already);
    let failed = run(&state, &["jobs", "--status", "failed"]);
    assert!(said(&failed).contains("; why: cancelled by an operator: wrong film"), "{failed:?}");
    let running = run(&state, &["delete", "job-2"]);
    let words = refused(&running);
    assert!(words.contains("it is created: cancel it first, or say --force"), "{words}");
    let deleted = run(&state, &["delete", "job-1"]);
    assert!(said(&deleted).contains("/input/job-1 (1 object)"), "{deleted:?}");
    assert!(!state.join("objects/input/input/job-1/source.mp4").exists());
    assert!(state.join("objects/input/input/job-2/source.mp4").exists());
    let again = run(&state, &["delete", "job-1"]);
    assert_eq!(
        said(&again),
        "deleted: job job-1 (nothing is recorded of it any more but that it is deleted)\n"
    );
    for (args, why) in [
        (&["cancel", "job-9"][..], "job job-9: there is none of this id"),
        (&["delete", "job-9"], "job job-9: there is none of this id"),
    ] {
        assert!(refused(&run(&state, args)).contains(why), "{args:?}");
    }
    for (args, why) in [
        (&["cancel", "a/b"][..], "A-Z"),
        (&["delete", "../x"], "A-Z"),
        (&["pause", "reconcile"], "allowed are segments"),
        (&["jobs", "--status", "lost"], "is not known"),
        (&["jobs", "--after", "x"], "what an earlier list ended with"),
        (&["jobs", "--limit", "0"], "1..=1000"),
    ] {
        let done = run(&state, args);
        let words = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(2) && words.contains(why), "{args:?}: {words}");
    }
}

#[test]
fn nobody_has_to_read_what_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("video.mp4");
    std::fs::write(&video, "not really a video").unwrap();
    let (video, state) = (video.to_str().unwrap(), folder.path().join("state"));
    for args in [
        &["submit", video, "--dry-run"][..],
        &["submit", video, "--job-id", "job"],
        &["explain", "job"],
        &["explain", "job", "--json"],
    ] {
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_video-worker"));
        command.env_clear().env("PLATFORM", "local").env("STATE_DIR", &state);
        let done = command.args(args).stdout(closed).output().unwrap();
        assert!(done.status.success() && done.stderr.is_empty(), "{args:?}: {done:?}");
    }
    assert!(said(&run(&state, &["jobs"])).starts_with("job job is created"));
}

#[test]
fn a_role_is_paused_and_resumed_by_command() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let plan = run(state, &["pause", "chunking", "--dry-run"]);
    assert!(said(&plan).starts_with("would be paused: role chunking"), "{plan:?}");
    assert!(said(&run(state, &["pause", "chunking"])).starts_with("paused: role chunking"));
    let again = run(state, &["pause", "chunking"]);
    assert_eq!(said(&again), "nothing to do: role chunking (it is paused)\n");
    let video = state.join("video.mp4");
    std::fs::write(&video, "not really a video").unwrap();
    said(&run(state, &["submit", video.to_str().unwrap(), "--job-id", "job"]));
    let explained = run(state, &["explain", "job"]);
    assert!(said(&explained).contains("the role chunking is paused"), "{explained:?}");
    let resumed = run(state, &["resume", "chunking", "--json"]);
    let resumed: serde_json::Value = serde_json::from_str(said(&resumed)).unwrap();
    assert_eq!(resumed["step"]["done"], "resumed");
    assert!(!said(&run(state, &["explain", "job"])).contains("paused"));
}
