//! A source that was cut anew into another number of segments.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::JobStatus;

use super::fixtures::{at, finish, id, intent, job, reserve, segment, start};
use parallax_ports::Ledger;
use parallax_ports::ledger::{
    Advance, AttemptError, Completed, Cost, Ended, IntentOutcome, Lock, Resend, SegmentState,
    TriggerOutcome,
};

const RESEND: Resend =
    Resend { unconfirmed: Duration::from_secs(60), unfinished: Duration::from_secs(7200) };

/// The job named `job` is cut into `total`.
async fn cut(ledger: &dyn Ledger, total: u32, now: i64) {
    let to = JobStatus::ChunkingComplete;
    let moved = ledger.advance(&id("job"), to, Some(total), None, at(now)).await.unwrap();
    assert_eq!(moved, Advance::Moved);
}

pub(super) async fn an_event_of_another_cut_is_not_run(ledger: Arc<dyn Ledger>) {
    job(&*ledger, "job", Some(3), JobStatus::ChunkingInProgress).await;
    let row = start(&*ledger, &segment("job", 0, 3), "a", at(0)).await;
    ledger.retry(&row.fence(), at(1), &AttemptError::new("x", "x"), Cost::Failure).await.unwrap();
    reserve(&*ledger, "b", at(0)).await;
    let early = ledger.record_intent(&intent(&segment("job", 0, 4), "b", at(1))).await.unwrap();
    assert_eq!(early, IntentOutcome::OtherCut { total: 3, settled: false }, "it may change");
    cut(&*ledger, 4, 2).await;
    let late = IntentOutcome::OtherCut { total: 4, settled: true };
    for index in [0, 2] {
        let stale = intent(&segment("job", index, 3), "b", at(3));
        assert_eq!(ledger.record_intent(&stale).await.unwrap(), late);
    }
    let retired = ledger.segment(&row.segment).await.unwrap().unwrap();
    assert_eq!(retired.state, SegmentState::Failed, "nobody tries again");
    assert_eq!(retired.last_error.unwrap().class, "other_cut");
    assert_eq!(ledger.due(at(99), 9).await.unwrap(), []);
    assert_eq!(ledger.segment(&segment("job", 2, 3)).await.unwrap(), None);
    assert_eq!(ledger.job(&id("job")).await.unwrap().unwrap().status, JobStatus::ChunkingComplete);
    let held = ledger.holders().await.unwrap();
    assert!(held.len() == 1 && held[0].work.is_none(), "the reservation is still free");
    let fresh = ledger.record_intent(&intent(&segment("job", 0, 4), "b", at(4))).await.unwrap();
    assert!(matches!(fresh, IntentOutcome::Recorded(_)), "{fresh:?}");
}

pub(super) async fn a_place_is_taken_until_the_other_cuts_attempt_has_ended(
    ledger: Arc<dyn Ledger>,
) {
    job(&*ledger, "job", Some(3), JobStatus::ChunkingComplete).await;
    let old = start(&*ledger, &segment("job", 1, 3), "old", at(0)).await;
    cut(&*ledger, 2, 1).await;
    reserve(&*ledger, "new", at(1)).await;
    let new = intent(&segment("job", 1, 2), "new", at(2));
    assert_eq!(ledger.record_intent(&new).await.unwrap(), IntentOutcome::Occupied);
    start(&*ledger, &segment("job", 0, 2), "beside", at(2)).await;
    let failed = ledger.fail(&old.fence(), &AttemptError::new("x", "x"), at(3)).await.unwrap();
    assert_eq!(failed, Ended::Yes);
    let status = ledger.job(&id("job")).await.unwrap().unwrap().status;
    assert_eq!(status, JobStatus::ChunkingComplete, "an earlier cut fails no job");
    let recorded = ledger.record_intent(&new).await.unwrap();
    assert!(matches!(recorded, IntentOutcome::Recorded(_)), "{recorded:?}");
}

pub(super) async fn a_result_of_another_cut_is_never_a_completion(ledger: Arc<dyn Ledger>) {
    job(&*ledger, "job", Some(3), JobStatus::ChunkingComplete).await;
    let kept = start(&*ledger, &segment("job", 0, 3), "kept", at(0)).await;
    let passed = start(&*ledger, &segment("job", 1, 3), "passed", at(0)).await;
    cut(&*ledger, 2, 1).await;
    assert_eq!(ledger.complete(&kept.fence(), false, at(2)).await.unwrap(), Completed::OtherCut);
    assert_eq!(
        ledger.segment(&kept.segment).await.unwrap(),
        Some(kept.clone()),
        "it may still run"
    );
    for row in [&kept, &passed] {
        let done = ledger.complete(&row.fence(), true, at(3)).await.unwrap();
        assert_eq!(done, Completed::OtherCut);
        let ended = ledger.segment(&row.segment).await.unwrap().unwrap();
        assert_eq!((ended.state, ended.holder), (SegmentState::Failed, None));
    }
    assert_eq!(ledger.holders().await.unwrap(), []);
    for total in [2, 3] {
        assert_eq!(ledger.completions(&id("job"), total).await.unwrap(), []);
    }
    finish(&*ledger, "job", 0, 2).await;
    assert_eq!(ledger.completions(&id("job"), 2).await.unwrap().len(), 1);
}

pub(super) async fn a_new_cut_has_a_trigger_of_its_own(ledger: Arc<dyn Ledger>) {
    let trigger =
        async |nonce: &str, now| ledger.trigger(&id("job"), nonce, RESEND, at(now)).await.unwrap();
    let lock = async |nonce: &str, now| {
        ledger.lock_reassembly(&id("job"), nonce, at(now + 100), at(now)).await.unwrap()
    };
    job(&*ledger, "job", Some(1), JobStatus::ChunkingComplete).await;
    finish(&*ledger, "job", 0, 1).await;
    assert_eq!(trigger("a", 10).await, TriggerOutcome::Send);
    ledger.triggered(&id("job"), at(11)).await.unwrap();
    assert_eq!(lock("old", 12).await, Lock::Acquired(1));
    cut(&*ledger, 2, 20).await;
    assert_eq!(lock("old", 21).await, Lock::NotTriggered, "whoever joins the old cut finds out");
    let old =
        ledger.advance(&id("job"), JobStatus::Completed, Some(1), None, at(22)).await.unwrap();
    assert_eq!(old, Advance::Refused(JobStatus::ChunkingComplete));
    finish(&*ledger, "job", 0, 2).await;
    assert_eq!(trigger("b", 23).await, TriggerOutcome::NotReady);
    finish(&*ledger, "job", 1, 2).await;
    assert_eq!(
        trigger("b", 24).await,
        TriggerOutcome::Send,
        "at once, whenever the other was sent"
    );
    ledger.triggered(&id("job"), at(25)).await.unwrap();
    assert_eq!(trigger("c", 26).await, TriggerOutcome::Sent);
    assert_eq!(lock("new", 27).await, Lock::Held(at(112)), "the other joins one moment more");
    ledger.unlock_reassembly(&id("job"), "old").await.unwrap();
    assert_eq!(lock("new", 28).await, Lock::Acquired(2));
    let done =
        ledger.advance(&id("job"), JobStatus::Completed, Some(2), None, at(29)).await.unwrap();
    assert_eq!(done, Advance::Moved);
}
