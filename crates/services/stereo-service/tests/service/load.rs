//! More than can be served, and callers who leave.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::{Options, Stage, until};

#[tokio::test(flavor = "multi_thread")]
async fn of_200_requests_8_are_taken_and_192_are_told_when_to_come_back() {
    let stage = Stage::start(Options::default()).await;
    stage.gate.shut();
    let request = stage.request("same", 3).await;
    let mut calls = Vec::new();
    for number in 0..200 {
        // Others than the first are not the same request, so none of them joins another.
        let mut request = request.clone();
        request["seed"] = number.into();
        let call = stage.client.post(format!("{}/invocations", stage.url));
        calls.push(tokio::spawn(call.body(request.to_string()).send()));
    }
    let (mut taken, mut refused) = (Vec::new(), 0);
    let mut waiting = calls;
    while refused < 192 {
        let mut still = Vec::new();
        for call in waiting {
            if !call.is_finished() {
                still.push(call);
                continue;
            }
            let answer = call.await.unwrap().unwrap();
            assert_eq!(answer.status(), 429);
            let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=600).contains(&wait));
            let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            assert_eq!(body["kind"], "overloaded");
            refused += 1;
        }
        waiting = still;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(waiting.len(), 8);
    assert_eq!(stage.service.executor().slots(), (8, 8));
    stage.gate.open();
    for call in waiting {
        taken.push(call.await.unwrap().unwrap().status().as_u16());
    }
    assert_eq!(taken, [200; 8]);
    stage.until_taken(0).await;
    assert_eq!(stage.invoke(&request).await.0, 200, "the next good request works");
}

/// Posts and leaves the answer unread.
async fn begin(stage: &Stage, request: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(&stage.address).await.unwrap();
    let body = request.to_string();
    let head =
        format!("POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_its_place_and_ends_its_run() {
    let stage = Stage::start(Options { places: 2, ..Options::default() }).await;
    stage.gate.shut();
    let running = stage.request("running", 50).await;
    let waits = stage.request("waits", 3).await;
    let runs = begin(&stage, &running).await;
    until(|| stage.gate.starts() == 1).await;
    let waiting = begin(&stage, &waits).await;
    stage.until_taken(2).await;
    assert_eq!(stage.invoke(&stage.request("third", 3).await).await.0, 429);
    drop(waiting);
    stage.until_taken(1).await;
    drop(runs);
    stage.until_taken(0).await;
    until(|| !stage.service.executor().depth().1).await;
    assert_eq!(stage.gate.starts(), 1, "what waited was never begun");
    assert!(!stage.has("running").await && !stage.has("waits").await);
    stage.gate.open();
    assert_eq!(stage.invoke(&waits).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_job_stops_within_one_step() {
    let stage = Stage::start(Options::default()).await;
    stage.gate.shut();
    let request = stage.request("long", 50).await;
    let (status, job) = stage.post("/v1/operations/stereo", &request).await;
    assert_eq!(status, 202);
    until(|| stage.gate.frames.load(Ordering::SeqCst) == 1).await;
    let page = format!("{}/v1/jobs/{}", stage.url, job["id"].as_str().unwrap());
    let cancelled = stage.client.delete(page).send().await.unwrap();
    let (_, job) = crate::stage::answer(cancelled).await;
    assert_eq!(job["state"], "cancelled");
    stage.until_taken(0).await;
    until(|| !stage.service.executor().depth().1).await;
    // The step at hand ended, and none was begun after it.
    assert_eq!(stage.gate.frames.load(Ordering::SeqCst), 1);
    assert_eq!(stage.gate.late.load(Ordering::SeqCst), 0);
    assert!(!stage.has("long").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_too_long_is_ended() {
    let options = Options { run_limit: Duration::from_millis(300), ..Options::default() };
    let stage = Stage::start(options).await;
    stage.gate.shut();
    let (status, body) = stage.invoke(&stage.request("long", 50).await).await;
    assert_eq!((status, body["kind"].as_str()), (500, Some("deadline")), "{body}");
    stage.until_taken(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_hands_back_what_waits_and_finishes_what_runs() {
    let stage = Stage::start(Options::default()).await;
    stage.gate.shut();
    let (first, second) = (stage.request("first", 3).await, stage.request("second", 3).await);
    let (client, url) = (stage.client.clone(), stage.url.clone());
    let post = move |request: &Value| {
        let call = client.post(format!("{url}/invocations")).body(request.to_string());
        tokio::spawn(call.send())
    };
    let runs = post(&first);
    until(|| stage.gate.starts() == 1).await;
    let waits = post(&second);
    until(|| stage.service.executor().depth() == (1, true)).await;
    let service = stage.service.clone();
    let draining = tokio::spawn(async move { service.drain(Duration::from_secs(60)).await });
    let refused = waits.await.unwrap().unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let (status, body) = stage.get("/ping").await;
    assert_eq!((status, body["status"].as_str()), (503, Some("not ready")));
    assert!(body["reasons"]["server"].as_str().unwrap().contains("draining"));
    assert_eq!(stage.invoke(&second).await.0, 503, "no new work is taken");
    assert!(!draining.is_finished());
    stage.gate.open();
    assert_eq!(runs.await.unwrap().unwrap().status(), 200);
    draining.await.unwrap();
    assert!(stage.has("first").await && !stage.has("second").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_what_does_not_finish() {
    let stage = Stage::start(Options::default()).await;
    stage.gate.shut();
    let request = stage.request("endless", 50).await;
    let mut stream = begin(&stage, &request).await;
    until(|| stage.gate.starts() == 1).await;
    stage.service.drain(Duration::from_millis(50)).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    assert_eq!(stage.post("/v1/operations/health", &json!({})).await.0, 200);
}
