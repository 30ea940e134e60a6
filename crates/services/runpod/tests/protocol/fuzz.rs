//! What a platform, its variables and clients may say that makes no sense: it is answered or left
//! out, and the worker goes on.

use std::sync::Arc;

use async_trait::async_trait;
use parallax_fuzz::Cases;
use parallax_runpod::dev::{Limits, router};
use parallax_runpod::{
    Handler, Job, JobContext, JobError, Output, Reply, Settings, Template, Worker,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::platform::{Platform, quick};

/// Answers with what it was asked.
#[derive(Debug)]
struct Echo;

#[async_trait]
impl Handler for Echo {
    async fn run(&self, job: Job, _: JobContext) -> Result<Reply, JobError> {
        Ok(Output::conventional(job.input).into())
    }
}

const WORDS: [&str; 12] = [
    "\"id\":",
    "\"input\":",
    "\"error\":",
    "\"refresh_worker\":",
    "\"webhook\":",
    "\"jobsToStop\":",
    "\"policy\":",
    "\"executionTimeout\":",
    "[{",
    "}]",
    "good",
    "$ID",
];

/// Answers to polls, `count` of them made up, and then `last`.
fn answers(count: u64, corpus: &[String], last: Value) -> Value {
    let mut answers = Vec::new();
    Cases::new(count, corpus, &WORDS).run_text(|text| {
        // The mark that ends a worker is meant to: not here.
        let text = text.replace("refresh_worker", "refresh");
        answers.push(json!({"status": 200, "text": text}));
    });
    answers.push(json!({"status": 200, "json": last}));
    answers.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn fuzz_answers_of_the_platform() {
    let corpus = [
        json!({"id": "a", "input": {"steps": [1]}, "webhook": "https://x"}).to_string(),
        json!([{"id": "a", "input": 1}, {"id": "b", "input": {"error": "x"}}]).to_string(),
        json!({"id": "a", "input": {"refresh_worker": true, "x": "é"}}).to_string(),
    ];
    let stops = [json!({"jobsToStop": ["a", "b"]}).to_string(), "{}".to_owned()];
    // The first stop that is known would be of the last job, were it named.
    let platform = Platform::start(json!({
        "take": answers(1000, &corpus, json!({"id": "the-last", "input": {"x": 1}})),
        "stop": answers(200, &stops, json!({})),
    }));
    let mut options = quick();
    options.timing.longest_backoff = options.timing.backoff;
    let worker = Worker::new(platform.settings(), options, Arc::new(Echo)).unwrap();
    let shutdown = CancellationToken::new();
    let working = tokio::spawn(worker.run(shutdown.clone()));
    platform.reached("take", 1001).await;
    platform.reached("stop", 201).await;
    while platform.posted("the-last").is_empty() {
        assert!(!working.is_finished(), "the worker ended");
        tokio::task::yield_now().await;
    }
    assert_eq!(platform.posted("the-last"), [json!({"output": {"x": 1}})]);
    shutdown.cancel();
    let ended = working.await.unwrap().unwrap();
    assert!(ended.left.is_empty(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fuzz_requests_of_the_development_api() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = router(Arc::new(Echo), Limits::default(), CancellationToken::new());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let http = crate::development::client();
    let corpus = [
        json!({"input": {"x": [1, "é", null]}, "webhook": "https://x"}).to_string(),
        json!({"input": 1, "policy": {"executionTimeout": 5000, "ttl": 1}}).to_string(),
    ];
    let mut taken = 0;
    for page in ["/run", "/v2/ep/runsync?wait=1000", "/status/", "/cancel/", "/v2/ep/stream/"] {
        let with_id = page.ends_with('/');
        let corpus =
            if with_id { vec!["test-0123456789abcdef".to_owned()] } else { corpus.to_vec() };
        let mut cases = Cases::new(1000, &corpus, &WORDS);
        while let Some(input) = cases.next_case() {
            let call = match with_id {
                true => {
                    let id: String = input.iter().map(|byte| format!("%{byte:02x}")).collect();
                    http.post(format!("{url}{page}{id}"))
                }
                false => http.post(format!("{url}{page}")).body(input.to_vec()),
            };
            let call = call.header("content-type", "application/json");
            let answer = call.send().await.unwrap();
            let status = answer.status().as_u16();
            let text = answer.text().await.unwrap();
            assert!(status < 500, "{page}: {status} {text}");
            taken += u64::from(status == 200);
        }
    }
    assert!(taken > 20, "{taken}");
    let call = http.post(format!("{url}/runsync")).json(&json!({"input": {"x": 1}}));
    let answer: Value = call.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["output"], json!({"x": 1}), "the next good request works: {answer}");
}

#[test]
fn fuzz_the_platforms_variables() {
    let good = [
        ("RUNPOD_WEBHOOK_GET_JOB", "https://api.example/v2/ep/job-take/$ID?gpu=x&t=a%2Bb"),
        ("RUNPOD_WEBHOOK_POST_OUTPUT", "https://api.example/job-done/$RUNPOD_POD_ID/$ID?gpu=x"),
        ("RUNPOD_PING_INTERVAL", "1500"),
        ("RUNPOD_POD_ID", "pod-1"),
        ("RUNPOD_AI_API_KEY", "key"),
    ];
    let words = ["$ID", "$RUNPOD_POD_ID", "$", "https://", "http://", "@", "?", "#", ":", "[::1]"];
    for (name, value) in good {
        let mut taken = 0;
        Cases::new(4000, &[value], &words).run_text(|text| {
            let get = |asked: &str| {
                if asked == name {
                    return Some(text.to_owned());
                }
                good.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
            };
            match Settings::from_env(get) {
                Ok(_) => taken += 1,
                Err(error) => {
                    let error = error.to_string();
                    assert!(error.starts_with("RUNPOD_") && error.len() < 2000, "{error}");
                }
            }
            if let Ok(template) = Template::parse("RUNPOD_WEBHOOK_PING", text, "pod/1") {
                // No id leaves its place.
                let url = template.url("../../x?y#z").unwrap();
                assert!(!url.path().contains("/../") && url.fragment().is_none(), "{url}");
            }
        });
        assert!(taken > 0, "{name}");
    }
}
