//! What a [`Queue`] promises.
//!
//! Durations are the caller's, so that the suite runs on a paused clock, in a few hundred real
//! milliseconds, or at the whole seconds that SQS knows. No rule needs a call to come back in time: on
//! a real clock everything between two calls may take any time, and how promptly a queue answers is
//! judged on a paused one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use parallax_ports::{Message, Queue, Receipt};

/// How the suite treats one kind of queue.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// A visibility timeout that the suite waits for.
    pub tick: Duration,
    /// How soon a waiting receiver notices a change, and a receive that does not wait answers. On a
    /// real clock as long as a busy machine may take: nobody waits for it.
    pub wakes_within: Duration,
    /// Whether stale receipts really change nothing. Emulators of SQS differ; where this is false
    /// only the successful answer is asked for.
    pub stale_is_inert: bool,
    /// Whether a visible message goes to one receiver only. SQS promises less.
    pub single_delivery: bool,
}

impl Terms {
    /// For a queue that keeps the whole contract and notices changes at once, on a paused clock.
    pub fn strict(tick: Duration) -> Self {
        Self { tick, wakes_within: tick, stale_is_inert: true, single_delivery: true }
    }

    /// The same on a real clock.
    pub fn real(tick: Duration) -> Self {
        Self { wakes_within: Duration::from_secs(20), ..Self::strict(tick) }
    }
}

/// Handles to one queue.
pub type Replicas = Vec<Arc<dyn Queue>>;

const NOW: Duration = Duration::ZERO;
/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);
/// A wall clock in whole milliseconds rounds down.
const ROUNDING: Duration = Duration::from_millis(5);

/// Runs every rule, each on a fresh queue and all at once.
///
/// # Panics
/// Where the queue breaks a promise.
pub async fn all(terms: Terms, make: impl AsyncFn() -> Replicas) {
    let one = async || make().await.swap_remove(0);
    futures::join!(
        async { bodies_arrive_as_they_were_sent(terms, one().await).await },
        async { a_hidden_message_comes_again_with_another_receipt(terms, one().await).await },
        async { a_deleted_message_stays_away(terms, one().await).await },
        async { a_stale_receipt_changes_nothing(terms, one().await).await },
        async { a_late_receipt_still_deletes(terms, one().await).await },
        async { zero_visibility_delivers_at_once(terms, one().await).await },
        async { extended_visibility_hides_for_longer(terms, one().await).await },
        async { an_empty_queue_is_waited_for(terms, one().await).await },
        async { a_waiting_receiver_wakes_up(terms, make().await).await },
        async { batches_are_bounded_and_nothing_is_left(terms, one().await).await },
        async { receivers_do_not_share_messages(terms, make().await).await },
    );
}

/// The next message, waited for; everything that the suite does after a send may take a while.
async fn next(t: Terms, queue: &dyn Queue, visibility: Duration) -> Message {
    let found = timeout(t.wakes_within + t.tick * 30, async {
        loop {
            let wait = Duration::from_secs(1);
            if let Some(message) = queue.receive(1, wait, visibility).await.unwrap().pop() {
                return message;
            }
        }
    });
    found.await.expect("a message that was sent arrives")
}

async fn nothing(queue: &dyn Queue, why: &str) {
    let found = queue.receive(10, NOW, LONG).await.unwrap();
    assert!(found.is_empty(), "{why}: {found:?}");
}

/// Bodies are text, and text is not touched.
pub async fn bodies_arrive_as_they_were_sent(t: Terms, queue: Arc<dyn Queue>) {
    let large = "x".repeat(200 * 1024);
    let bodies = [
        "plain",
        r#"{"a":"'quoted' \"twice\" \\ %2F+ ; DROP TABLE messages; --"}"#,
        "zwölf Boxkämpfer 漢字 🦀 \u{10FFFD}",
        " leading, trailing and\nbroken lines\t\r\n ",
        &large,
    ];
    for body in bodies {
        queue.send(body, &[("reason", "it's \"odd\" 漢"), ("receive_count", "3")]).await.unwrap();
        let message = next(t, &*queue, LONG).await;
        assert_eq!(message.body, body);
        assert_eq!(message.receive_count, 1, "first delivery");
        assert!(!message.id.is_empty());
        queue.delete(&message.receipt).await.unwrap();
    }
}

