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
    let mut calls = cloud.calls();
    calls.remove("AmazonSQS.GetQueueAttributes");
    let (_, good, log) = daemon.stop("TERM");
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
