//! Many callers at once, over every replica: each decision falls on one of them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use parallax_job::JobStatus;

use super::fixtures::{Replicas, at, finish, holder, id, intent, job, reserve, segment};
use parallax_ports::Ledger;
use parallax_ports::ledger::{Completed, IntentOutcome, Lock, Resend, Reserve, TriggerOutcome};

const CALLERS: usize = 64;

/// What every caller is answered, each in a task of its own.
async fn race<T, F>(ledgers: &Replicas, call: impl Fn(usize, Arc<dyn Ledger>) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let ledger = |n: usize| ledgers[n % ledgers.len()].clone();
    let tasks = (0..CALLERS).map(|n| tokio::spawn(call(n, ledger(n))));
    join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}

fn won<T>(answers: &[T], winner: impl Fn(&T) -> bool) -> usize {
    answers.iter().filter(|a| winner(a)).count()
}

pub(super) async fn one_permit_for_each_place(ledgers: Replicas) {
    let answers = race(&ledgers, |n, ledger| async move {
        ledger.reserve(&holder(&format!("h{n}")), 5, at(60), at(0)).await.unwrap()
    })
    .await;
    assert_eq!(won(&answers, |a| *a == Reserve::Granted), 5);
    assert_eq!(ledgers[0].holders().await.unwrap().len(), 5);
    // All five have expired; five others follow, not more.
    let answers = race(&ledgers, |n, ledger| async move {
        ledger.reserve(&holder(&format!("g{n}")), 5, at(120), at(60)).await.unwrap()
    })
    .await;
    assert_eq!(won(&answers, |a| *a == Reserve::Granted), 5);
    let holders = ledgers[0].holders().await.unwrap();
    assert_eq!(holders.len(), 5);
    assert!(holders.iter().all(|h| h.id.0.starts_with('g')), "{holders:?}");
}

pub(super) async fn one_attempt_for_each_segment(ledgers: Replicas) {
    for n in 0..CALLERS {
        reserve(&*ledgers[0], &format!("h{n}"), at(0)).await;
    }
    // Eight callers for each of eight segments.
    let answers = race(&ledgers, |n, ledger| async move {
        let name = format!("h{n}");
        ledger.record_intent(&intent(&segment("job", n as u32 % 8, 8), &name, at(1))).await.unwrap()
    })
    .await;
    assert_eq!(won(&answers, |a| matches!(a, IntentOutcome::Recorded(_))), 8);
    assert_eq!(won(&answers, |a| matches!(a, IntentOutcome::Open(_))), CALLERS - 8);
    let holders = ledgers[0].holders().await.unwrap();
    assert_eq!(won(&holders, |h| h.work.is_some()), 8);
    for row in ledgers[0].segments(&id("job")).await.unwrap() {
        let bound = holders.iter().find(|h| Some(&h.id) == row.holder.as_ref()).unwrap();
        assert_eq!(bound.work.as_ref().unwrap().segment, row.segment, "row and permit agree");
    }
    // One caller that repeats itself because replies are lost is still one caller.
    reserve(&*ledgers[0], "again", at(2)).await;
    let answers = race(&ledgers, |_, ledger| async move {
        ledger.record_intent(&intent(&segment("again", 0, 1), "again", at(2))).await.unwrap()
    })
    .await;
    assert_eq!(won(&answers, |a| matches!(a, IntentOutcome::Recorded(_))), CALLERS);
    assert_eq!(ledgers[0].segment(&segment("again", 0, 1)).await.unwrap().unwrap().attempt, 1);
}

pub(super) async fn one_completion_one_sender_one_worker(ledgers: Replicas) {
    job(&*ledgers[0], "job", Some(2), JobStatus::ChunkingComplete).await;
    finish(&*ledgers[0], "job", 0, 2).await;
    let row = super::fixtures::start(&*ledgers[0], &segment("job", 1, 2), "last", at(0)).await;
    let resend =
        Resend { unconfirmed: Duration::from_secs(60), unfinished: Duration::from_secs(600) };
    let answers = race(&ledgers, |n, ledger| {
        let fence = row.fence();
        async move {
            let completed = ledger.complete(&fence, true, at(n as i64)).await.unwrap();
            let nonce = format!("n{n}");
            (completed, ledger.trigger(&id("job"), &nonce, resend, at(9)).await.unwrap())
        }
    })
    .await;
    assert_eq!(won(&answers, |a| a.0 == Completed::Recorded), 1);
    assert_eq!(won(&answers, |a| a.0 == Completed::Already), CALLERS - 1);
    assert_eq!(won(&answers, |a| a.1 == TriggerOutcome::Send), 1, "exactly one sender");
    assert_eq!(won(&answers, |a| a.1 == TriggerOutcome::Pending), CALLERS - 1);
    assert_eq!(ledgers[0].completions(&id("job"), 2).await.unwrap().len(), 2);
    let answers = race(&ledgers, |n, ledger| async move {
        ledger.lock_reassembly(&id("job"), &format!("w{n}"), at(100), at(10)).await.unwrap()
    })
    .await;
    assert_eq!(won(&answers, |a| *a == Lock::Acquired(2)), 1);
    assert_eq!(won(&answers, |a| *a == Lock::Held(at(100))), CALLERS - 1);
}
