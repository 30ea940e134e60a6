//! The development API, as its clients see it.

use std::time::Duration;

use parallax_runpod::dev::{Limits, router};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::mock::Mock;
use crate::platform::Platform;

/// A server, and the events of its jobs.
struct Server {
    base: String,
    address: std::net::SocketAddr,
    events: Platform,
    shutdown: CancellationToken,
    http: Client,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let events = Platform::start(json!({}));
        let shutdown = CancellationToken::new();
        let routes = router(Mock::new(&events), limits, shutdown.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let http = client();
        Self { base: format!("http://{address}"), address, events, shutdown, http }
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.call(Method::GET, path)).await
    }

    async fn post(&self, path: &str) -> (u16, Value) {
        answer(self.call(Method::POST, path)).await
    }

    async fn submit(&self, path: &str, steps: Value) -> (u16, Value) {
        answer(self.call(Method::POST, path).json(&json!({"input": {"steps": steps}}))).await
    }

    /// Hands in a job and returns its id.
    async fn run(&self, steps: Value) -> String {
        let (status, answer) = self.submit("/run", steps).await;
        assert_eq!((status, &answer["status"]), (200, &json!("IN_QUEUE")), "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// The answer about a job once its status is `status`.
    async fn until(&self, id: &str, status: &str) -> Value {
        let asking = async {
            loop {
                let (_, answer) = self.get(&format!("/status/{id}")).await;
                if answer["status"] == status {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(30), asking).await;
        found.unwrap_or_else(|_| panic!("{id} never was {status}"))
    }
}

/// A client without TLS: everything is on loopback.
pub(crate) fn client() -> Client {
    let roots = rustls::RootCertStore::empty();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

fn quick() -> Limits {
    Limits { stop_grace: Duration::from_millis(50), ..Limits::default() }
}

fn wait(event: &str, count: u64) -> Value {
    json!({"wait": {"event": event, "count": count}})
}

#[tokio::test]
async fn a_job_runs_by_itself_and_tells_how_far_it_is() {
    let server = Server::start(quick()).await;
    let id =
        server.run(json!([{"progress": {"pct": 50}}, wait("go", 1), {"return": {"k": 1}}])).await;
    server.events.reached("started", 1).await;
    loop {
        let answer = server.until(&id, "IN_PROGRESS").await;
        if answer["output"] == json!({"pct": 50}) {
            break;
        }
    }
    server.events.happened("go");
    let answer = server.until(&id, "COMPLETED").await;
    assert_eq!((&answer["id"], &answer["output"]), (&json!(id), &json!({"k": 1})));
    assert!(answer["executionTime"].is_u64() && answer["delayTime"].is_u64(), "{answer}");
    for path in [format!("/status/{id}"), format!("/v2/any/status/{id}")] {
        assert_eq!(server.get(&path).await, (200, answer.clone()));
        assert_eq!(server.post(&path).await, (200, answer.clone()));
    }
}

#[tokio::test]
async fn runsync_answers_with_the_end() {
    let server = Server::start(quick()).await;
    for (steps, status, output, error) in [
        (json!([{"return": "done"}]), "COMPLETED", json!("done"), Value::Null),
        (json!([{"return": {}}]), "COMPLETED", Value::Null, Value::Null),
        (json!([{"return": {"error": "bad", "k": 1}}]), "FAILED", json!({"k": 1}), json!("bad")),
        (
            json!([{"return": {"refresh_worker": true, "k": 1}}]),
            "COMPLETED",
            json!({"k": 1}),
            Value::Null,
        ),
        (json!([{"yield": 1}, {"yield": 2}]), "COMPLETED", json!([1, 2]), Value::Null),
    ] {
        let (code, answer) = server.submit("/v2/endpoint/runsync", steps).await;
        assert_eq!((code, &answer["status"]), (200, &json!(status)), "{answer}");
        assert_eq!((&answer["output"], &answer["error"]), (&output, &error), "{answer}");
    }
    let (_, answer) = server.submit("/runsync", json!([{"raise": "broken"}])).await;
    assert_eq!(answer["status"], "FAILED");
    let error: Value = serde_json::from_str(answer["error"].as_str().unwrap()).unwrap();
    assert_eq!(error["error_message"], "broken");
}

#[tokio::test]
async fn runsync_that_takes_long_answers_before_the_end() {
    let limits = Limits { runsync_wait: Duration::from_millis(20), ..quick() };
    let server = Server::start(limits).await;
    let (_, answer) = server.submit("/runsync", json!([wait("go", 1), {"return": 1}])).await;
    assert!(["IN_QUEUE", "IN_PROGRESS"].contains(&answer["status"].as_str().unwrap()), "{answer}");
    server.events.happened("go");
    assert_eq!(server.until(answer["id"].as_str().unwrap(), "COMPLETED").await["output"], 1);
    let (status, answer) = server.submit("/runsync?wait=999", json!([])).await;
    assert_eq!(
        (status, answer),
        (400, json!({"error": "wait: allowed are 1000 to 300000 milliseconds"}))
    );
}

#[tokio::test]
async fn each_part_is_streamed_once() {
    let server = Server::start(quick()).await;
    let steps = json!([{"yield": {"k": 0}}, {"yield": "b"}, wait("go", 1), {"yield": 3}]);
    let id = server.run(steps).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let (_, answer) = server.get(&format!("/v2/e/stream/{id}")).await;
        seen.extend(answer["stream"].as_array().unwrap().clone());
    }
    assert_eq!(seen, [json!({"output": {"k": 0}}), json!({"output": "b"})]);
    server.events.happened("go");
    let whole = server.until(&id, "COMPLETED").await;
    assert_eq!(whole["output"], json!([{"k": 0}, "b", 3]));
    let (_, rest) = server.post(&format!("/stream/{id}")).await;
    assert_eq!(rest, json!({"id": id, "status": "COMPLETED", "stream": [{"output": 3}]}));
    let (_, none) = server.get(&format!("/stream/{id}")).await;
    assert_eq!(none, json!({"id": id, "status": "COMPLETED", "stream": []}));
}

#[tokio::test]
async fn a_cancelled_job_hears_of_it_and_frees_its_place() {
    let server = Server::start(quick()).await;
    let running = server.run(json!([{"forever": true}, {"return": 1}])).await;
    let waiting = server.run(json!([{"return": 2}])).await;
    server.events.reached("started", 1).await;
    let (_, answer) = server.post(&format!("/v2/e/cancel/{waiting}")).await;
    assert_eq!(answer, json!({"id": waiting, "status": "CANCELLED"}));
    let (_, answer) = server.post(&format!("/cancel/{running}")).await;
    assert_eq!((&answer["id"], &answer["status"]), (&json!(running), &json!("CANCELLED")));
    server.events.reached("cancelled", 1).await;
    let (_, next) = server.submit("/runsync", json!([{"return": 3}])).await;
    assert_eq!(next["output"], 3);
    let id = next["id"].as_str().unwrap();
    let (_, late) = server.post(&format!("/cancel/{id}")).await;
    assert_eq!(late["status"], "COMPLETED", "what has ended stays ended");
    for id in [running, waiting] {
        assert_eq!(server.until(&id, "CANCELLED").await.get("output"), None);
    }
    assert_eq!(server.events.count("started"), 2, "the one that waited never ran");
}

#[tokio::test]
async fn the_queue_is_bounded_and_can_be_purged() {
    let server = Server::start(Limits { queue: 2, ..quick() }).await;
    let running = server.run(json!([wait("go", 1), {"return": 1}])).await;
    server.events.reached("started", 1).await;
    let waiting = [server.run(json!([])).await, server.run(json!([])).await];
    let request = server.call(Method::POST, "/run").json(&json!({"input": {}}));
    let refused = request.send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (429, &"1".parse().unwrap())
    );
    let (_, health) = server.get("/v2/e/health").await;
    let jobs = json!({"completed": 0, "failed": 0, "inProgress": 1, "inQueue": 2, "retried": 0});
    let workers = json!({"idle": 0, "running": 1, "throttled": 0});
    assert_eq!(health, json!({"jobs": jobs, "workers": workers}));
    let (_, purged) = server.post("/v2/e/purge-queue").await;
    assert_eq!(purged, json!({"removed": 2, "status": "completed"}));
    for id in waiting {
        server.until(&id, "CANCELLED").await;
    }
    server.events.happened("go");
    server.until(&running, "COMPLETED").await;
    let (_, health) = server.get("/health").await;
    assert_eq!((&health["jobs"]["completed"], &health["jobs"]["inQueue"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn a_job_that_runs_too_long_is_timed_out() {
    let server = Server::start(quick()).await;
    let body = json!({
        "input": {"steps": [{"forever": true}]}, "policy": {"executionTimeout": 20},
    });
    let (_, answer) = answer(server.call(Method::POST, "/runsync").json(&body)).await;
    assert_eq!(
        (&answer["status"], &answer["error"]),
        (&json!("TIMED_OUT"), &json!("job ran longer than 20ms"))
    );
    server.events.reached("cancelled", 1).await;
    let (_, next) = server.submit("/runsync", json!([{"return": 3}])).await;
    assert_eq!(next["output"], 3, "its place is free");
    let (_, health) = server.get("/health").await;
    assert_eq!(health["jobs"]["failed"], 1);
}

#[tokio::test]
async fn requests_that_make_no_job_are_refused() {
    let server = Server::start(Limits { run_body: 1000, runsync_body: 2000, ..quick() }).await;
    let json = |path: &str, text: String| {
        server.call(Method::POST, path).header("content-type", "application/json").body(text)
    };
    let long = |bytes: usize| {
        format!("{{\"input\": {{\"steps\": [], \"x\": \"{}\"}}}}", "x".repeat(bytes))
    };
    for (request, status, why) in [
        (json("/run", long(1000)), 413, "the request is longer than 1000 bytes"),
        (json("/runsync", long(2000)), 413, "the request is longer than 2000 bytes"),
        (json("/run", "{}".to_owned()), 422, "input: missing"),
        (json("/run", "[1".to_owned()), 400, "body: "),
        (json("/run", "[".repeat(900)), 400, "body: recursion limit"),
        (server.call(Method::POST, "/run").body("{\"input\": {}}"), 415, "Content-Type"),
    ] {
        let (found, body) = answer(request).await;
        assert_eq!(found, status, "{body}");
        assert!(body["error"].as_str().unwrap().starts_with(why), "{body}");
    }
    let (status, _) = answer(json("/runsync", long(1000))).await;
    assert_eq!(status, 200, "runsync takes more than run");
    let (status, body) = server.get("/status/no-such-job").await;
    let nothing = json!({"id": "no-such-job", "status": "FAILED", "error": "Job ID not found"});
    assert_eq!((status, body), (404, nothing.clone()));
    for path in ["/cancel/no-such-job", "/stream/no-such-job"] {
        assert_eq!(server.post(path).await, (404, nothing.clone()));
    }
    assert_eq!(server.get("/run").await.0, 405);
}

#[tokio::test]
async fn bodies_without_a_length_or_without_an_end_are_bounded() {
    let limits = Limits { run_body: 1000, upload: Duration::from_secs(2), uploads: 1, ..quick() };
    let server = Server::start(limits).await;
    let head = "POST /run HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let endless =
        format!("{head}transfer-encoding: chunked\r\n\r\n1000\r\n{}\r\n", "[".repeat(4096));
    let slow = format!("{head}content-length: 900\r\n\r\n{{");
    for (text, status) in [(endless, "HTTP/1.1 413"), (slow, "HTTP/1.1 408")] {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(std::str::from_utf8(&answer).unwrap(), status);
    }
    server.run(json!([])).await;
}

#[tokio::test]
async fn outputs_beyond_the_limit_fail_their_job() {
    let server = Server::start(Limits { output: 1000, ..quick() }).await;
    let (_, answer) = server.submit("/runsync", json!([{"return": "x".repeat(1000)}])).await;
    assert_eq!(answer["status"], "FAILED");
    assert!(answer["error"].as_str().unwrap().starts_with("output of 10"), "{answer}");
    let half = "x".repeat(600);
    let (_, answer) = server.submit("/runsync", json!([{"yield": half}, {"yield": half}])).await;
    assert_eq!(answer["status"], "FAILED");
    assert_eq!(answer["output"], json!([half]), "what came before is there");
}

#[tokio::test]
async fn old_results_are_forgotten() {
    let long = || json!([{"return": "x".repeat(400)}]);
    let gone = |server: &Server, id: &str| {
        let asked = server.call(Method::GET, &format!("/status/{id}"));
        async move { answer(asked).await.0 == 404 }
    };
    let few = Server::start(Limits { kept: 2, ..quick() }).await;
    let small = Server::start(Limits { memory: 1000, ..quick() }).await;
    for server in [&few, &small] {
        let mut ids = Vec::new();
        for _ in 0..4 {
            let id = server.run(long()).await;
            server.until(&id, "COMPLETED").await;
            ids.push(id);
        }
        assert!(gone(server, &ids[0]).await && gone(server, &ids[1]).await);
        assert!(!gone(server, &ids[3]).await);
    }
    let brief = Server::start(Limits { keep_run: Duration::ZERO, ..quick() }).await;
    let id = brief.run(long()).await;
    while !gone(&brief, &id).await {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (_, kept) = brief.submit("/runsync", json!([{"return": 1}])).await;
    assert!(!gone(&brief, kept["id"].as_str().unwrap()).await, "runsync has a time of its own");
}

#[tokio::test]
async fn what_cannot_be_held_is_refused() {
    let server = Server::start(Limits { memory: 1000, ..quick() }).await;
    let running = server.run(json!([wait("go", 1), {"return": "x".repeat(600)}])).await;
    server.events.reached("started", 1).await;
    let (status, body) = server.submit("/run", json!([{"return": "x".repeat(950)}])).await;
    assert_eq!((status, body), (429, json!({"error": "too much is held"})));
    server.events.happened("go");
    server.until(&running, "COMPLETED").await;
    server.submit("/runsync", json!([{"return": "x".repeat(600)}])).await;
    assert_eq!(server.get(&format!("/status/{running}")).await.0, 404, "it made room");
}

#[tokio::test]
async fn a_server_that_ends_stops_its_jobs_and_takes_no_more() {
    let server = Server::start(quick()).await;
    let id = server.run(json!([{"forever": true}])).await;
    server.events.reached("started", 1).await;
    server.shutdown.cancel();
    server.events.reached("cancelled", 1).await;
    server.until(&id, "CANCELLED").await;
    let (status, body) = server.submit("/run", json!([])).await;
    assert_eq!((status, body), (503, json!({"error": "the server ends"})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jobs_run_in_the_order_they_came_in() {
    let server = Server::start(quick()).await;
    let first = server.run(json!([wait("go", 1)])).await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(server.run(json!([{"return": 1}])).await);
    }
    let last = server.run(json!([{"forever": true}])).await;
    server.events.happened("go");
    server.events.reached("started", 22).await;
    for id in waiting.iter().chain([&first]) {
        server.until(id, "COMPLETED").await;
    }
    server.until(&last, "IN_PROGRESS").await;
}

#[tokio::test]
async fn a_page_that_a_browser_shows_is_refused() {
    let server = Server::start(quick()).await;
    for page in ["/run", "/purge-queue", "/v2/ep/cancel/x", "/v2/ep/runsync"] {
        let call = server.call(Method::POST, page).header("origin", "https://evil.example");
        let (status, answer) = answer(call.json(&json!({"input": {"steps": []}}))).await;
        assert_eq!(status, 403, "{page}: {answer}");
    }
    assert_eq!(server.events.count("started"), 0);
}
