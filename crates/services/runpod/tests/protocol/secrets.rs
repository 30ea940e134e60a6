//! Secrets of the platform's environment appear in no log and no error.

use std::io::Write;
use std::sync::{Arc, Mutex};

use parallax_runpod::{Settings, Worker, report_unhealthy};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::util::SubscriberInitExt;

use crate::mock::Mock;
use crate::platform::{KEY, Platform, quick};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_key_and_the_queries_of_addresses_are_in_no_log() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_ansi(false).with_writer(move || writer.clone());
    let _log = subscriber.finish().set_default();

    let failing = json!([{"status": 500}, {"status": 429}, {"status": 200, "text": "{canary-query"}, {
        "status": 200,
        "json": {"id": "job-1", "input": {"steps": [{"raise": "broken"}]}, "s3Config": {"accessSecret": "canary-s3"}},
    }]);
    let scenario = json!({"take": failing, "stop": [{"status": 500}], "done": [500, 400]});
    let platform = Platform::start(scenario);
    let settings = platform.settings();
    let worker = Worker::new(settings.clone(), quick(), Mock::new(&platform)).unwrap();
    let shutdown = CancellationToken::new();
    let working = tokio::spawn(worker.run(shutdown.clone()));
    platform.reached("take", 5).await;
    shutdown.cancel();
    working.await.unwrap().unwrap();

    // Nobody listens at these; the errors of the client name addresses.
    let nowhere = Settings::from_env(|name| {
        Some(match name {
            "RUNPOD_AI_API_KEY" => KEY.to_owned(),
            "RUNPOD_POD_ID" => "pod-abc".to_owned(),
            name if name.starts_with("RUNPOD_WEBHOOK") => {
                "http://127.0.0.1:1/v2/ep/job-take/$ID?token=canary-query".to_owned()
            }
            _ => return None,
        })
    });
    let nowhere = nowhere.unwrap().unwrap();
    let worker = Worker::new(nowhere.clone(), quick(), Mock::new(&platform)).unwrap();
    assert!(!format!("{worker:?} {nowhere:?}").contains("canary"));
    let shutdown = CancellationToken::new();
    let working = tokio::spawn(worker.run(shutdown.clone()));
    let logged = |what: &str| {
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8_lossy(&bytes).matches(what).count()
    };
    while logged("Connection refused") < 4 {
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(!report_unhealthy(&nowhere, "gpu", "none").await);
    shutdown.cancel();
    working.await.unwrap().unwrap();

    for seen in ["post failed", "cannot take jobs", "cannot ask which jobs are to stop"] {
        assert!(logged(seen) > 0, "{seen} was logged");
    }
    let text = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    let own = text.lines().filter(|line| line.contains("parallax_runpod"));
    let leaks: Vec<&str> = own.filter(|line| line.contains("canary")).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert!(!text.contains(KEY), "the key is in a line of another crate");
}
