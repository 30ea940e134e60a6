//! Attempts at segments: intents, fences, evidence, completion, retry and failure.

use std::sync::Arc;

use parallax_job::{JobStatus, Mode, Segment};

use super::fixtures::{
    at, finish, holder, id, intent, job, other_attempt, reserve, segment, start, uri,
};
use parallax_ports::ledger::{
    AttemptError, Begun, Completed, Cost, Ended, Fence, IntentOutcome, Reserve, SegmentState, Work,
};
use parallax_ports::{Custody, Ledger, Locations};

fn error(message: &str) -> AttemptError {
    AttemptError::new("internal", message)
}

pub(super) async fn an_intent_binds_the_reservation(ledger: Arc<dyn Ledger>) {
    let one = segment("job", 3, 7);
    let row = start(&*ledger, &one, "n", at(5)).await;
    assert_eq!((row.state, row.attempt, row.failures), (SegmentState::Intent, 1, 0));
    assert_eq!((&row.nonce[..], row.holder.clone()), ("n", Some(holder("n"))));
    assert_eq!((row.created_at, row.deadline), (at(5), at(3605)));
    assert_eq!(row.begun, [Begun { attempt: 1, at: at(5), error: None }]);
    let asked = intent(&one, "n", at(5));
    assert_eq!(
        (&row.input, &row.output, row.custody),
        (&asked.input, &asked.output, asked.custody)
    );
    assert_eq!(ledger.segment(&one).await.unwrap().unwrap(), row, "what is answered is stored");
    let bound = ledger.holders().await.unwrap().swap_remove(0);
    assert_eq!(bound.work, Some(Work { segment: one.clone(), attempt: 1 }));
    assert_eq!(bound.deadline, at(3605));
    for (total, mode) in [(8, Mode::Sbs), (7, Mode::Anaglyph)] {
        let other = Segment { total, mode, ..one.clone() };
        assert_eq!(ledger.segment(&other).await.unwrap(), None, "another cut is another segment");
    }
}

pub(super) async fn an_intent_is_answered_by_what_is_stored(ledger: Arc<dyn Ledger>) {
    let one = segment("job", 0, 1);
    let row = start(&*ledger, &one, "first", at(0)).await;
    reserve(&*ledger, "second", at(0)).await;
    let second = intent(&one, "second", at(1));
    let open = IntentOutcome::Open(Box::new(row.clone()));
    assert_eq!(ledger.record_intent(&second).await.unwrap(), open);
    assert_eq!(ledger.holders().await.unwrap().len(), 2, "the reservation is still free");
    ledger.retry(&row.fence(), at(30), &error("x"), Cost::Failure).await.unwrap();
    assert_eq!(ledger.record_intent(&second).await.unwrap(), IntentOutcome::NotDue(at(30)));
    let due = intent(&one, "second", at(30));
    let IntentOutcome::Recorded(row) = ledger.record_intent(&due).await.unwrap() else {
        panic!("the retry is due")
    };
    assert_eq!((row.attempt, row.failures, row.created_at), (2, 1, at(0)));
    assert_eq!(row.last_error, Some(error("x")), "the last error stays until the next");
    let first = Begun { attempt: 1, at: at(0), error: Some("internal".to_owned()) };
    assert_eq!(row.begun, [first, Begun { attempt: 2, at: at(30), error: None }]);
    ledger.complete(&row.fence(), true, at(31)).await.unwrap();
    reserve(&*ledger, "third", at(31)).await;
    let third = intent(&one, "third", at(32));
    assert_eq!(ledger.record_intent(&third).await.unwrap(), IntentOutcome::Over, "it is done");
    for status in [JobStatus::Failed, JobStatus::Deleted, JobStatus::Completed] {
        let name = format!("job-{status}");
        job(&*ledger, &name, Some(1), status).await;
        let late = intent(&segment(&name, 0, 1), "third", at(32));
        assert_eq!(ledger.record_intent(&late).await.unwrap(), IntentOutcome::Over, "{status}");
    }
    job(&*ledger, "alive", None, JobStatus::ChunkingInProgress).await;
    let early = intent(&segment("alive", 0, 1), "third", at(32));
    let outcome = ledger.record_intent(&early).await.unwrap();
    assert!(
        matches!(outcome, IntentOutcome::Recorded(_)),
        "segments may start while others are cut"
    );
}