/// Hidden, then delivered again under the same id and another receipt.
pub async fn a_hidden_message_comes_again_with_another_receipt(t: Terms, queue: Arc<dyn Queue>) {
    queue.send("once", &[]).await.unwrap();
    let asked = Instant::now();
    let first = next(t, &*queue, t.tick * 2).await;
    let second = next(t, &*queue, LONG).await;
    // Whoever asks all the time gets it when it shows itself.
    let hidden = asked.elapsed();
    assert!(hidden + ROUNDING >= t.tick * 2, "hidden for {hidden:?}");
    assert_eq!((&second.id, &second.body), (&first.id, &first.body));
    assert_ne!(second.receipt, first.receipt, "each delivery has its receipt");
    assert_eq!(second.receive_count, 2);
    nothing(&*queue, "a received message is hidden").await;
    sleep(t.tick).await;
    nothing(&*queue, "a received message is hidden until its timeout").await;
    queue.change_visibility(&second.receipt, NOW).await.unwrap();
    assert_eq!(next(t, &*queue, LONG).await.receive_count, 3);
}

/// Deleting is final and can be repeated.
pub async fn a_deleted_message_stays_away(t: Terms, queue: Arc<dyn Queue>) {
    queue.send("gone", &[]).await.unwrap();
    queue.send("kept", &[]).await.unwrap();
    let (a, b) = (next(t, &*queue, LONG).await, next(t, &*queue, LONG).await);
    assert_ne!(a.id, b.id, "messages have ids of their own");
    assert_ne!(a.receipt, b.receipt);
    // Either would come again by now, were it not deleted.
    for message in [&a, &b] {
        queue.change_visibility(&message.receipt, t.tick).await.unwrap();
    }
    let gone = if a.body == "gone" { a } else { b };
    queue.delete(&gone.receipt).await.unwrap();
    queue.delete(&gone.receipt).await.unwrap();
    queue.change_visibility(&gone.receipt, NOW).await.unwrap();
    sleep(t.tick).await;
    assert_eq!(next(t, &*queue, LONG).await.body, "kept");
    nothing(&*queue, "a deleted message does not come back").await;
}

/// The receipt of an earlier delivery is accepted and does nothing.
pub async fn a_stale_receipt_changes_nothing(t: Terms, queue: Arc<dyn Queue>) {
    queue.send("fought over", &[]).await.unwrap();
    let stale = next(t, &*queue, t.tick).await;
    sleep(t.tick).await;
    let current = next(t, &*queue, LONG).await;
    queue.change_visibility(&stale.receipt, NOW).await.unwrap();
    if t.stale_is_inert {
        nothing(&*queue, "a stale receipt does not make a message visible").await;
    }
    queue.delete(&stale.receipt).await.unwrap();
    if !t.stale_is_inert {
        return;
    }
    queue.change_visibility(&current.receipt, NOW).await.unwrap();
    let again = next(t, &*queue, LONG).await;
    assert_eq!(again.id, current.id, "a stale receipt does not delete");
    queue.change_visibility(&stale.receipt, NOW).await.unwrap();
    queue.change_visibility(&current.receipt, NOW).await.unwrap();
    nothing(&*queue, "every earlier receipt is stale").await;
    let foreign = Receipt(format!("{}0", again.receipt.0));
    queue.delete(&foreign).await.unwrap();
    queue.delete(&again.receipt).await.unwrap();
}

/// A receipt is stale once the message was delivered again, not once its timeout has passed.
pub async fn a_late_receipt_still_deletes(t: Terms, queue: Arc<dyn Queue>) {
    queue.send("slow", &[]).await.unwrap();
    let message = next(t, &*queue, t.tick).await;
    sleep(t.tick + t.tick / 2).await;
    queue.delete(&message.receipt).await.unwrap();
    nothing(&*queue, "deleted after its timeout").await;
}

/// Giving a message back makes it visible now.
pub async fn zero_visibility_delivers_at_once(t: Terms, queue: Arc<dyn Queue>) {
    queue.send("back", &[]).await.unwrap();
    let first = next(t, &*queue, LONG).await;
    queue.change_visibility(&first.receipt, NOW).await.unwrap();
    let second = timeout(t.wakes_within, next(t, &*queue, LONG)).await.expect("at once");
    assert_eq!((second.id, second.receive_count), (first.id, 2));
}

/// A heartbeat keeps a message hidden past its first timeout, and no longer than it says.
pub async fn extended_visibility_hides_for_longer(t: Terms, queue: Arc<dyn Queue>) {
    let message = loop {
        queue.send("busy", &[]).await.unwrap();
        let asked = Instant::now();
        let message = next(t, &*queue, t.tick).await;
        queue.change_visibility(&message.receipt, LONG).await.unwrap();
        if asked.elapsed() < t.tick {
            break message;
        }
        // This heartbeat came too late to prove anything.
        queue.delete(&message.receipt).await.unwrap();
    };
    sleep(t.tick * 2).await;
    nothing(&*queue, "an extended message is hidden").await;
    let changed = Instant::now();
    queue.change_visibility(&message.receipt, t.tick).await.unwrap();
    let again = next(t, &*queue, LONG).await;
    assert!(changed.elapsed() + ROUNDING >= t.tick, "hidden for {:?}", changed.elapsed());
    assert_eq!(again.receive_count, 2);
}

