//! What a segment costs in calls, everything included.

use crate::cloud::{Cloud, Daemon, until};

const JOBS: u32 = 6;
const SEGMENTS: u32 = 8;

#[test]
fn a_stub_segment_costs_at_most_six_calls() {
    let cloud = Cloud::start();
    for job in 0..JOBS {
        let job = format!("job-{job}");
        cloud.job_in(&job, "chunking_complete", SEGMENTS);
        for index in 0..SEGMENTS {
            cloud.upload_segment(&job, index, SEGMENTS);
        }
    }
    cloud.forget_calls();
    let daemon = Daemon::start(&cloud, &[]);
    until("every reassembly message", || cloud.depth("reassembly").0 == JOBS);
    until("the end of all events", || {
        ["video-worker", "output-events"].iter().all(|queue| cloud.depth(queue) == (0, 0))
    });
    let mut calls = cloud.calls();
    calls.remove("AmazonSQS.GetQueueAttributes");
    let (_, good, log) = daemon.stop("TERM");
    assert!(good, "{log}");
    let all: u32 = calls.values().sum();
    let each = f64::from(all) / f64::from(JOBS * SEGMENTS);
    println!("{each:.2} calls for a segment: {calls:#?}");
    assert!(each <= 6.0, "{each:.2} calls for a segment: {calls:#?}");
    assert_eq!(cloud.depth("dead"), (0, 0));
}