pub(super) async fn a_repeated_intent_is_answered_alike(ledger: Arc<dyn Ledger>) {
    let one = segment("job", 0, 1);
    let row = start(&*ledger, &one, "n", at(0)).await;
    let again = ledger.record_intent(&intent(&one, "n", at(9))).await.unwrap();
    assert_eq!(again, IntentOutcome::Recorded(Box::new(row.clone())), "its reply was lost");
    assert_eq!(ledger.holders().await.unwrap().len(), 1);
    ledger.complete(&row.fence(), true, at(10)).await.unwrap();
    let late = ledger.record_intent(&intent(&one, "n", at(11))).await.unwrap();
    assert_eq!(late, IntentOutcome::Over, "never a second attempt under one nonce");
    assert_eq!(ledger.holders().await.unwrap(), []);
}

pub(super) async fn fences_keep_old_attempts_out(ledger: Arc<dyn Ledger>) {
    let one = segment("job", 0, 1);
    let first = start(&*ledger, &one, "first", at(0)).await.fence();
    ledger.retry(&first, at(0), &error("x"), Cost::Failure).await.unwrap();
    let current = start(&*ledger, &one, "second", at(1)).await;
    let strangers = other_attempt(&current.fence());
    for fence in strangers.iter().chain([&first]) {
        let places = Locations { response: Some(uri("r")), failure: None };
        assert_eq!(ledger.record_invoked(fence, &places, at(9999)).await.unwrap(), Ended::Fenced);
        assert_eq!(ledger.renew(fence, at(9999)).await.unwrap(), Ended::Fenced);
        assert_eq!(ledger.complete(fence, true, at(2)).await.unwrap(), Completed::Fenced);
        assert_eq!(ledger.release(fence).await.unwrap(), Ended::Fenced);
        assert_eq!(
            ledger.retry(fence, at(2), &error("y"), Cost::Failure).await.unwrap(),
            Ended::Fenced
        );
        assert_eq!(ledger.fail(fence, &error("z"), at(2)).await.unwrap(), Ended::Fenced);
    }
    assert_eq!(ledger.segment(&one).await.unwrap(), Some(current), "nothing was changed");
    assert_eq!(ledger.holders().await.unwrap().len(), 1);
    assert_eq!(ledger.completions(&id("job"), 1).await.unwrap(), []);
    assert_eq!(ledger.by_location(&uri("r")).await.unwrap(), None);
}

