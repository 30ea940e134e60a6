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
    let done = submit(&[("PLATFORM", "aws")]);
    assert!(refused(&done).contains("PLATFORM=aws"), "{done:?}");
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
