//! What the worker does beyond the recorded calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parallax_runpod::{
    Ended, Handler, Job, JobContext, JobError, Modifier, Options, Output, Reason, Reply, Worker,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::mock::Mock;
use crate::platform::{Platform, quick};

fn job(id: &str, steps: Value) -> Value {
    json!({"id": id, "input": {"steps": steps}})
}

fn take(answers: &[Value]) -> Value {
    let answer = |json: &Value| json!({"status": 200, "json": json});
    answers.iter().map(answer).collect()
}

struct Working {
    shutdown: CancellationToken,
    task: JoinHandle<std::io::Result<Ended>>,
}

impl Working {
    fn start(platform: &Platform, options: Options) -> Self {
        Self::with(platform, options, Mock::new(platform))
    }

    fn with(platform: &Platform, options: Options, handler: Arc<dyn Handler>) -> Self {
        let worker = Worker::new(platform.settings(), options, handler).unwrap();
        let shutdown = CancellationToken::new();
        Self { task: tokio::spawn(worker.run(shutdown.clone())), shutdown }
    }

    async fn end(self) -> Ended {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(30), self.task).await.unwrap().unwrap().unwrap()
    }
}

const DONE: Ended = Ended { reason: Reason::Shutdown, left: Vec::new() };

#[tokio::test]
async fn heartbeats_go_on_while_a_job_keeps_the_whole_runtime_busy() {
    // The job ends after three heartbeats, and until then nothing else runs in this runtime.
    let job = job("job-1", json!([{"busy": true}, {"return": 1}]));
    let platform = Platform::start(json!({"take": take(&[job])}));
    let working = Working::start(&platform, quick());
    platform.reached("done", 1).await;
    assert_eq!(working.end().await, DONE);
    let named = platform.calls().into_iter().filter(|(channel, call)| {
        *channel == "ping"
            && call["query"].as_array().unwrap().contains(&json!(["job_id", "job-1"]))
    });
    assert!(named.count() >= 2);
}

#[tokio::test]
async fn a_job_that_panics_has_failed_and_the_next_one_runs() {
    let jobs = [job("job-1", json!([{"panic": true}])), job("job-2", json!([{"return": 2}]))];
    let platform = Platform::start(json!({"take": take(&jobs)}));
    let working = Working::start(&platform, quick());
    platform.reached("done", 2).await;
    assert_eq!(working.end().await, DONE);
    let [failed] = &platform.posted("job-1")[..] else { panic!("one result") };
    assert_eq!(failed["error"]["error_type"], "Panic");
    assert_eq!(failed["error"]["error_message"], "out of ideas");
    assert_eq!(platform.posted("job-2"), [json!({"output": 2})]);
}

#[tokio::test]
async fn a_job_that_outlives_the_drain_is_left_to_another_worker() {
    let jobs = [job("job-1", json!([{"forever": true}, {"return": 1}]))];
    let platform = Platform::start(json!({"take": take(&jobs)}));
    let working =
        Working::start(&platform, Options { drain: Duration::from_millis(50), ..quick() });
    platform.reached("started", 1).await;
    let ended = working.end().await;
    assert_eq!(ended, Ended { reason: Reason::Shutdown, left: vec!["job-1".to_owned()] });
    assert_eq!(platform.count("cancelled"), 1, "the job was told");
    assert_eq!(platform.posted("job-1"), Vec::<Value>::new());
}

#[tokio::test]
async fn a_stopped_job_that_does_not_listen_is_dropped_and_its_place_is_free() {
    let jobs = [job("job-1", json!([{"deaf": true}])), job("job-2", json!([{"return": 2}]))];
    let stop = json!([{
        "status": 200, "json": {"jobsToStop": ["job-1"]}, "after": {"event": "started", "count": 1},
    }]);
    let platform = Platform::start(json!({"take": take(&jobs), "stop": stop}));
    let working = Working::start(&platform, quick());
    platform.reached("done", 1).await;
    assert_eq!(working.end().await, DONE);
    assert_eq!(platform.posted("job-1"), Vec::<Value>::new());
    assert_eq!(platform.posted("job-2"), [json!({"output": 2})]);
}

#[tokio::test]
async fn a_job_sent_again_while_it_runs_is_run_once() {
    let wait = json!([{"wait": {"event": "take", "count": 3}}, {"return": 1}]);
    let jobs = [json!([job("job-1", wait)]), job("job-1", json!([{"return": "again"}]))];
    let platform = Platform::start(json!({"take": take(&jobs)}));
    let working = Working::start(&platform, Options { concurrency: 2, ..quick() });
    platform.reached("done", 1).await;
    assert_eq!(working.end().await, DONE);
    assert_eq!(platform.count("started"), 1);
    assert_eq!(platform.posted("job-1"), [json!({"output": 1})]);
}