pub(super) async fn accepting_records_where_the_outcome_will_be(ledger: Arc<dyn Ledger>) {
    let (a, b) = (segment("job", 0, 2), segment("job", 1, 2));
    let row = start(&*ledger, &a, "a", at(0)).await;
    assert_eq!(row.lease, Some(at(120)), "until then its owner may ask the backend");
    let places = Locations { response: Some(uri("r/a.out")), failure: Some(uri("f/a b+c.out")) };
    assert_eq!(ledger.record_invoked(&row.fence(), &places, at(5000)).await.unwrap(), Ended::Yes);
    let stored = ledger.segment(&a).await.unwrap().unwrap();
    assert_eq!((stored.state, &stored.locations), (SegmentState::Invoked, &places));
    assert_eq!((stored.custody, stored.deadline), (Custody::Backend, at(5000)));
    assert_eq!(stored.lease, None, "it was asked");
    let bound = ledger.holders().await.unwrap().swap_remove(0);
    assert_eq!((bound.deadline, bound.work.is_some()), (row.deadline, true), "the row knows");
    assert_eq!(ledger.by_location(&uri("r/a.out")).await.unwrap(), Some(a.clone()));
    assert_eq!(ledger.by_location(&uri("f/a b+c.out")).await.unwrap(), Some(a.clone()));
    assert_eq!(ledger.by_location(&uri("r/none.out")).await.unwrap(), None);
    let again = ledger.record_invoked(&row.fence(), &places, at(5000)).await.unwrap();
    assert_eq!(again, Ended::Yes, "its reply was lost");
    let only = Locations { response: None, failure: Some(uri("f/b.out")) };
    let row = start(&*ledger, &b, "b", at(0)).await;
    ledger.record_invoked(&row.fence(), &only, at(5000)).await.unwrap();
    assert_eq!(ledger.by_location(&uri("f/b.out")).await.unwrap(), Some(b.clone()));
    // An outcome that comes after its attempt was given up is still recognised.
    ledger.retry(&row.fence(), at(0), &error("expired"), Cost::Failure).await.unwrap();
    start(&*ledger, &b, "b2", at(1)).await;
    assert_eq!(ledger.by_location(&uri("f/b.out")).await.unwrap(), Some(b));
    // One that is complete and holds no permit has had its outcome.
    ledger.complete(&stored.fence(), true, at(2)).await.unwrap();
    assert_eq!(ledger.by_location(&uri("r/a.out")).await.unwrap(), None);
}

pub(super) async fn evidence_may_overtake_the_reply(ledger: Arc<dyn Ledger>) {
    let one = segment("job", 0, 1);
    let row = start(&*ledger, &one, "n", at(0)).await;
    let recorded = ledger.complete(&row.fence(), false, at(1)).await.unwrap();
    assert_eq!(recorded, Completed::Recorded);
    assert_eq!(ledger.holders().await.unwrap().len(), 1, "the backend may still be busy");
    let places = Locations { response: Some(uri("r.out")), failure: None };
    assert_eq!(ledger.record_invoked(&row.fence(), &places, at(5000)).await.unwrap(), Ended::Yes);
    let stored = ledger.segment(&one).await.unwrap().unwrap();
    assert_eq!(stored.state, SegmentState::Done, "done stays done");
    assert_eq!(ledger.by_location(&uri("r.out")).await.unwrap(), Some(one.clone()));
    assert_eq!(ledger.renew(&row.fence(), at(9)).await.unwrap(), Ended::Fenced);
    assert_eq!(ledger.release(&row.fence()).await.unwrap(), Ended::Yes);
    assert_eq!(ledger.release(&row.fence()).await.unwrap(), Ended::Yes);
    assert_eq!(ledger.holders().await.unwrap(), []);
    assert_eq!(ledger.completions(&id("job"), 1).await.unwrap().len(), 1);
}

pub(super) async fn renewing_moves_the_deadline_of_the_row_and_leaves_its_permit_bound(
    ledger: Arc<dyn Ledger>,
) {
    let one = segment("job", 0, 1);
    reserve(&*ledger, "n", at(0)).await;
    let asked =
        parallax_ports::ledger::Intent { custody: Custody::Caller, ..intent(&one, "n", at(0)) };
    let IntentOutcome::Recorded(row) = ledger.record_intent(&asked).await.unwrap() else {
        panic!("recorded")
    };
    assert_eq!(row.custody, Custody::Caller);
    assert_eq!(ledger.renew(&row.fence(), at(7777)).await.unwrap(), Ended::Yes);
    assert_eq!(ledger.segment(&one).await.unwrap().unwrap().deadline, at(7777));
    let bound = ledger.holders().await.unwrap().swap_remove(0);
    assert_eq!(bound.deadline, row.deadline, "the permit keeps that of the intent");
    assert!(bound.work.is_some(), "renewing does not unbind");
    ledger.retry(&row.fence(), at(1), &error("x"), Cost::Attempt).await.unwrap();
    assert_eq!(ledger.renew(&row.fence(), at(8888)).await.unwrap(), Ended::Fenced);
    assert_eq!(ledger.holders().await.unwrap(), [], "renewing does not bring a permit back");
}

