//! Bodies of every operation, through both fronts that read them.

use parallax_fuzz::Cases;
use serde_json::json;

use super::resident;
use crate::stage::{Options, Stage};

const CASES: u64 = 1000;
/// What ten thousand requests may leave behind: jobs and outcomes within their bounds.
const LEFT: u64 = 64 << 20;

/// A valid request of every operation, each in several ways.
fn corpus() -> Vec<(&'static str, Vec<String>)> {
    let places = json!({ "input_uri": "s3://input/segments/none.mp4",
        "output_uri": "s3://output/jobs/fuzz/segments/0.mp4" });
    let with = |more: serde_json::Value| {
        let mut request = places.clone();
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request.to_string()
    };
    let own = json!({ "endpoint_url": "https://store.example", "access_key_id": "AKIA",
        "secret_access_key": "secret", "session_token": "token", "region": "auto" });
    let older = json!({ "s3_input_uri": "s3://input/segments/none.mp4", "mode": "anaglyph",
        "s3_output_uri": "s3://output/jobs/fuzz/segments/0.mp4", "operation": "stereo" });
    vec![
        (
            "stereo",
            vec![
                with(json!({ "mode": "sbs", "seed": 7 })),
                with(json!({ "disparity_percent": 2.5, "convergence": 0.5 })),
                with(json!({ "storage": own })),
                older.to_string(),
            ],
        ),
        ("interpolate", vec![with(json!({ "factor": 2 })), with(json!({ "storage": own }))]),
        (
            "loop",
            vec![
                with(json!({ "style": "ping_pong" })),
                with(json!({ "style": "crossfade", "crossfade_frames": 12 })),
            ],
        ),
        ("health", vec!["{}".to_owned()]),
        ("memory_stats", vec!["{}".to_owned(), json!({ "operation": "memory_stats" }).to_string()]),
    ]
}

const WORDS: [&str; 14] = [
    "\"input_uri\"",
    "\"mode\"",
    "\"sbs\"",
    "\"seed\"",
    "\"storage\"",
    "\"operation\"",
    "s3://",
    "file:///etc/passwd",
    "http://169.254.169.254/",
    "gs://output/jobs/",
    "{\"a\":",
    "1e-400",
    "\"factor\": 9",
    "\"health\"",
];

// Threads keep memory of their own: their number is part of the bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fuzz_bodies_of_every_operation_and_front() {
    let stage = Stage::start(Options::default()).await;
    let good = stage.request("good", 2).await;
    assert_eq!(stage.invoke(&good).await.0, 200);
    let before = resident();
    let (mut refused, mut asked) = (0, 0);
    for (operation, corpus) in corpus() {
        for page in ["/invocations".to_owned(), format!("/v1/operations/{operation}")] {
            let mut cases = Cases::new(CASES, &corpus, &WORDS);
            while let Some(body) = cases.next_case() {
                let call = stage.client.post(format!("{}{page}", stage.url)).body(body.to_vec());
                let answer = call.send().await.expect("it is answered");
                let status = answer.status().as_u16();
                // Read, so that the connection is used again.
                let text = answer.text().await.expect("a whole answer");
                assert!(status < 500, "{page}: {status} {text}");
                asked += 1;
                refused += u64::from(status >= 400);
            }
        }
    }
    assert!(refused > asked / 4, "{refused} of {asked}");
    stage.until_taken(0).await;
    let after = resident();
    assert!(after < before + LEFT, "{before} bytes before, {after} after");
    let (status, body) = stage.invoke(&good).await;
    assert_eq!(status, 200, "the next good request works: {body}");
}
