//! What [`Replicas`], [`Acts`] and a [`QueueLook`] promise.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parallax_job::Timestamp;
use parallax_ports::{Act, Acts, Depth, Queue, QueueLook, REPLICA_FORGOTTEN, Replica, Replicas};

/// `seconds` after an arbitrary beginning.
fn at(seconds: i64) -> Timestamp {
    Timestamp(1_700_000_000_000 + 1000 * seconds)
}

/// Runs every rule about records, each on fresh ones.
///
/// # Panics
/// Where they break a promise.
pub async fn records<R: Replicas + Acts>(make: impl AsyncFn() -> R) {
    a_replica_says_how_it_is_until_it_leaves(&make().await).await;
    acts_are_numbered_and_only_added_to(&make().await).await;
}

fn replica(id: &str, seen: Timestamp) -> Replica {
    let why = "no answer: it's \"silent\" 漢\n".to_owned();
    Replica {
        id: id.to_owned(),
        version: "1.2.3 (abc)".to_owned(),
        roles: "segments,reconcile".to_owned(),
        since: at(0),
        seen,
        not_ready: BTreeMap::from([("backend".to_owned(), why)]),
    }
}

async fn a_replica_says_how_it_is_until_it_leaves(replicas: &dyn Replicas) {
    assert_eq!(replicas.replicas().await.unwrap(), []);
    let (one, other) = (replica("host-1 #7", at(10)), replica("host-2", at(20)));
    replicas.announce(&other).await.unwrap();
    replicas.announce(&one).await.unwrap();
    assert_eq!(replicas.replicas().await.unwrap(), [one.clone(), other.clone()]);
    let ready = Replica { seen: at(30), not_ready: BTreeMap::new(), ..one };
    replicas.announce(&ready).await.unwrap();
    assert_eq!(replicas.replicas().await.unwrap(), [ready.clone(), other], "in its place");
    replicas.leave("host-2").await.unwrap();
    replicas.leave("nobody").await.unwrap();
    assert_eq!(replicas.replicas().await.unwrap(), std::slice::from_ref(&ready));
    let later = replica("late", ready.seen + REPLICA_FORGOTTEN);
    replicas.announce(&later).await.unwrap();
    assert_eq!(replicas.replicas().await.unwrap(), [ready, later], "not yet");
    let latest = replica("late", at(31) + REPLICA_FORGOTTEN);
    replicas.announce(&latest).await.unwrap();
    assert_eq!(replicas.replicas().await.unwrap(), [latest], "not heard of for too long");
}

async fn acts_are_numbered_and_only_added_to(acts: &dyn Acts) {
    assert_eq!(acts.latest_acts(None, 5).await.unwrap(), []);
    let act = |what: &str, seconds| Act {
        at: at(seconds),
        who: "ann <b>, from 127.0.0.1".to_owned(),
        what: what.to_owned(),
        outcome: None,
    };
    let mut numbers = Vec::new();
    for (what, seconds) in [("one", 1), ("two", 2), ("three", 2), ("four", 4)] {
        numbers.push(acts.begin(&act(what, seconds)).await.unwrap());
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    acts.end(numbers[1], "cancelled: job x\nand more").await.unwrap();
    acts.end(numbers[3] + 9, "nobody's").await.unwrap();
    let whats = async |before, limit| -> Vec<(u64, String)> {
        let found = acts.latest_acts(before, limit).await.unwrap();
        found.into_iter().map(|(number, act)| (number, act.what)).collect()
    };
    let named = |at: usize, what: &str| (numbers[at], what.to_owned());
    assert_eq!(whats(None, 2).await, [named(3, "four"), named(2, "three")]);
    assert_eq!(whats(Some(numbers[2]), 9).await, [named(1, "two"), named(0, "one")]);
    assert_eq!(whats(Some(numbers[0]), 9).await, []);
    let (_, second) = acts.latest_acts(Some(numbers[2]), 1).await.unwrap().swap_remove(0);
    let outcome = Some("cancelled: job x\nand more".to_owned());
    assert_eq!(second, Act { outcome, ..act("two", 2) });
    let (_, first) = acts.latest_acts(Some(numbers[1]), 1).await.unwrap().swap_remove(0);
    assert_eq!(first, act("one", 1), "nothing else was changed");
}

/// Looks at a fresh queue.
///
/// # Panics
/// Where it breaks a promise.
pub async fn look<Q: Queue + QueueLook>(queue: &Q) {
    assert_eq!(queue.depth().await.unwrap(), Depth { visible: 0, hidden: 0 });
    assert_eq!(queue.peek(5).await.unwrap(), []);
    for (body, reason) in [("first", "it's \"bad\" 漢"), ("second", "x"), ("third", "y")] {
        queue.send(body, &[("reason", reason), ("receive_count", "7")]).await.unwrap();
    }
    assert_eq!(queue.depth().await.unwrap(), Depth { visible: 3, hidden: 0 });
    let some = queue.peek(2).await.unwrap();
    assert!((1..=2).contains(&some.len()), "{some:?}");
    let seen = queue.peek(9).await.unwrap();
    let bodies: BTreeSet<&str> = seen.iter().map(|entry| &*entry.body).collect();
    assert_eq!(bodies, ["first", "second", "third"].into(), "each once, and all are still there");
    assert_eq!(seen.len(), 3);
    let first = seen.iter().find(|entry| entry.body == "first").unwrap();
    let attributes: BTreeMap<&str, &str> =
        first.attributes.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(attributes["reason"], "it's \"bad\" 漢");
    assert_eq!(attributes["receive_count"], "7");
    let age = Timestamp::from_system_clock().0 - first.sent_at.0;
    assert!((-60_000..60_000).contains(&age), "{age}");
    assert_eq!(queue.depth().await.unwrap(), Depth { visible: 3, hidden: 0 }, "none is hidden");
    let taken = queue.receive(1, Duration::from_secs(1), Duration::from_secs(60)).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(queue.depth().await.unwrap(), Depth { visible: 2, hidden: 1 });
}