pub(super) async fn a_completion_is_written_once(ledger: Arc<dyn Ledger>) {
    let one = segment("job", 1, 3);
    let row = start(&*ledger, &one, "n", at(0)).await;
    let complete = async |now| ledger.complete(&row.fence(), true, at(now)).await.unwrap();
    assert_eq!(complete(10).await, Completed::Recorded);
    assert_eq!(complete(20).await, Completed::Already);
    let found = ledger.completions(&id("job"), 3).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].segment_index, found[0].completed_at), (1, at(10)), "the first one stays");
    assert_eq!((&found[0].output_s3_uri, found[0].total_segments), (&row.output, 3));
    assert_eq!(ledger.holders().await.unwrap(), []);
    let done = ledger.segment(&one).await.unwrap().unwrap();
    assert_eq!((done.state, done.holder), (SegmentState::Done, None));
    for ended in [
        ledger.retry(&row.fence(), at(30), &error("x"), Cost::Failure).await.unwrap(),
        ledger.fail(&row.fence(), &error("x"), at(30)).await.unwrap(),
    ] {
        assert_eq!(ended, Ended::Fenced, "done stays done");
    }
    // The same index and total in the other mode finds the completion there.
    let other = Segment { mode: Mode::Anaglyph, ..one };
    let row = start(&*ledger, &other, "m", at(40)).await;
    let already = ledger.complete(&row.fence(), true, at(41)).await.unwrap();
    assert_eq!(already, Completed::Already);
    assert_eq!(ledger.completions(&id("job"), 3).await.unwrap(), found);
}

pub(super) async fn a_permit_is_passed_on_with_the_completion(ledger: Arc<dyn Ledger>) {
    let one = segment("job", 0, 2);
    let row = start(&*ledger, &one, "n", at(0)).await;
    let next = super::fixtures::holder("next");
    let pass = async |fence: &Fence| {
        ledger.complete_and_reserve(fence, &next, at(60), at(1)).await.unwrap()
    };
    let stranger = Fence { nonce: "x".to_owned(), ..row.fence() };
    assert_eq!(pass(&stranger).await, (Completed::Fenced, Reserve::Full), "nothing to pass on");
    assert_eq!(pass(&row.fence()).await, (Completed::Recorded, Reserve::Granted));
    let held = ledger.holders().await.unwrap();
    assert_eq!(held.len(), 1, "as many as before");
    assert_eq!((&held[0].id, held[0].deadline, &held[0].work), (&next, at(60), &None));
    assert_eq!(pass(&row.fence()).await, (Completed::Already, Reserve::Granted), "a lost reply");
    assert_eq!(ledger.completions(&id("job"), 2).await.unwrap().len(), 1);
    let asked = parallax_ports::ledger::Intent {
        holder: next.clone(),
        ..intent(&segment("job", 1, 2), "m", at(2))
    };
    let IntentOutcome::Recorded(second) = ledger.record_intent(&asked).await.unwrap() else {
        panic!("what was passed on is a reservation")
    };
    assert_eq!(pass(&row.fence()).await, (Completed::Already, Reserve::Full), "it is used by now");
    assert_eq!(pass(&second.fence()).await, (Completed::Recorded, Reserve::Full), "a used name");
    assert_eq!(ledger.holders().await.unwrap(), [], "but the permit is given back");
}

