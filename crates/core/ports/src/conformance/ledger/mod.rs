//! What a [`Ledger`] promises: every verb, the races between them, and whole random histories.
//!
//! Time is an argument of the verbs, so nothing here waits.

mod attempts;
mod cuts;
mod differential;
mod jobs;
mod permits;
mod races;
mod reassembly;

use std::sync::Arc;
use std::time::Duration;

use parallax_job::{JobId, JobStatus, Mode, Segment, Timestamp, Uri};

use crate::ledger::{Fence, HolderId, Intent, IntentOutcome, Job, Reserve, SegmentRow};
use crate::{Custody, Ledger};

pub use differential::{Differential, differential};

/// Handles to one ledger.
pub type Replicas = Vec<Arc<dyn Ledger>>;

/// Runs every rule, each on a fresh ledger.
///
/// # Panics
/// Where the ledger breaks a promise.
pub async fn all(make: impl AsyncFn() -> Replicas) {
    let one = async || make().await.swap_remove(0);
    permits::the_limit_holds_and_repeating_extends(one().await).await;
    permits::an_expired_reservation_is_no_permit(one().await).await;
    permits::giving_back_frees_only_reservations(one().await).await;
    permits::a_bound_permit_outlives_its_deadline(one().await).await;
    attempts::an_intent_binds_the_reservation(one().await).await;
    attempts::an_intent_is_answered_by_what_is_stored(one().await).await;
    attempts::a_repeated_intent_is_answered_alike(one().await).await;
    attempts::fences_keep_old_attempts_out(one().await).await;
    attempts::accepting_records_where_the_outcome_will_be(one().await).await;
    attempts::evidence_may_overtake_the_reply(one().await).await;
    attempts::renewing_moves_the_deadline_of_row_and_permit(one().await).await;
    attempts::a_verdict_on_a_deadline_that_was_moved_is_void(one().await).await;
    attempts::what_arrives_late_takes_nothing_back(one().await).await;
    attempts::what_never_ran_costs_nothing(one().await).await;
    attempts::a_completion_is_written_once(one().await).await;
    attempts::a_permit_is_passed_on_with_the_completion(one().await).await;
    attempts::another_cut_replaces_the_completion(one().await).await;
    attempts::a_retry_waits_until_it_is_due(one().await).await;
    attempts::a_failed_segment_fails_its_job(one().await).await;
    attempts::a_failed_segment_may_be_reopened(one().await).await;
    attempts::a_wait_may_be_ended(one().await).await;
    attempts::due_segments_come_in_order_and_not_for_ended_jobs(one().await).await;
    attempts::rows_are_found_by_segment_index_and_job(one().await).await;
    cuts::an_event_of_another_cut_is_not_run(one().await).await;
    cuts::a_place_is_taken_until_the_other_cuts_attempt_has_ended(one().await).await;
    cuts::a_result_of_another_cut_is_never_a_completion(one().await).await;
    cuts::a_new_cut_has_a_trigger_of_its_own(one().await).await;
    jobs::a_job_is_created_once(one().await).await;
    jobs::a_job_moves_along_allowed_edges(one().await).await;
    jobs::jobs_are_listed_by_status(one().await).await;
    reassembly::only_a_whole_job_is_triggered(one().await).await;
    reassembly::the_message_is_sent_again_when_it_must(one().await).await;
    reassembly::the_right_to_reassemble_is_a_lease(one().await).await;
    reassembly::who_works_is_not_disturbed(one().await).await;
    races::one_permit_for_each_place(make().await).await;
    races::one_attempt_for_each_segment(make().await).await;
    races::one_completion_one_sender_one_worker(make().await).await;
}

/// `seconds` after an arbitrary beginning.
fn at(seconds: i64) -> Timestamp {
    Timestamp(1_700_000_000_000 + seconds * 1000)
}

fn id(name: &str) -> JobId {
    name.parse().unwrap()
}

fn holder(name: &str) -> HolderId {
    HolderId(name.to_owned())
}

fn segment(job: &str, index: u32, total: u32) -> Segment {
    Segment::new(id(job), index, total, Mode::Sbs).unwrap()
}

fn uri(name: &str) -> Uri {
    format!("s3://output/{name}").parse().unwrap()
}

/// An intent under a holder and a nonce that are both called `name`.
fn intent(segment: &Segment, name: &str, now: Timestamp) -> Intent {
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

async fn reserve(ledger: &dyn Ledger, name: &str, now: Timestamp) {
    let until = now + Duration::from_secs(60);
    assert_eq!(ledger.reserve(&holder(name), 100, until, now).await.unwrap(), Reserve::Granted);
}

/// Reserves and records an intent, both called `name`.
async fn start(ledger: &dyn Ledger, segment: &Segment, name: &str, now: Timestamp) -> SegmentRow {
    reserve(ledger, name, now).await;
    match ledger.record_intent(&intent(segment, name, now)).await.unwrap() {
        IntentOutcome::Recorded(row) => *row,
        other => panic!("{segment} was not started: {other:?}"),
    }
}

/// A fence for an attempt that never was.
fn other_attempt(fence: &Fence) -> [Fence; 3] {
    [
        Fence { attempt: fence.attempt + 1, ..fence.clone() },
        Fence { nonce: format!("{}x", fence.nonce), ..fence.clone() },
        Fence { segment: segment("nobody", 0, 1), ..fence.clone() },
    ]
}

/// A job of `total` segments in `status`.
async fn job(ledger: &dyn Ledger, name: &str, total: Option<u32>, status: JobStatus) {
    let made = Job::new(id(name), Mode::Sbs, at(0));
    assert!(ledger.create_job(&Job { status, total_segments: total, ..made }).await.unwrap());
}

/// Starts and completes one segment.
async fn finish(ledger: &dyn Ledger, job: &str, index: u32, total: u32) {
    let name = format!("{job}-{index}-{total}");
    let row = start(ledger, &segment(job, index, total), &name, at(0)).await;
    ledger.complete(&row.fence(), true, at(1)).await.unwrap();
}