#[tokio::test]
async fn a_job_that_the_last_poll_brings_is_run() {
    let late = json!({
        "status": 200, "json": job("job-1", json!([{"return": 1}])),
        "after": {"event": "sigterm", "count": 1},
    });
    let platform = Platform::start(json!({"take": [late]}));
    let mut options = quick();
    options.timing.last_poll = Duration::from_secs(20);
    let working = Working::start(&platform, options);
    platform.reached("take", 1).await;
    working.shutdown.cancel();
    platform.happened("sigterm");
    assert_eq!(working.end().await, DONE);
    assert_eq!(platform.posted("job-1"), [json!({"output": 1})]);
    assert_eq!(platform.count("take"), 1, "no further poll");
}

/// Counts how many of its jobs run at once.
#[derive(Debug)]
struct Counting {
    now: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl Handler for Counting {
    async fn run(&self, _: Job, _: JobContext) -> Result<Reply, JobError> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(Output::default().into())
    }
}

#[tokio::test]
async fn more_jobs_than_were_asked_for_wait_their_turn() {
    let jobs: Vec<Value> = (0..7).map(|n| job(&format!("job-{n}"), json!([]))).collect();
    let platform = Platform::start(json!({"take": take(&[jobs.into()])}));
    let counting = Arc::new(Counting { now: 0.into(), most: 0.into() });
    let options = Options { concurrency: 2, ..quick() };
    let working = Working::with(&platform, options, counting.clone());
    platform.reached("done", 7).await;
    assert_eq!(working.end().await, DONE);
    assert_eq!(counting.most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn more_jobs_than_can_wait_are_refused() {
    let mut jobs: Vec<Value> = (0..300).map(|n| job(&format!("job-{n}"), json!([]))).collect();
    // One of those that are told is in progress.
    jobs[150] = job("job-0", json!([]));
    let platform = Platform::start(json!({"take": take(&[jobs.into()])}));
    let counting = Arc::new(Counting { now: 0.into(), most: 0.into() });
    let options = Options { concurrency: 2, ..quick() };
    let working = Working::with(&platform, options, counting.clone());
    // Two that were asked for, a hundred that wait and a hundred that are told, but for the one.
    platform.reached("done", 201).await;
    assert_eq!(working.end().await, DONE);
    assert_eq!(counting.most.load(Ordering::SeqCst), 2);
    assert_eq!(platform.count("done"), 201);
    for n in [0, 1, 2, 101] {
        assert_eq!(platform.posted(&format!("job-{n}")), [json!({"output": null})], "job-{n}");
    }
    for n in [102, 149, 151, 201] {
        let [refused] = &platform.posted(&format!("job-{n}"))[..] else { panic!("one answer") };
        assert_eq!(refused["error"]["error_type"], "Overloaded", "job-{n}");
        let message = refused["error"]["error_message"].as_str().unwrap();
        assert!(message.contains("more jobs than can wait"), "{message}");
    }
    assert_eq!(platform.posted("job-202"), Vec::<Value>::new());
}

#[tokio::test]
async fn a_modifier_is_believed_within_bounds() {
    for (asked, polled) in
        [(1000, json!(["batch_size", "3"])), (0, json!(["job_in_progress", "0"]))]
    {
        let platform = Platform::start(json!({}));
        let modifier = Modifier(Arc::new(move |_| asked));
        let options = Options { modifier: Some(modifier), concurrency_limit: 3, ..quick() };
        let working = Working::start(&platform, options);
        platform.reached("take", 1).await;
        assert_eq!(working.end().await, DONE);
        let (_, call) =
            platform.calls().into_iter().find(|(channel, _)| *channel == "take").unwrap();
        assert_eq!(call["query"][1], polled);
    }
    let platform = Platform::start(json!({}));
    for concurrency in [0, 65] {
        let options = Options { concurrency, ..quick() };
        let error = Worker::new(platform.settings(), options, Mock::new(&platform)).unwrap_err();
        assert_eq!(error.to_string(), format!("concurrency {concurrency}: allowed are 1 to 64"));
    }
}

#[tokio::test]
async fn an_answer_too_long_to_be_jobs_is_not_read() {
    let long = job("job-1", json!([{"return": "x".repeat(10_000)}]));
    let jobs = [long, job("job-2", json!([{"return": 2}]))];
    let platform = Platform::start(json!({"take": take(&jobs)}));
    let working = Working::start(&platform, Options { longest_answer: 5_000, ..quick() });
    platform.reached("done", 1).await;
    assert_eq!(working.end().await, DONE);
    assert_eq!(platform.posted("job-1"), Vec::<Value>::new());
    assert_eq!(platform.posted("job-2"), [json!({"output": 2})]);
}

#[tokio::test]
async fn nothing_is_said_about_a_job_after_its_result() {
    let mut steps: Vec<Value> = (0..200).map(|n| json!({"progress": n})).collect();
    steps.push(json!({"return": "end"}));
    let platform = Platform::start(json!({"take": take(&[job("job-1", steps.into())])}));
    let working = Working::start(&platform, quick());
    // Polled for the next one, so the first is over.
    platform.reached("take", 2).await;
    assert_eq!(working.end().await, DONE);
    let mut posted = platform.posted("job-1");
    assert_eq!(posted.pop().unwrap(), json!({"output": "end"}));
    let updates: Vec<u64> = posted.iter().map(|body| body["output"].as_u64().unwrap()).collect();
    assert!(updates.is_sorted() && updates.last() == Some(&199), "{updates:?}");
    assert!(updates.len() < 100, "the oldest of many were left out: {updates:?}");
}

#[tokio::test]
async fn parts_that_have_no_address_are_in_the_result() {
    let steps = json!([{"yield": 1}, {"yield": 2}]);
    let scenario = json!({"generator": true, "take": take(&[job("job-1", steps)])});
    let platform = Platform::start(scenario);
    let settings = parallax_runpod::Settings { stream: None, ..platform.settings() };
    let worker = Worker::new(settings, quick(), Mock::new(&platform)).unwrap();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(worker.run(shutdown.clone()));
    platform.reached("done", 1).await;
    assert_eq!(Working { shutdown, task }.end().await, DONE);
    assert_eq!(platform.posted("job-1"), [json!({"output": [1, 2]})]);
    assert_eq!(platform.count("stream"), 0);
}

#[tokio::test]
async fn a_heartbeat_that_fails_is_repeated_before_its_time() {
    let platform = Platform::start(json!({"ping": [500]}));
    let mut settings = platform.settings();
    settings.ping_interval = Duration::from_secs(3600);
    let worker = Worker::new(settings, quick(), Mock::new(&platform)).unwrap();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(worker.run(shutdown.clone()));
    platform.reached("ping", 2).await;
    assert_eq!(Working { shutdown, task }.end().await, DONE);
}

#[tokio::test]
async fn the_key_follows_no_redirect() {
    let elsewhere = Platform::start(json!({}));
    let away = elsewhere.settings().take.url("pod").unwrap();
    let platform = Platform::start(json!({"take": [{"status": 307, "location": away.as_str()}]}));
    let working = Working::start(&platform, quick());
    platform.reached("take", 2).await;
    assert_eq!(working.end().await, DONE);
    assert_eq!(elsewhere.calls(), []);
}

#[tokio::test]
async fn a_job_can_be_stopped_while_the_worker_drains() {
    let jobs = [job("job-1", json!([{"forever": true}, {"return": 1}]))];
    let stop = json!([{
        "status": 200, "json": {"jobsToStop": ["job-1"]}, "after": {"event": "sigterm", "count": 1},
    }]);
    let platform = Platform::start(json!({"take": take(&jobs), "stop": stop}));
    let working = Working::start(&platform, quick());
    platform.reached("started", 1).await;
    working.shutdown.cancel();
    platform.happened("sigterm");
    assert_eq!(working.end().await, DONE, "nothing is left");
    assert_eq!(platform.posted("job-1"), Vec::<Value>::new());
}

#[tokio::test]
async fn a_job_that_waits_for_a_place_can_be_stopped() {
    let first = job("job-1", json!([{"wait": {"event": "stop", "count": 2}}, {"return": 1}]));
    let second = job("job-2", json!([{"return": 2}]));
    let stop = json!([{
        "status": 200, "json": {"jobsToStop": ["job-2"]}, "after": {"event": "started", "count": 1},
    }]);
    let batch = json!([first, second]);
    let platform = Platform::start(json!({"take": take(&[batch]), "stop": stop}));
    let working = Working::start(&platform, quick());
    platform.reached("take", 2).await;
    assert_eq!(working.end().await, DONE);
    assert_eq!(platform.posted("job-1"), [json!({"output": 1})]);
    assert_eq!(platform.count("started"), 1);
}

#[tokio::test]
async fn a_worker_that_is_dropped_stops_its_jobs() {
    let jobs = [job("job-1", json!([{"forever": true}, {"return": 1}]))];
    let platform = Platform::start(json!({"take": take(&jobs)}));
    let working = Working::start(&platform, quick());
    platform.reached("started", 1).await;
    working.task.abort();
    platform.reached("cancelled", 1).await;
    assert!(working.task.await.unwrap_err().is_cancelled());
    assert_eq!(platform.posted("job-1"), Vec::<Value>::new());
}