pub(super) async fn another_cut_replaces_the_completion(ledger: Arc<dyn Ledger>) {
    finish(&*ledger, "job", 0, 3).await;
    finish(&*ledger, "job", 1, 3).await;
    finish(&*ledger, "job", 0, 2).await;
    let indices = async |total| -> Vec<u32> {
        let found = ledger.completions(&id("job"), total).await.unwrap();
        found.iter().map(|c| c.segment_index).collect()
    };
    assert_eq!(indices(2).await, [0]);
    assert_eq!(indices(3).await, [1], "of the earlier cut only what was not replaced");
    finish(&*ledger, "job", 1, 2).await;
    assert_eq!(indices(2).await, [0, 1], "by index");
    assert_eq!(indices(3).await, [0; 0]);
    assert_eq!(ledger.completions(&id("other"), 2).await.unwrap(), []);
}

pub(super) async fn a_retry_waits_until_it_is_due(ledger: Arc<dyn Ledger>) {
    let one = segment("job", 0, 1);
    let row = start(&*ledger, &one, "a", at(0)).await;
    let places = Locations { response: Some(uri("r.out")), failure: None };
    ledger.record_invoked(&row.fence(), &places, at(5000)).await.unwrap();
    let retry = async |cost| {
        ledger.retry(&row.fence(), at(60), &error("it's \"bad\" 漢"), cost).await.unwrap()
    };
    assert_eq!(retry(Cost::Failure).await, Ended::Yes);
    assert_eq!(retry(Cost::Failure).await, Ended::Yes, "its reply was lost");
    let waiting = ledger.segment(&one).await.unwrap().unwrap();
    assert_eq!((waiting.state, waiting.failures), (SegmentState::RetryWait, 1), "counted once");
    assert_eq!((waiting.next_at, waiting.holder.clone()), (at(60), None));
    assert_eq!(waiting.last_error, Some(error("it's \"bad\" 漢")));
    assert_eq!(ledger.holders().await.unwrap(), []);
    assert_eq!(ledger.due(at(59), 10).await.unwrap(), []);
    assert_eq!(ledger.due(at(60), 10).await.unwrap(), [waiting]);
    let row = start(&*ledger, &one, "b", at(60)).await;
    assert_eq!((row.attempt, &row.locations), (2, &Locations::default()), "places are per attempt");
    assert_eq!(ledger.due(at(99), 10).await.unwrap(), [], "an open segment is not due");
    ledger.retry(&row.fence(), at(70), &error("y"), Cost::Attempt).await.unwrap();
    let waiting = ledger.segment(&one).await.unwrap().unwrap();
    assert_eq!(waiting.failures, 1, "not every end counts");
    // Evidence that comes late still completes: the result is there.
    let late = ledger.complete(&row.fence(), true, at(71)).await.unwrap();
    assert_eq!(late, Completed::Recorded);
    assert_eq!(ledger.due(at(99), 10).await.unwrap(), []);
}

pub(super) async fn a_failed_segment_fails_its_job(ledger: Arc<dyn Ledger>) {
    job(&*ledger, "job", Some(2), JobStatus::ChunkingComplete).await;
    let one = segment("job", 1, 2);
    let row = start(&*ledger, &one, "a", at(0)).await;
    let fail = async || ledger.fail(&row.fence(), &error("no picture"), at(9)).await.unwrap();
    assert_eq!(fail().await, Ended::Yes);
    assert_eq!(fail().await, Ended::Yes);
    let failed = ledger.segment(&one).await.unwrap().unwrap();
    assert_eq!((failed.state, failed.failures), (SegmentState::Failed, 1));
    assert_eq!((failed.holder, failed.last_error), (None, Some(error("no picture"))));
    assert_eq!(ledger.holders().await.unwrap(), []);
    let failed = ledger.job(&id("job")).await.unwrap().unwrap();
    assert_eq!(failed.status, JobStatus::Failed);
    let reason = failed.reason.unwrap();
    assert!(reason.contains("segment 1") && reason.contains("no picture"), "{reason}");
    let late = ledger.complete(&row.fence(), true, at(10)).await.unwrap();
    assert_eq!(late, Completed::Fenced, "failed stays failed");
    assert_eq!(ledger.completions(&id("job"), 2).await.unwrap(), []);
    // A job that has ended otherwise, or is not known, keeps its status.
    job(&*ledger, "gone", Some(1), JobStatus::Created).await;
    let row = start(&*ledger, &segment("gone", 0, 1), "b", at(0)).await;
    ledger.advance(&id("gone"), JobStatus::Deleted, None, None, at(1)).await.unwrap();
    assert_eq!(ledger.fail(&row.fence(), &error("x"), at(2)).await.unwrap(), Ended::Yes);
    assert_eq!(ledger.job(&id("gone")).await.unwrap().unwrap().status, JobStatus::Deleted);
    let row = start(&*ledger, &segment("unknown", 0, 1), "c", at(0)).await;
    assert_eq!(ledger.fail(&row.fence(), &error("x"), at(2)).await.unwrap(), Ended::Yes);
    assert_eq!(ledger.job(&id("unknown")).await.unwrap(), None);
}

