//! What a [`parallax_ports::Ledger`] promises: every verb, the races between them, and whole random histories.
//!
//! Time is an argument of the verbs, so nothing here waits.

mod attempts;
mod cuts;
mod differential;
pub(crate) mod fixtures;
mod jobs;
mod permits;
mod races;
mod reassembly;

pub use differential::{Differential, differential};
pub use fixtures::Replicas;

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
    attempts::renewing_moves_the_deadline_of_the_row_and_leaves_its_permit_bound(one().await).await;
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
