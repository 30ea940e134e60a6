//! `inference-server` as RunPod's worker, and its development API.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Path as Place, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use nix::sys::signal::Signal;
use parallax_tests::{Clip, Server, clip, finish, frame_md5s, program};
use serde_json::{Value, json};

const CLIP: Clip = Clip { size: (96, 54), frames: 12, encoder: &["-preset", "ultrafast"] };

fn input(source: &Path, result: &Path) -> Value {
    let uri = |path: &Path| format!("file://{}", path.display());
    json!({"input_uri": uri(source), "output_uri": uri(result), "mode": "sbs"})
}

fn source(folder: &Path) -> PathBuf {
    std::fs::create_dir(folder.join("in")).unwrap();
    clip(&folder.join("in/a.mp4"), CLIP)
}

fn converted(source: &Path, options: &[&str]) -> Vec<String> {
    let output = source.with_file_name("expected.mp4");
    let mut command = program("parallax");
    command.arg("convert").arg(source).args(options).arg("--overwrite");
    let done = finish(command.arg("--output").arg(&output));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    frame_md5s(&output)
}

#[test]
fn the_development_api_runs_operations() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    let server = Server::start(folder.path(), &[("SERVER_PROFILE", "runpod")]);
    let result = folder.path().join("out/result.mp4");
    let body = json!({"input": input(&source, &result)}).to_string();
    let answer = server.post("/v2/stereo/runsync", &[], &body);
    assert_eq!(answer.json()["status"], "COMPLETED", "{answer:?}");
    assert_eq!(frame_md5s(&result), converted(&source, &[]));
    let mut asked = input(&source, &result);
    asked["convergence"] = "auto".into();
    let body = json!({ "input": asked }).to_string();
    let answer = server.post("/v2/stereo/runsync", &[], &body);
    assert_eq!(answer.json()["status"], "COMPLETED", "{answer:?}");
    assert_eq!(frame_md5s(&result), converted(&source, &["--convergence", "auto"]));

    let mut unknown = input(&source, &result);
    unknown["fill"] = "magic".into();
    let missing = folder.path().join("in/missing.mp4");
    for (input, named) in [
        (json!({"operation": "nothing"}), "nothing"),
        (unknown, "`magic`"),
        (input(&missing, &folder.path().join("out/none.mp4")), "input_uri"),
        (
            json!({"input_uri": "file:///etc/passwd", "output_uri": "file:///x", "mode": "sbs"}),
            "_uri",
        ),
    ] {
        let answer = server.post("/runsync", &[], &json!({ "input": input }).to_string()).json();
        assert_eq!(answer["status"], "FAILED", "{answer}");
        assert!(answer["error"].to_string().contains(named), "{answer}");
    }
    assert!(!folder.path().join("out/none.mp4").exists());
}

/// The platform: jobs to give away, and what was posted about them.
#[derive(Debug, Default)]
struct Platform {
    jobs: Mutex<VecDeque<Value>>,
    posted: Mutex<Vec<(String, Value)>>,
}

async fn take(State(platform): State<Arc<Platform>>) -> Response {
    match platform.jobs.lock().unwrap().pop_front() {
        Some(job) => Json(job).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn done(
    State(platform): State<Arc<Platform>>,
    Place((_, id)): Place<(String, String)>,
    body: String,
) {
    let body = serde_json::from_str(&body).unwrap();
    platform.posted.lock().unwrap().push((id, body));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_the_platform_are_run_and_a_signal_ends_the_worker() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    let result = folder.path().join("out/result.mp4");
    let platform = Arc::new(Platform::default());
    platform.jobs.lock().unwrap().extend([
        json!({"id": "good", "input": input(&source, &result)}),
        json!({"id": "bad", "input": {"operation": "nothing"}}),
    ]);
    let app = Router::new()
        .route("/take/{pod}", get(take))
        .route("/done/{pod}/{id}", post(done))
        .with_state(platform.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

    let taken = format!("{url}/take/$RUNPOD_POD_ID");
    let posted = format!("{url}/done/$RUNPOD_POD_ID/$ID");
    let variables = [
        ("SERVER_PROFILE", "runpod"),
        ("RUNPOD_WEBHOOK_GET_JOB", taken.as_str()),
        ("RUNPOD_WEBHOOK_POST_OUTPUT", posted.as_str()),
        ("RUNPOD_AI_API_KEY", "canary-of-a-key"),
        ("RUNPOD_POD_ID", "pod-1"),
    ];
    let server = Server::start(folder.path(), &variables);
    let patience = Instant::now() + Duration::from_secs(300);
    let results = loop {
        let posted = platform.posted.lock().unwrap().clone();
        let ended = |(_, body): &&(String, Value)| body["status"] != "IN_PROGRESS";
        let results: Vec<_> = posted.iter().filter(ended).cloned().collect();
        if results.len() == 2 {
            break results;
        }
        assert!(Instant::now() < patience, "{posted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let of = |name: &str| results.iter().find(|(id, _)| id == name).unwrap().1.clone();
    assert!(of("good").get("error").is_none(), "{results:?}");
    assert!(of("bad")["error"].to_string().contains("nothing"), "{results:?}");
    assert_eq!(frame_md5s(&result), converted(&source, &[]));

    server.process.signal(Signal::SIGTERM);
    let ended = server.process.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("canary-of-a-key"));
}