pub(super) async fn a_failed_segment_may_be_reopened(ledger: Arc<dyn Ledger>) {
    job(&*ledger, "job", Some(3), JobStatus::ChunkingComplete).await;
    finish(&*ledger, "job", 0, 3).await;
    let mut failed = Vec::new();
    for index in [1, 2] {
        let one = segment("job", index, 3);
        let row = start(&*ledger, &one, &format!("n{index}"), at(1)).await;
        failed.push((one, row.fence()));
    }
    for (_, fence) in &failed {
        assert_eq!(ledger.fail(fence, &error("bad"), at(2)).await.unwrap(), Ended::Yes);
    }
    for other in [segment("job", 0, 3), segment("job", 1, 4), segment("nobody", 0, 1)] {
        assert_eq!(ledger.reopen(&other, at(3)).await.unwrap(), Ended::Fenced, "{other}");
    }
    assert_eq!(ledger.job(&id("job")).await.unwrap().unwrap().status, JobStatus::Failed);
    assert_eq!(ledger.reopen(&failed[0].0, at(3)).await.unwrap(), Ended::Yes);
    let revived = ledger.job(&id("job")).await.unwrap().unwrap();
    assert_eq!((revived.status, revived.reason), (JobStatus::ChunkingComplete, None));
    assert_eq!(ledger.reopen(&failed[1].0, at(3)).await.unwrap(), Ended::Yes);
    assert_eq!(ledger.reopen(&failed[1].0, at(3)).await.unwrap(), Ended::Yes, "a lost reply");
    assert_eq!(ledger.reopen(&failed[1].0, at(4)).await.unwrap(), Ended::Fenced, "once");
    let due: Vec<u32> =
        ledger.due(at(3), 9).await.unwrap().iter().map(|row| row.segment.index).collect();
    assert_eq!(due.len(), 2, "{due:?}: what was complete stays so");
    let again = start(&*ledger, &failed[0].0, "again", at(4)).await;
    assert_eq!((again.attempt, again.failures), (2, 0), "attempts are numbered on");
    assert_eq!(again.tried(), 1, "what came before counts no more");
    ledger.advance(&id("job"), JobStatus::Deleted, None, None, at(5)).await.unwrap();
    ledger.fail(&again.fence(), &error("bad"), at(6)).await.unwrap();
    assert_eq!(ledger.reopen(&failed[0].0, at(7)).await.unwrap(), Ended::Fenced, "it is gone");
    job(&*ledger, "unwanted", Some(1), JobStatus::ChunkingComplete).await;
    let unwanted = segment("unwanted", 0, 1);
    let row = start(&*ledger, &unwanted, "n", at(1)).await;
    let (to, why) = (JobStatus::Failed, Some("cancelled by an operator: wrong film"));
    ledger.advance(&id("unwanted"), to, None, why, at(2)).await.unwrap();
    ledger.fail(&row.fence(), &error("bad"), at(3)).await.unwrap();
    assert_eq!(ledger.reopen(&unwanted, at(4)).await.unwrap(), Ended::Fenced, "it is cancelled");
}