/// Waiting takes as long as was asked for; not waiting does not wait.
pub async fn an_empty_queue_is_waited_for(t: Terms, queue: Arc<dyn Queue>) {
    let start = Instant::now();
    assert!(queue.receive(10, NOW, LONG).await.unwrap().is_empty());
    assert!(start.elapsed() < t.wakes_within, "zero wait took {:?}", start.elapsed());
    let start = Instant::now();
    assert!(queue.receive(10, t.tick, LONG).await.unwrap().is_empty());
    let waited = start.elapsed();
    assert!(waited + ROUNDING >= t.tick, "waited {waited:?} of {:?}", t.tick);
    assert!(waited < t.tick + t.wakes_within, "waited {waited:?} of {:?}", t.tick);
}

/// A long poll ends when a message is sent, given back, or shows itself again.
pub async fn a_waiting_receiver_wakes_up(t: Terms, queues: Replicas) {
    let (sender, receiver) = (&queues[0], queues.last().unwrap());
    // What ends the poll is never its own time.
    let wait = (t.tick + t.wakes_within) * 10;
    let (sent, found) = futures::join!(
        async {
            sleep(t.tick / 2).await;
            let at = Instant::now();
            sender.send("wake", &[]).await.unwrap();
            at
        },
        async { (receiver.receive(1, wait, LONG).await.unwrap(), Instant::now()) },
    );
    assert_eq!(found.0[0].body, "wake");
    let delay = found.1.saturating_duration_since(sent);
    assert!(delay <= t.wakes_within + t.tick / 3, "a send woke the receiver after {delay:?}");

    let receipt = found.0[0].receipt.clone();
    let (given, found) = futures::join!(
        async {
            sleep(t.tick / 2).await;
            let at = Instant::now();
            sender.change_visibility(&receipt, NOW).await.unwrap();
            at
        },
        async { (receiver.receive(1, wait, t.tick).await.unwrap(), Instant::now()) },
    );
    assert_eq!(found.0.len(), 1, "a message that was given back wakes the receiver");
    let delay = found.1.saturating_duration_since(given);
    assert!(delay <= t.wakes_within + t.tick / 3, "giving back woke the receiver after {delay:?}");

    let start = Instant::now();
    assert_eq!(receiver.receive(1, wait, LONG).await.unwrap().len(), 1, "the timeout wakes too");
    assert!(start.elapsed() <= t.tick + t.wakes_within + t.tick / 3);
}

/// Never more than was asked for, and everything in the end.
pub async fn batches_are_bounded_and_nothing_is_left(t: Terms, queue: Arc<dyn Queue>) {
    for n in 0..15 {
        queue.send(&format!("body {n}"), &[]).await.unwrap();
    }
    let mut bodies = BTreeSet::new();
    for max in [1, 3, 10, 10, 10, 10, 10, 10] {
        let batch = queue.receive(max, t.tick / 10, LONG).await.unwrap();
        assert!(batch.len() <= max, "asked for {max}, got {}", batch.len());
        bodies.extend(batch.into_iter().map(|m| m.body));
        if bodies.len() == 15 {
            break;
        }
    }
    assert_eq!(bodies.len(), 15, "every message is delivered");
}

/// Concurrent receivers get different messages, and none is missed.
pub async fn receivers_do_not_share_messages(t: Terms, queues: Replicas) {
    const MESSAGES: usize = 40;
    join_all((0..MESSAGES).map(async |n| {
        queues[n % queues.len()].send(&format!("{n}"), &[]).await.unwrap();
    }))
    .await;
    let receivers = (0..8).map(|n| {
        let queue = queues[n % queues.len()].clone();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let batch = queue.receive(1 + n % 4, t.tick, LONG).await.unwrap();
                if batch.is_empty() {
                    return mine;
                }
                mine.extend(batch);
            }
        })
    });
    let all: Vec<Message> =
        join_all(receivers).await.into_iter().flat_map(Result::unwrap).collect();
    let different: BTreeSet<_> = all.iter().map(|m| &m.id).collect();
    assert_eq!(different.len(), MESSAGES, "every message is delivered");
    if t.single_delivery {
        assert_eq!(all.len(), MESSAGES, "no visible message is delivered twice");
    }
    join_all(all.iter().map(|m| queues[0].delete(&m.receipt))).await;
    nothing(&*queues[0], "everything is deleted").await;
}
