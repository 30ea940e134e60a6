//! What a segment costs in calls, everything included.
//!
//! How many messages travel together depends on how fast the machine is, so the bounds are those
//! of one by one; the number that is printed is usually below six.

use crate::cloud::{Cloud, Daemon, until};

const JOBS: u32 = 6;
const SEGMENTS: u32 = 8;

#[test]
fn a_segment_costs_two_writes_one_copy_and_hardly_a_read() {
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
    // What is done is counted a moment later.
    let lines = [
        format!("parallax_segments_total{{outcome=\"completed\"}} {}", JOBS * SEGMENTS),
        format!("parallax_attempts_total{{outcome=\"finished\"}} {}", JOBS * SEGMENTS),
        format!("parallax_reassembly_messages_total {JOBS}"),
        "parallax_invariant_violations_total{invariant=\"limit\"} 0".to_owned(),
        format!("parallax_queue_delay_seconds_count{{queue=\"segments\"}} {}", JOBS * SEGMENTS),
    ];
    let missing = |line: &&String| !daemon.get("/metrics").lines().any(|found| found == *line);
    until("every number", || !lines.iter().any(|line| missing(&line)));
    assert_eq!(lines.iter().find(missing), None, "none is more");
    let mut calls = cloud.calls();
    calls.remove("AmazonSQS.GetQueueAttributes");
    let mut healthy = cloud.command(&cloud.environment(), &["healthy"]);
    assert!(healthy.env("HEALTH_ADDRESS", daemon.address()).status().unwrap().success());
    let (good, log) = daemon.stop("TERM");
    assert!(good, "{log}");
    let all: u32 = calls.values().sum();
    let segments = JOBS * SEGMENTS;
    println!("{:.2} calls for a segment: {calls:#?}", f64::from(all) / f64::from(segments));
    let of = |names: &[&str]| names.iter().map(|name| calls.get(*name).unwrap_or(&0)).sum::<u32>();
    let ledger = "DynamoDB_20120810";
    let writes = of(&[&format!("{ledger}.TransactWriteItems"), &format!("{ledger}.UpdateItem")]);
    // Intent and completion; claim and confirmation; ramp-up, and now and then a second try.
    assert!(writes <= 2 * segments + 2 * JOBS + segments / 2, "{calls:#?}");
    let reads = of(&[&format!("{ledger}.BatchGetItem"), &format!("{ledger}.GetItem")]);
    assert!(reads <= segments, "{calls:#?}");
    assert!(of(&["s3.PUT", "s3.GET", "s3.HEAD"]) <= segments + 4, "{calls:#?}");
    assert_eq!(of(&["AmazonSQS.SendMessage"]), JOBS, "{calls:#?}");
    assert_eq!(of(&["AmazonSQS.ChangeMessageVisibility"]), 0, "{calls:#?}");
    assert_eq!(cloud.depth("dead"), (0, 0));
}
