//! What the rules are played with: times, names, jobs, segments and attempts at them.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::{JobId, JobStatus, Mode, Segment, Timestamp, Uri};

use parallax_ports::ledger::{Fence, HolderId, Intent, IntentOutcome, Job, Reserve, SegmentRow};
use parallax_ports::{Custody, Ledger};

/// Handles to one ledger.
pub type Replicas = Vec<Arc<dyn Ledger>>;

/// `seconds` after an arbitrary beginning.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp(1_700_000_000_000 + seconds * 1000)
}

pub(crate) fn id(name: &str) -> JobId {
    name.parse().unwrap()
}

pub(super) fn holder(name: &str) -> HolderId {
    HolderId(name.to_owned())
}

pub(super) fn segment(job: &str, index: u32, total: u32) -> Segment {
    Segment::new(id(job), index, total, Mode::Sbs).unwrap()
}

pub(super) fn uri(name: &str) -> Uri {
    format!("s3://output/{name}").parse().unwrap()
}

/// An intent under a holder and a nonce that are both called `name`.
pub(super) fn intent(segment: &Segment, name: &str, now: Timestamp) -> Intent {
    Intent {
        segment: segment.clone(),
        holder: holder(name),
        nonce: name.to_owned(),
        custody: Custody::Backend,
        input: uri(&format!("in/{}/it's \"{}\".mp4", segment.job_id, segment.index)),
        output: uri(&format!("jobs/{}/segments/{}.mp4", segment.job_id, segment.index)),
        deadline: now + Duration::from_secs(3600),
        lease: Some(now + Duration::from_secs(120)),
        now,
    }
}

pub(super) async fn reserve(ledger: &dyn Ledger, name: &str, now: Timestamp) {
    let until = now + Duration::from_secs(60);
    assert_eq!(ledger.reserve(&holder(name), 100, until, now).await.unwrap(), Reserve::Granted);
}

/// Reserves and records an intent, both called `name`.
pub(super) async fn start(
    ledger: &dyn Ledger,
    segment: &Segment,
    name: &str,
    now: Timestamp,
) -> SegmentRow {
    reserve(ledger, name, now).await;
    match ledger.record_intent(&intent(segment, name, now)).await.unwrap() {
        IntentOutcome::Recorded(row) => *row,
        other => panic!("{segment} was not started: {other:?}"),
    }
}

/// A fence for an attempt that never was.
pub(super) fn other_attempt(fence: &Fence) -> [Fence; 3] {
    [
        Fence { attempt: fence.attempt + 1, ..fence.clone() },
        Fence { nonce: format!("{}x", fence.nonce), ..fence.clone() },
        Fence { segment: segment("nobody", 0, 1), ..fence.clone() },
    ]
}

/// A job of `total` segments in `status`.
pub(crate) async fn job(ledger: &dyn Ledger, name: &str, total: Option<u32>, status: JobStatus) {
    let made = Job::new(id(name), Mode::Sbs, at(0));
    assert!(ledger.create_job(&Job { status, total_segments: total, ..made }).await.unwrap());
}

/// Starts and completes one segment.
pub(super) async fn finish(ledger: &dyn Ledger, job: &str, index: u32, total: u32) {
    let name = format!("{job}-{index}-{total}");
    let row = start(ledger, &segment(job, index, total), &name, at(0)).await;
    ledger.complete(&row.fence(), true, at(1)).await.unwrap();
}
