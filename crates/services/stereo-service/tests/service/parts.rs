//! Answers in parts: what is told before the whole, to whom and how often.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stage::{Options, Stage, until};

/// Server-sent events as they come.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn of(call: reqwest::RequestBuilder) -> Self {
        let response = call.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event but `progress`: its name, its id and its data.
    async fn next(&mut self) -> Option<(String, Option<String>, Value)> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = event.lines();
                    let line = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
                    line.map(str::to_owned)
                };
                let told = (field("event"), field("id"), field("data"));
                self.text = rest.to_owned();
                if let (Some(name), id, Some(data)) = told
                    && name != "progress"
                {
                    return Some((name, id, serde_json::from_str(&data).unwrap()));
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(60), self.response.chunk());
            let chunk = chunk.await.expect("something is told").unwrap()?;
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    async fn part(&mut self, number: u32) {
        let part = json!({ "number": number });
        assert_eq!(self.next().await, Some(("part".to_owned(), Some(number.to_string()), part)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_come_as_they_are_told_and_again_to_whoever_comes_back() {
    let stage = Stage::start(Options::default()).await;
    let ask = || {
        let post = stage.client.post(format!("{}/v1/operations/steps", stage.url));
        post.header("accept", "text/event-stream").body(json!({ "parts": 3 }).to_string())
    };
    let mut first = Events::of(ask()).await;
    let place = first.response.headers()["location"].to_str().unwrap().to_owned();
    stage.steps.add_permits(1);
    first.part(0).await;
    // Nothing more was told, so that whoever joins now has to be told from the beginning.
    let mut joined = Events::of(ask()).await;
    joined.part(0).await;
    stage.steps.add_permits(1);
    first.part(1).await;
    joined.part(1).await;
    drop(first);
    stage.steps.add_permits(1);
    let again = stage.client.get(format!("{}{place}/events", stage.url));
    let mut again = Events::of(again.header("last-event-id", "0")).await;
    for number in 1..3 {
        again.part(number).await;
    }
    let (name, _, job) = again.next().await.unwrap();
    assert_eq!((name.as_str(), &job["state"]), ("end", &json!("succeeded")), "{job}");
    assert_eq!(job["result"], json!({ "parts": 3 }));
    assert_eq!(again.next().await, None);
    joined.part(2).await;
    assert_eq!(joined.next().await.unwrap().0, "end");

    let late = stage.client.get(format!("{}{place}/events", stage.url)).send().await.unwrap();
    let late = late.text().await.unwrap();
    assert_eq!(late.matches("event: part").count(), 3, "{late}");
    let wrong = stage.client.get(format!("{}{place}/events", stage.url));
    let wrong = wrong.header("last-event-id", "x").send().await.unwrap();
    assert_eq!(wrong.status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_container_contract_streams_too_and_who_leaves_ends_the_run() {
    let stage = Stage::start(Options::default()).await;
    let ask = |parts: u32, fails: bool| {
        let body = json!({ "operation": "steps", "parts": parts, "fails": fails });
        let post = stage.client.post(format!("{}/invocations", stage.url));
        post.header("accept", "text/event-stream").body(body.to_string())
    };
    stage.steps.add_permits(2);
    let mut events = Events::of(ask(2, false)).await;
    events.part(0).await;
    events.part(1).await;
    let (name, _, answer) = events.next().await.unwrap();
    assert_eq!((name.as_str(), answer), ("result", json!({ "parts": 2 })));
    assert_eq!(events.next().await, None);

    stage.steps.add_permits(1);
    let mut events = Events::of(ask(1, true)).await;
    events.part(0).await;
    let (name, _, answer) = events.next().await.unwrap();
    assert_eq!((name.as_str(), &answer["kind"]), ("error", &json!("internal")));

    stage.steps.add_permits(1);
    let mut events = Events::of(ask(9, false)).await;
    events.part(0).await;
    stage.until_taken(1).await;
    drop(events);
    until(|| stage.service.executor().slots().0 == 0).await;

    // An answer that is refused before it begins is refused as ever.
    let refused = stage.client.post(format!("{}/invocations", stage.url));
    let refused = refused.header("accept", "text/event-stream").body("{\"operation\": \"x\"}");
    assert_eq!(refused.send().await.unwrap().status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_json_gets_the_whole_answer() {
    let stage = Stage::start(Options::default()).await;
    stage.steps.add_permits(2);
    let (status, answer) = stage.invoke(&json!({ "operation": "steps", "parts": 2 })).await;
    assert_eq!((status, answer), (200, json!({ "parts": 2 })));
    // What answers at once is a stream too for whoever asks for one.
    let light = stage.client.post(format!("{}/v1/operations/health", stage.url));
    let mut light = Events::of(light.header("accept", "text/event-stream").body("{}")).await;
    let (name, _, job) = light.next().await.unwrap();
    assert_eq!((name.as_str(), &job["result"]["status"]), ("end", &json!("ready")), "{job}");

    let (_, document) = stage.get("/openapi.json").await;
    let of = |name: &str| document["paths"][format!("/v1/operations/{name}")].to_string();
    assert!(of("steps").contains("x-part"), "{}", of("steps"));
    assert!(!of("stereo").contains("x-part"));
}
