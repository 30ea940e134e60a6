//! Jobs as resources.

use std::time::Duration;

use parallax_secret::Secret;
use parallax_serving::front::{Tokens, http};
use serde_json::{Value, json};

use crate::stage::{Options, Stage, answer, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_tells_how_far_it_is_and_how_it_ended() {
    let stage = Stage::start(Options::default()).await;
    stage.gate.shut();
    let request = stage.request("a", 30).await;
    let call = stage.client.post(format!("{}/v1/operations/stereo", stage.url));
    let accepted = call.body(request.to_string()).send().await.unwrap();
    assert_eq!(accepted.status(), 202);
    let place = accepted.headers()["location"].to_str().unwrap().to_owned();
    until(|| stage.gate.starts() == 1).await;
    let (status, job) = stage.get(&place).await;
    assert_eq!((status, job["state"].as_str()), (200, Some("running")), "{job}");
    assert_eq!(place, format!("/v1/jobs/{}", job["id"].as_str().unwrap()));

    let mut events = stage.client.get(format!("{}{place}/events", stage.url)).send().await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while !text.contains("event: progress") {
        text.push_str(&String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()));
    }
    stage.gate.open();
    while let Some(chunk) = events.chunk().await.unwrap() {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    let (_, end) = text.split_once("event: end\ndata: ").unwrap();
    let end: Value = serde_json::from_str(end.trim()).unwrap();
    assert_eq!(end["state"], "succeeded");
    assert_eq!(end["result"]["frames"], 30);
    let (_, job) = stage.get(&place).await;
    assert_eq!(job, end);
    // Who comes late hears of the end at once.
    let late = stage.client.get(format!("{}{place}/events", stage.url)).send().await.unwrap();
    assert!(late.text().await.unwrap().starts_with("event: end\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_names_one_request() {
    let stage = Stage::start(Options::default()).await;
    let request = stage.request("a", 3).await;
    let post = async |key: &str, request: &Value| {
        let call = stage.client.post(format!("{}/v1/operations/stereo", stage.url));
        let call = call.header("idempotency-key", key).body(request.to_string());
        answer(call.send().await.unwrap()).await
    };
    let (_, first) = post("one", &request).await;
    let (status, again) = post("one", &request).await;
    assert_eq!((status, &again["id"]), (202, &first["id"]));
    let (_, other) = post("two", &request).await;
    assert_ne!(other["id"], first["id"]);
    let mut changed = request.clone();
    changed["seed"] = 3.into();
    let (status, body) = post("one", &changed).await;
    assert_eq!((status, body["kind"].as_str()), (409, Some("conflict")));
    let long = "x".repeat(129);
    for bad in ["", "a b", &long] {
        assert_eq!(post(bad, &request).await.0, 400, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_jobs_are_kept_within_a_bound() {
    let retention = http::Retention { jobs: 2, ..http::Retention::default() };
    let stage = Stage::start(Options { retention, ..Options::default() }).await;
    let mut ids = Vec::new();
    for number in 0..4 {
        let mut request = stage.request("a", 2).await;
        request["seed"] = number.into();
        let (_, job) = stage.post("/v1/operations/stereo", &request).await;
        let page = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
        while stage.get(&page).await.1["state"] != "succeeded" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ids.push(page);
    }
    let mut found = Vec::new();
    for page in &ids {
        found.push(stage.get(page).await.0);
    }
    assert_eq!(found, [404, 404, 200, 200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_join_one_run_are_bounded_too() {
    let retention = http::Retention { live: 3, ..http::Retention::default() };
    let stage = Stage::start(Options { retention, places: 1, ..Options::default() }).await;
    stage.gate.shut();
    let request = stage.request("a", 3).await;
    let mut pages = Vec::new();
    for _ in 0..3 {
        let (status, job) = stage.post("/v1/operations/stereo", &request).await;
        assert_eq!(status, 202, "{job}");
        pages.push(format!("/v1/jobs/{}", job["id"].as_str().unwrap()));
    }
    let (status, body) = stage.post("/v1/operations/stereo", &request).await;
    assert_eq!((status, body["kind"].as_str()), (429, Some("overloaded")), "{body}");
    stage.client.delete(format!("{}{}", stage.url, pages[0])).send().await.unwrap();
    assert_eq!(stage.post("/v1/operations/stereo", &request).await.0, 202, "one has ended");
    stage.gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_events_are_bounded_and_whoever_leaves_makes_room() {
    let retention = http::Retention { streams: 2, ..http::Retention::default() };
    let stage = Stage::start(Options { retention, ..Options::default() }).await;
    stage.gate.shut();
    let request = stage.request("a", 3).await;
    let (_, job) = stage.post("/v1/operations/stereo", &request).await;
    let page = format!("{}/v1/jobs/{}/events", stage.url, job["id"].as_str().unwrap());
    let open = async || stage.client.get(&page).send().await.unwrap();
    let (first, second) = (open().await, open().await);
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    let third = open().await;
    assert_eq!(third.status(), 429);
    assert!(third.headers().contains_key("retry-after"));
    drop(first);
    while open().await.status() != 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(second);
    stage.gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_light_is_answered_at_once_and_described() {
    let stage = Stage::start(Options::default()).await;
    let (status, health) = stage.post("/v1/operations/health", &json!({})).await;
    assert_eq!((status, health["status"].as_str()), (200, Some("ready")));
    assert_eq!((&health["places"], &health["places_taken"]), (&json!(8), &json!(0)));
    let request = stage.request("a", 2).await;
    assert_eq!(stage.invoke(&request).await.0, 200);
    let (_, memory) = stage.post("/v1/operations/memory_stats", &json!({})).await;
    assert_eq!(memory["models"], json!({ "stereo": 7 }));
    assert!(memory["resident_bytes"].as_u64().unwrap() > 1 << 20);
    let (_, list) = stage.get("/v1/operations").await;
    let names: Vec<&str> = list["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["health", "interpolate", "loop", "memory_stats", "steps", "stereo"]);
    let (_, document) = stage.get("/openapi.json").await;
    let post = &document["paths"]["/v1/operations/stereo"]["post"];
    let schema = &post["requestBody"]["content"]["application/json"]["schema"];
    assert!(schema["properties"]["input_uri"].is_object(), "{schema}");
    assert!(post["responses"]["202"].is_object() && post["responses"]["429"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_but_health_is_told() {
    let tokens = Tokens::new(vec![Secret::new("sesame")]);
    let stage = Stage::start(Options { tokens, ..Options::default() }).await;
    let request = stage.request("a", 2).await;
    for page in ["/invocations", "/v1/operations/stereo", "/v1/operations/health"] {
        let (status, body) = stage.post(page, &request).await;
        assert_eq!((status, body["kind"].as_str()), (401, Some("unauthenticated")), "{page}");
    }
    for page in ["/v1/operations", "/v1/jobs/x", "/v1/jobs/x/events"] {
        assert_eq!(stage.get(page).await.0, 401, "{page}");
    }
    assert_eq!(stage.get("/ping").await.0, 200);
    let call = stage.client.post(format!("{}/invocations", stage.url)).bearer_auth("sesame");
    assert_eq!(call.body(request.to_string()).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn clips_are_interpolated_and_looped() {
    let stage = Stage::start(Options::default()).await;
    let mut request = stage.request("a", 25).await;
    request["factor"] = 2.into();
    request["operation"] = "interpolate".into();
    let (status, made) = stage.invoke(&request).await;
    assert_eq!((status, made["status"].as_str()), (200, Some("ok")), "{made}");
    assert!((46..=50).contains(&made["frames"].as_u64().unwrap()), "{made}");
    assert!(stage.has("a").await);
    request["operation"] = "loop".into();
    request["crossfade_frames"] = 5.into();
    let (status, made) = stage.invoke(&request).await;
    assert_eq!((status, &made["frames"]), (200, &json!(20)), "{made}");
    request["style"] = "ping_pong".into();
    assert_eq!(stage.invoke(&request).await.1["frames"], 48);
    for (operation, field, value) in [
        ("interpolate", "factor", json!(9)),
        ("interpolate", "factor", json!("2")),
        ("loop", "crossfade_frames", json!(0)),
        ("loop", "style", json!("spiral")),
        ("loop", "input_uri", json!("file:///etc/passwd")),
        ("loop", "output_uri", json!("s3://input/a")),
        ("loop", "output_uri", json!(1)),
    ] {
        let mut request = request.clone();
        request["operation"] = operation.into();
        request[field] = value;
        let (status, body) = stage.invoke(&request).await;
        assert!([400, 403].contains(&status), "{body}");
        assert_eq!(body["field"], field, "{body}");
    }
    request["style"] = "crossfade".into();
    request["crossfade_frames"] = 13.into();
    let (status, body) = stage.invoke(&request).await;
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().contains("allowed are 1 to 12"), "{body}");
}
