//! What becomes of an attempt is told by what is there, whoever died over it and whatever the clocks
//! say: real daemons on emulated AWS.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use nix::sys::signal::Signal;
use parallax_job::{JobStatus, Mode, Segment};
use parallax_ports::Ledger;
use parallax_ports::ledger::SegmentState;
use parallax_tests::cloud::{Cloud, Cut, EventFaults, Order};
use parallax_tests::{Daemon, Running, Twist, proxy};

/// Waits until `done`; whoever runs the test ends one that waits in vain.
async fn until(mut done: impl AsyncFnMut() -> bool) {
    while !done().await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn cut(name: &str, total: u32) -> Cut {
    Cut { job_id: name.parse().unwrap(), mode: Mode::Sbs, total, unreadable: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_permit_of_a_worker_that_was_killed_before_it_asked_is_free_with_its_lease() {
    let cloud = Cloud::start(EventFaults::default(), Cloud::endpoint_pool()).await;
    let endpoint = cloud.endpoint(1, Duration::ZERO, &[]);
    let cut = cut("killed", 1);
    cloud.submit(&cut, Order::TotalFirst).await;
    let command = || {
        let mut command = cloud.worker_of(&endpoint);
        command.env("PACE", "quick").env("LEASE_SECONDS", "3");
        command.env("INFERENCE_MAX_IN_FLIGHT", "1");
        // Long enough for a deadline that nobody waits for here.
        command.env("SAGEMAKER_INVOKE_TIMEOUT_SECONDS", "3600");
        command
    };
    let requests = "PUT /stereo-output/sagemaker-invocation-requests/".to_owned();
    let store = proxy(&cloud.moto.url, Twist::Swallow(requests));
    let killed = Running::start(command().env("AWS_ENDPOINT_URL_S3", store));
    let bound = async || {
        let holders = cloud.ledger.holders().await.unwrap();
        holders.into_iter().find(|holder| holder.work.is_some())
    };
    until(async || bound().await.is_some()).await;
    killed.signal(Signal::SIGKILL);
    assert_eq!(killed.wait().code, None);
    assert!(bound().await.is_some(), "its permit outlives it");
    let other = Daemon::run(command().env("ROLES", "reconcile"));
    until(async || bound().await.is_none()).await;
    drop(other);
    let segment = Segment::new(cut.job_id.clone(), 0, 1, cut.mode).unwrap();
    let row = cloud.ledger.segment(&segment).await.unwrap().unwrap();
    assert_eq!((row.state, row.refusals), (SegmentState::RetryWait, 1), "it cost the job nothing");
    assert_eq!(row.last_error.unwrap().class, "abandoned");
    assert_eq!(endpoint.stats().accepted, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_clock_is_minutes_behind_fails_no_job() {
    let cloud = Cloud::start(EventFaults::default(), Cloud::endpoint_pool()).await;
    let endpoint = cloud.endpoint(1, Duration::ZERO, &[]);
    let cut = cut("slow-clock", 2);
    cloud.submit(&cut, Order::TotalFirst).await;
    let store = proxy(&cloud.moto.url, Twist::Slow(Duration::from_secs(180)));
    let mut command = cloud.worker_of(&endpoint);
    command.env("PACE", "quick").env("AWS_ENDPOINT_URL_S3", store);
    let daemon = Daemon::run(&mut command);
    until(async || {
        let job = cloud.job(&cut.job_id).await;
        assert_ne!(job.status, JobStatus::Failed, "{job:?}");
        job.status == JobStatus::Reassembling
    })
    .await;
    assert_eq!(cloud.completions(&cut).await.len(), 2);
    assert_eq!(endpoint.stats().accepted, 2, "no segment was converted again");
    daemon.process.signal(Signal::SIGTERM);
    let ended = daemon.process.wait();
    assert!(ended.stderr.contains("\"store\""), "the skew is told: {}", ended.stderr);
}
