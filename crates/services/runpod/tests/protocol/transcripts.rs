//! The calls that the platform's own library made, made again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::join_all;
use parallax_runpod::{Ended, Modifier, Options, Reason, Worker, report_unhealthy};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::mock::Mock;
use crate::platform::{Platform, quick};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_scenario_leads_to_the_recorded_calls() {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let names = files.map(|file| file.file_stem().unwrap().to_string_lossy().into_owned());
    let names: Vec<String> = names.filter(|name| name != "unhealthy").collect();
    assert!(names.len() >= 20, "{names:?}");
    let plays = names.into_iter().map(|name| {
        tokio::spawn(async move {
            let record = record(&name);
            let played = play(&record).await;
            differences(&name, &record["calls"], &played)
        })
    });
    let wrong = join_all(plays).await.into_iter().filter_map(|played| played.unwrap());
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_failed_check_at_the_start_is_reported_as_recorded() {
    let record = record("unhealthy");
    let platform = Platform::start(record["scenario"].clone());
    let check = &record["scenario"]["unhealthy"];
    let [check, message] = ["check", "message"].map(|name| check[name].as_str().unwrap());
    // The library names the exception; what is cut off is longer than that.
    let reason = format!("RuntimeError: {message}");
    assert!(report_unhealthy(&platform.settings(), check, &reason).await);
    assert_eq!(platform.transcript(), record["calls"]);
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

fn record(name: &str) -> Value {
    let text = fs::read(folder().join(format!("{name}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn differences(name: &str, recorded: &Value, played: &Value) -> Option<String> {
    let mut expected = recorded.clone();
    if name == "refresh_result" {
        // The library goes on polling after such a result and waits to be killed.
        expected["take"].as_array_mut().unwrap().pop();
    }
    let channels = expected.as_object().unwrap().keys();
    let wrong: Vec<String> = channels
        .filter(|channel| expected[channel.as_str()] != played[channel.as_str()])
        .map(|channel| {
            let [expected, played] = [&expected, played].map(|calls| &calls[channel.as_str()]);
            format!("{name}, {channel}:\n  recorded {expected}\n  played   {played}")
        })
        .collect();
    (!wrong.is_empty()).then(|| wrong.join("\n"))
}

/// Plays a scenario to the worker until its end and returns the calls.
async fn play(record: &Value) -> Value {
    let scenario = &record["scenario"];
    let platform = Platform::start(scenario.clone());
    let worker = Worker::new(platform.settings(), options(scenario), Mock::new(&platform)).unwrap();
    let shutdown = CancellationToken::new();
    let working = tokio::spawn(worker.run(shutdown.clone()));
    if let Some(condition) = scenario.get("sigterm_after") {
        platform.condition(condition).await;
        shutdown.cancel();
        platform.happened("sigterm");
    }
    let (polls, others): (Vec<&Value>, Vec<&Value>) =
        scenario["until"].as_array().unwrap().iter().partition(|until| until["event"] == "take");
    for condition in others {
        platform.condition(condition).await;
    }
    // A worker that is to be replaced ends by itself and polls no more.
    let spent = platform.calls().iter().any(|(_, call)| call["body"]["stopPod"] == true);
    for condition in polls.into_iter().filter(|_| !spent) {
        platform.condition(condition).await;
    }
    // The last poll is never answered: that it came is all that can be waited for.
    platform.reached("stop", record["calls"]["stop"].as_array().unwrap().len() as u64).await;
    if !spent {
        shutdown.cancel();
    }
    let reason = if spent { Reason::Refresh } else { Reason::Shutdown };
    let ended = working.await.unwrap().unwrap();
    assert_eq!(ended, Ended { reason, left: Vec::new() });
    platform.transcript()
}

fn options(scenario: &Value) -> Options {
    let asked = &scenario["options"];
    let mut options = quick();
    if let Some(concurrency) = asked["concurrency"].as_u64() {
        options.modifier = Some(Modifier(Arc::new(move |_| concurrency as usize)));
    }
    options.refresh_worker = asked["refresh_worker"] == true;
    options.aggregate = asked["aggregate"] == true;
    options
}