pub(super) async fn a_wait_may_be_ended(ledger: Arc<dyn Ledger>) {
    job(&*ledger, "job", Some(2), JobStatus::ChunkingComplete).await;
    let one = segment("job", 0, 2);
    assert_eq!(ledger.hasten(&one, at(1)).await.unwrap(), Ended::Fenced, "there is no row");
    let row = start(&*ledger, &one, "n", at(1)).await;
    assert_eq!(ledger.hasten(&one, at(1)).await.unwrap(), Ended::Fenced, "it is at work");
    ledger.retry(&row.fence(), at(900), &error("busy"), Cost::Nothing).await.unwrap();
    assert_eq!(ledger.due(at(10), 9).await.unwrap(), []);
    for _ in 0..2 {
        assert_eq!(ledger.hasten(&one, at(10)).await.unwrap(), Ended::Yes);
        let due = ledger.due(at(10), 9).await.unwrap();
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].next_at, due[0].refusals), (at(10), 1), "nothing else changes");
    }
    assert_eq!(ledger.hasten(&one, at(20)).await.unwrap(), Ended::Yes);
    let row = ledger.segment(&one).await.unwrap().unwrap();
    assert_eq!(row.next_at, at(10), "what is due is not put off");
}

pub(super) async fn due_segments_come_in_order_and_not_for_ended_jobs(ledger: Arc<dyn Ledger>) {
    job(&*ledger, "ended", Some(9), JobStatus::ChunkingComplete).await;
    for (name, index, when) in
        [("job", 0, 30), ("job", 1, 10), ("ended", 0, 5), ("other", 0, 20), ("job", 2, 40)]
    {
        let row = start(&*ledger, &segment(name, index, 9), &format!("{name}{index}"), at(0)).await;
        ledger.retry(&row.fence(), at(when), &error("x"), Cost::Failure).await.unwrap();
    }
    let due = async |now, limit| -> Vec<String> {
        let rows = ledger.due(at(now), limit).await.unwrap();
        rows.iter().map(|r| format!("{}{}", r.segment.job_id, r.segment.index)).collect()
    };
    assert_eq!(due(35, 9).await, ["ended0", "job1", "other0", "job0"], "the longest due first");
    assert_eq!(due(35, 2).await, ["ended0", "job1"], "at most as many as asked for");
    assert_eq!(due(35, 0).await, [""; 0]);
    ledger.advance(&id("ended"), JobStatus::Failed, None, Some("x"), at(1)).await.unwrap();
    assert_eq!(due(99, 9).await, ["job1", "other0", "job0", "job2"], "not for an ended job");
    assert_eq!(due(99, 1).await, ["job1"], "an ended job's rows use up no places");
}

pub(super) async fn rows_are_found_by_segment_index_and_job(ledger: Arc<dyn Ledger>) {
    for (name, index, total) in [("job", 0, 2), ("job", 1, 2), ("job", 0, 3), ("job_", 0, 2)] {
        let called = format!("{name}{index}{total}");
        let row = start(&*ledger, &segment(name, index, total), &called, at(0)).await;
        ledger.complete(&row.fence(), true, at(1)).await.unwrap();
    }
    let shape = |mut rows: Vec<parallax_ports::ledger::SegmentRow>| -> Vec<(u32, u32)> {
        rows.sort_by(|a, b| a.segment.cmp(&b.segment));
        rows.iter().map(|r| (r.segment.index, r.segment.total)).collect()
    };
    let job = id("job");
    assert_eq!(shape(ledger.segments(&job).await.unwrap()), [(0, 2), (1, 2), (0, 3)]);
    let at_index = shape(ledger.segments_at(&job, 0).await.unwrap());
    assert_eq!(at_index, [(0, 2), (0, 3)], "one for each cut");
    assert_eq!(shape(ledger.segments_at(&job, 1).await.unwrap()), [(1, 2)]);
    assert_eq!(shape(ledger.segments_at(&job, 2).await.unwrap()), []);
    assert_eq!(shape(ledger.segments(&id("JOB")).await.unwrap()), [], "ids keep their case");
    let granted = ledger.reserve(&holder("more"), 9, at(60), at(0)).await.unwrap();
    assert_eq!(granted, Reserve::Granted);
}

