//! Reservations and the permits that they become.

use std::sync::Arc;

use super::fixtures::{at, holder, intent, reserve, segment, start};
use parallax_ports::Ledger;
use parallax_ports::ledger::{Holder, IntentOutcome, Reserve};

pub(super) async fn the_limit_holds_and_repeating_extends(ledger: Arc<dyn Ledger>) {
    let reserve =
        async |name: &str, until| ledger.reserve(&holder(name), 2, at(until), at(0)).await.unwrap();
    assert_eq!(reserve("a", 60).await, Reserve::Granted);
    assert_eq!(reserve("b", 60).await, Reserve::Granted);
    assert_eq!(reserve("c", 60).await, Reserve::Full);
    assert_eq!(reserve("a", 90).await, Reserve::Granted, "again under the same holder");
    let mut holders = ledger.holders().await.unwrap();
    holders.sort_by(|a, b| a.id.cmp(&b.id));
    let free = |name: &str, until| Holder { id: holder(name), deadline: at(until), work: None };
    assert_eq!(holders, [free("a", 90), free("b", 60)]);
    let zero = ledger.reserve(&holder("z"), 0, at(60), at(0)).await.unwrap();
    assert_eq!(zero, Reserve::Full, "a limit of zero grants nothing");
    let more = ledger.reserve(&holder("c"), 3, at(60), at(0)).await.unwrap();
    assert_eq!(more, Reserve::Granted, "the limit is the caller's");
    let lowered = ledger.reserve(&holder("d"), 1, at(60), at(0)).await.unwrap();
    assert_eq!(lowered, Reserve::Full);
    assert_eq!(ledger.holders().await.unwrap().len(), 3, "a lower limit takes nothing away");
}

pub(super) async fn an_expired_reservation_is_no_permit(ledger: Arc<dyn Ledger>) {
    let one = segment("job", 0, 1);
    reserve(&*ledger, "late", at(0)).await;
    let outcome = ledger.record_intent(&intent(&one, "late", at(60))).await.unwrap();
    assert_eq!(outcome, IntentOutcome::NoReservation, "it ended at its deadline");
    assert_eq!(ledger.segment(&one).await.unwrap(), None);
    // Somebody else's reservation removes it, and then it cannot come back by itself.
    let granted = ledger.reserve(&holder("next"), 1, at(120), at(60)).await.unwrap();
    assert_eq!(granted, Reserve::Granted);
    let names: Vec<_> = ledger.holders().await.unwrap().into_iter().map(|h| h.id).collect();
    assert_eq!(names, [holder("next")]);
    let outcome = ledger.record_intent(&intent(&one, "late", at(61))).await.unwrap();
    assert_eq!(outcome, IntentOutcome::NoReservation);
    let outcome = ledger.record_intent(&intent(&one, "stranger", at(61))).await.unwrap();
    assert_eq!(outcome, IntentOutcome::NoReservation);
    // An expired one may be extended by its own holder while there is room.
    let again = ledger.reserve(&holder("next"), 1, at(300), at(200)).await.unwrap();
    assert_eq!(again, Reserve::Granted);
}

pub(super) async fn giving_back_frees_only_reservations(ledger: Arc<dyn Ledger>) {
    reserve(&*ledger, "free", at(0)).await;
    ledger.unreserve(&holder("free")).await.unwrap();
    ledger.unreserve(&holder("free")).await.unwrap();
    ledger.unreserve(&holder("never")).await.unwrap();
    assert_eq!(ledger.holders().await.unwrap(), []);
    let row = start(&*ledger, &segment("job", 0, 1), "bound", at(0)).await;
    ledger.unreserve(&holder("bound")).await.unwrap();
    let holders = ledger.holders().await.unwrap();
    assert_eq!(holders.len(), 1, "a bound permit ends with its attempt");
    assert_eq!(holders[0].work.as_ref().unwrap().attempt, row.attempt);
}

pub(super) async fn a_bound_permit_outlives_its_deadline(ledger: Arc<dyn Ledger>) {
    start(&*ledger, &segment("job", 0, 1), "bound", at(0)).await;
    let much_later = at(1_000_000);
    let full = ledger.reserve(&holder("x"), 1, at(1_000_060), much_later).await.unwrap();
    assert_eq!(full, Reserve::Full, "the backend may still be busy");
    let reused = ledger.reserve(&holder("bound"), 9, at(1_000_060), much_later).await.unwrap();
    assert_eq!(reused, Reserve::Full, "a bound permit is not reserved again");
    assert!(ledger.holders().await.unwrap()[0].work.is_some());
}
