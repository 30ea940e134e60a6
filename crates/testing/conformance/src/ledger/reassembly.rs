//! Who sends the reassembly message, when it is sent again, and who may reassemble.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::JobStatus;

use super::fixtures::{at, finish, id, job};
use parallax_ports::Ledger;
use parallax_ports::ledger::{Lock, Resend, TriggerOutcome};

const RESEND: Resend =
    Resend { unconfirmed: Duration::from_secs(60), unfinished: Duration::from_secs(7200) };

async fn trigger(ledger: &dyn Ledger, nonce: &str, now: i64) -> TriggerOutcome {
    ledger.trigger(&id("job"), nonce, RESEND, at(now)).await.unwrap()
}

async fn lock(ledger: &dyn Ledger, nonce: &str, until: i64, now: i64) -> Lock {
    ledger.lock_reassembly(&id("job"), nonce, at(until), at(now)).await.unwrap()
}

async fn whole_job(ledger: &dyn Ledger) {
    job(ledger, "job", Some(2), JobStatus::ChunkingComplete).await;
    finish(ledger, "job", 0, 2).await;
    finish(ledger, "job", 1, 2).await;
}

pub(super) async fn only_a_whole_job_is_triggered(ledger: Arc<dyn Ledger>) {
    let not_ready = async |why: &str| {
        assert_eq!(trigger(&*ledger, "n", 10).await, TriggerOutcome::NotReady, "{why}");
    };
    not_ready("no such job").await;
    job(&*ledger, "job", None, JobStatus::ChunkingInProgress).await;
    finish(&*ledger, "job", 0, 2).await;
    finish(&*ledger, "job", 1, 2).await;
    not_ready("it is still being cut").await;
    ledger.advance(&id("job"), JobStatus::ChunkingComplete, Some(3), None, at(1)).await.unwrap();
    not_ready("the completions belong to another cut").await;
    finish(&*ledger, "job", 0, 3).await;
    finish(&*ledger, "job", 2, 3).await;
    not_ready("one segment is missing").await;
    assert_eq!(lock(&*ledger, "w", 99, 10).await, Lock::NotTriggered);
    finish(&*ledger, "job", 1, 3).await;
    assert_eq!(trigger(&*ledger, "n", 10).await, TriggerOutcome::Send);
    ledger.advance(&id("job"), JobStatus::Failed, None, Some("x"), at(11)).await.unwrap();
    not_ready("it has failed").await;
}

pub(super) async fn the_message_is_sent_again_when_it_must(ledger: Arc<dyn Ledger>) {
    whole_job(&*ledger).await;
    ledger.triggered(&id("job"), at(0)).await.unwrap();
    let status = async || ledger.job(&id("job")).await.unwrap().unwrap().status;
    assert_eq!(status().await, JobStatus::ChunkingComplete, "nobody had triggered it");
    assert_eq!(trigger(&*ledger, "a", 10).await, TriggerOutcome::Send);
    assert_eq!(trigger(&*ledger, "a", 11).await, TriggerOutcome::Send, "its reply was lost");
    assert_eq!(trigger(&*ledger, "b", 69).await, TriggerOutcome::Pending);
    assert_eq!(trigger(&*ledger, "b", 70).await, TriggerOutcome::Send, "a never confirmed");
    assert_eq!(trigger(&*ledger, "a", 71).await, TriggerOutcome::Pending, "the claim is b's now");
    ledger.triggered(&id("job"), at(72)).await.unwrap();
    ledger.triggered(&id("job"), at(500)).await.unwrap();
    assert_eq!(status().await, JobStatus::Reassembling);
    assert_eq!(trigger(&*ledger, "b", 7271).await, TriggerOutcome::Sent, "counted from the first");
    assert_eq!(trigger(&*ledger, "c", 7272).await, TriggerOutcome::Send, "it was never finished");
    assert_eq!(trigger(&*ledger, "d", 7273).await, TriggerOutcome::Pending);
    ledger.triggered(&id("job"), at(7274)).await.unwrap();
    ledger.advance(&id("job"), JobStatus::Completed, None, None, at(7275)).await.unwrap();
    assert_eq!(trigger(&*ledger, "e", 99_999).await, TriggerOutcome::Sent, "it is complete");
    ledger.triggered(&id("job"), at(99_999)).await.unwrap();
    assert_eq!(status().await, JobStatus::Completed, "a late confirmation changes no status");
}

pub(super) async fn the_right_to_reassemble_is_a_lease(ledger: Arc<dyn Ledger>) {
    assert_eq!(lock(&*ledger, "w", 100, 0).await, Lock::NotTriggered, "no such job");
    whole_job(&*ledger).await;
    assert_eq!(lock(&*ledger, "w", 100, 0).await, Lock::NotTriggered);
    trigger(&*ledger, "n", 0).await;
    assert_eq!(lock(&*ledger, "w", 100, 1).await, Lock::Acquired(2), "the message was quicker");
    ledger.triggered(&id("job"), at(2)).await.unwrap();
    assert_eq!(lock(&*ledger, "v", 200, 99).await, Lock::Held(at(100)));
    assert_eq!(lock(&*ledger, "w", 150, 99).await, Lock::Acquired(2), "the holder extends");
    assert_eq!(lock(&*ledger, "v", 250, 149).await, Lock::Held(at(150)));
    assert_eq!(lock(&*ledger, "v", 250, 150).await, Lock::Acquired(2), "the lease has run out");
    assert_eq!(lock(&*ledger, "w", 300, 160).await, Lock::Held(at(250)), "w lost it");
    ledger.unlock_reassembly(&id("job"), "w").await.unwrap();
    assert_eq!(lock(&*ledger, "w", 300, 160).await, Lock::Held(at(250)), "it was not w's to give");
    ledger.unlock_reassembly(&id("job"), "v").await.unwrap();
    ledger.unlock_reassembly(&id("job"), "v").await.unwrap();
    ledger.unlock_reassembly(&id("nobody"), "v").await.unwrap();
    assert_eq!(lock(&*ledger, "w", 300, 160).await, Lock::Acquired(2));
    ledger.advance(&id("job"), JobStatus::Completed, None, None, at(161)).await.unwrap();
    assert_eq!(lock(&*ledger, "w", 300, 162).await, Lock::Over(JobStatus::Completed));
}

pub(super) async fn who_works_is_not_disturbed(ledger: Arc<dyn Ledger>) {
    whole_job(&*ledger).await;
    trigger(&*ledger, "n", 0).await;
    ledger.triggered(&id("job"), at(0)).await.unwrap();
    assert_eq!(lock(&*ledger, "w", 9000, 7000).await, Lock::Acquired(2));
    assert_eq!(trigger(&*ledger, "m", 8999).await, TriggerOutcome::Sent, "w is at it");
    assert_eq!(trigger(&*ledger, "m", 9000).await, TriggerOutcome::Send, "w has died");
    // The next message finds the lock free, and w, if it lives, still holds nothing.
    assert_eq!(lock(&*ledger, "v", 9900, 9001).await, Lock::Acquired(2));
    ledger.unlock_reassembly(&id("job"), "w").await.unwrap();
    assert_eq!(lock(&*ledger, "u", 9900, 9002).await, Lock::Held(at(9900)));
}