pub(super) async fn a_verdict_on_a_deadline_that_was_moved_is_void(ledger: Arc<dyn Ledger>) {
    let row = start(&*ledger, &segment("job", 0, 1), "n", at(0)).await;
    let seen = row.deadline_fence();
    assert_eq!(ledger.renew(&row.fence(), at(9000)).await.unwrap(), Ended::Yes);
    let why = error("expired");
    assert_eq!(ledger.retry(&seen, at(1), &why, Cost::Attempt).await.unwrap(), Ended::Fenced);
    assert_eq!(ledger.fail(&seen, &why, at(1)).await.unwrap(), Ended::Fenced);
    assert_eq!(ledger.complete(&seen, true, at(1)).await.unwrap(), Completed::Fenced);
    let now = ledger.segment(&row.segment).await.unwrap().unwrap();
    assert_eq!((now.state, now.deadline), (SegmentState::Intent, at(9000)), "its owner lives");
    assert_eq!(ledger.holders().await.unwrap().len(), 1);
    let seen = now.deadline_fence();
    for _ in 0..2 {
        let ended = ledger.retry(&seen, at(1), &why, Cost::Attempt).await.unwrap();
        assert_eq!(ended, Ended::Yes, "also when its reply was lost");
    }
}

pub(super) async fn what_never_ran_costs_nothing(ledger: Arc<dyn Ledger>) {
    let one = segment("job", 0, 1);
    for (n, cost) in [Cost::Nothing, Cost::Attempt, Cost::Failure].into_iter().enumerate() {
        let row = start(&*ledger, &one, &format!("n{n}"), at(n as i64)).await;
        for _ in 0..2 {
            // Repeated, because its reply may be lost.
            ledger.retry(&row.fence(), at(n as i64), &error("x"), cost).await.unwrap();
        }
    }
    let row = ledger.segment(&one).await.unwrap().unwrap();
    assert_eq!((row.attempt, row.refusals, row.failures), (3, 1, 1));
    assert_eq!(row.tried(), 2);
}

/// A request may reach the ledger after others that its sender made later.
pub(super) async fn what_arrives_late_takes_nothing_back(ledger: Arc<dyn Ledger>) {
    let row = start(&*ledger, &segment("job", 0, 1), "n", at(0)).await;
    ledger.renew(&row.fence(), at(9000)).await.unwrap();
    assert_eq!(ledger.renew(&row.fence(), at(8000)).await.unwrap(), Ended::Yes);
    let held = ledger.holders().await.unwrap().swap_remove(0);
    let now = ledger.segment(&row.segment).await.unwrap().unwrap();
    assert_eq!((now.deadline, held.deadline), (at(9000), row.deadline));
    ledger.record_invoked(&row.fence(), &Locations::default(), at(7000)).await.unwrap();
    let now = ledger.segment(&row.segment).await.unwrap().unwrap();
    assert_eq!((now.state, now.deadline), (SegmentState::Invoked, at(9000)));
    for until in [at(60), at(50)] {
        let reserved = ledger.reserve(&holder("waits"), 100, until, at(1)).await.unwrap();
        assert_eq!(reserved, Reserve::Granted);
    }
    let held = ledger.holders().await.unwrap();
    let waits = held.iter().find(|h| h.id == holder("waits")).unwrap();
    assert_eq!(waits.deadline, at(60));
}
