//! A standard SQS queue as it is promised, not as it usually is.
//!
//! A message may be delivered again while it is hidden and even after it was deleted; a receive
//! may find nothing although there is something, and brings what it brings in any order; a message
//! may take a while to appear; a stale receipt is accepted by every call and mostly, but not
//! always, without effect; nothing stays hidden for more than twelve hours. Its clock may go at
//! another pace than its callers', and a redrive policy may move away what was delivered too often.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::fault::Tally;
use parallax_ports::{Error, Kind, Message, Queue, Receipt, Result};

/// Longest that a delivery hides its message.
const LONGEST_HIDDEN: Duration = Duration::from_secs(12 * 3600);
/// How long after its deletion a message may still come back.
const AFTERLIFE: Duration = Duration::from_secs(600);
/// How long a sent message may take to appear.
const LONGEST_LAG: Duration = Duration::from_secs(30);

/// How often a queue makes use of what it does not promise.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct QueueWeakness {
    /// Share of deliveries that do not hide their message for as long as they should.
    pub again: f64,
    /// Share of deleted messages that are delivered once more.
    pub undead: f64,
    /// Share of receives that find nothing whatever is there.
    pub empty: f64,
    /// Share of receives that bring messages in another order.
    pub shuffle: f64,
    /// Share of sent messages that appear late.
    pub lag: f64,
    /// Share of stale receipts that act.
    pub stale: f64,
    /// How much longer than asked for messages stay hidden by a caller's clock, as a share; less than
    /// 0 where the queue's goes faster.
    pub pace: f64,
}

/// A queue that promises little.
pub struct WeakQueue {
    state: Mutex<State>,
    changed: Notify,
    tally: Arc<Tally>,
    watch: Option<Box<Watch>>,
    policy: Option<(u32, Arc<WeakQueue>)>,
}

type Watch = dyn Fn(&str) + Send + Sync;

impl fmt::Debug for WeakQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WeakQueue").field(&self.state).finish()
    }
}

#[derive(Debug)]
struct State {
    weakness: QueueWeakness,
    rng: StdRng,
    sent: u64,
    delivered: u64,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    body: String,
    attributes: Vec<(String, String)>,
    receive_count: u32,
    /// Numbers of its deliveries, the latest last.
    deliveries: Vec<u64>,
    received_at: Instant,
    visible_at: Instant,
    /// Received, and neither settled nor given back since.
    in_hand: Option<Duration>,
    deleted: bool,
}

impl State {
    fn hit(&mut self, rate: impl Fn(&QueueWeakness) -> f64) -> bool {
        let rate = rate(&self.weakness);
        rate > 0.0 && self.rng.random::<f64>() < rate
    }

    /// The entry that a receipt names and whether the receipt may act on it.
    fn named(&mut self, receipt: &Receipt, tally: &Tally) -> Option<usize> {
        let number: u64 = receipt.0.rsplit('#').next()?.parse().ok()?;
        let at = self.entries.iter().position(|e| e.deliveries.contains(&number))?;
        if self.entries[at].deliveries.last() == Some(&number) {
            return Some(at);
        }
        let acts = self.hit(|w| w.stale);
        tally.count(if acts { "stale receipt acted" } else { "stale receipt" });
        acts.then_some(at)
    }
}

impl WeakQueue {
    /// An empty queue.
    pub fn new(seed: u64, weakness: QueueWeakness, tally: Arc<Tally>) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let state = State { weakness, rng, sent: 0, delivered: 0, entries: Vec::new() };
        let (state, changed) = (Mutex::new(state), Notify::new());
        Self { state, changed, tally, watch: None, policy: None }
    }

    /// What was delivered `most` times goes to `dead` instead of being delivered once more.
    #[must_use]
    pub fn redriving(mut self, most: u32, dead: Arc<WeakQueue>) -> Self {
        self.policy = Some((most, dead));
        self
    }

    /// Shows `watch` the body of every message at the moment it is deleted. The function must not
    /// call the queue.
    #[must_use]
    pub fn watched(mut self, watch: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.watch = Some(Box::new(watch));
        self
    }

    /// Promises are kept from now on.
    pub fn heal(&self) {
        self.lock().weakness = QueueWeakness::default();
    }

    /// Bodies and attributes of everything in the queue, hidden or not.
    pub fn contents(&self) -> Vec<(String, Vec<(String, String)>)> {
        self.lock().entries.iter().map(|e| (e.body.clone(), e.attributes.clone())).collect()
    }

    /// Whether nothing is in the queue, hidden or not.
    pub fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }

    /// Number of messages ever sent to it.
    pub fn sent(&self) -> u64 {
        self.lock().sent
    }

    /// Number of messages that a receiver has in hand: hidden by its receive, or for as long again
    /// since, and not settled.
    pub fn in_hand(&self) -> usize {
        let now = Instant::now();
        let held = |e: &&Entry| e.in_hand.is_some() && e.visible_at > now;
        self.lock().entries.iter().filter(held).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves away what a delivery would be one too many for.
    fn redrive(&self, state: &mut State, now: Instant) {
        let Some((most, dead)) = &self.policy else { return };
        let used_up = |entry: &mut Entry| entry.visible_at <= now && entry.receive_count >= *most;
        for entry in state.entries.extract_if(.., used_up) {
            self.tally.count("moved to the dead letters by the queue");
            dead.push(&entry.body, entry.attributes);
        }
    }

    fn push(&self, body: &str, attributes: Vec<(String, String)>) {
        let now = Instant::now();
        let mut state = self.lock();
        let mut visible_at = now;
        if state.hit(|w| w.lag) {
            self.tally.count("message appeared late");
            visible_at += LONGEST_LAG.mul_f64(state.rng.random());
        }
        state.sent += 1;
        let entry = Entry {
            number: state.sent,
            body: body.to_owned(),
            attributes,
            receive_count: 0,
            deliveries: Vec::new(),
            received_at: now,
            visible_at,
            in_hand: None,
            deleted: false,
        };
        state.entries.push(entry);
        drop(state);
        self.changed.notify_waiters();
    }

    fn take(&self, max: usize, visibility: Duration) -> (Vec<Message>, Option<Instant>) {
        let now = Instant::now();
        let mut guard = self.lock();
        let state = &mut *guard;
        self.redrive(state, now);
        let mut ready: Vec<usize> = Vec::new();
        let mut next: Option<Instant> = None;
        for (at, entry) in state.entries.iter().enumerate() {
            if entry.visible_at <= now {
                ready.push(at);
            } else {
                next = Some(next.map_or(entry.visible_at, |n| n.min(entry.visible_at)));
            }
        }
        if ready.is_empty() {
            return (Vec::new(), next);
        }
        if state.hit(|w| w.empty) {
            self.tally.count("empty receive");
            return (Vec::new(), next);
        }
        if ready.len() > 1 && state.hit(|w| w.shuffle) {
            self.tally.count("messages reordered");
            let by = state.rng.random_range(0..ready.len());
            ready.rotate_left(by);
        }
        let mut out = Vec::new();
        for at in ready.into_iter().take(max) {
            let again = state.hit(|w| w.again);
            let part = if again { state.rng.random() } else { 1.0 + state.weakness.pace };
            let hidden = visibility.mul_f64(part);
            state.delivered += 1;
            let entry = &mut state.entries[at];
            if again {
                self.tally.count("delivered again while hidden");
            }
            entry.receive_count += 1;
            entry.deliveries.push(state.delivered);
            entry.received_at = now;
            entry.visible_at = now + hidden;
            entry.in_hand = Some(visibility);
            out.push(Message {
                id: format!("m{}", entry.number),
                receipt: Receipt(format!("m{}#{}", entry.number, state.delivered)),
                body: entry.body.clone(),
                receive_count: entry.receive_count,
            });
        }
        (out, next)
    }
}

#[async_trait]
impl Queue for WeakQueue {
    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>> {
        let until = Instant::now() + wait;
        loop {
            let changed = self.changed.notified();
            let (messages, next) = self.take(max, visibility);
            if !messages.is_empty() || Instant::now() >= until {
                return Ok(messages);
            }
            let wake = next.map_or(until, |at| at.min(until));
            // Either a change or the time: both mean "look again".
            let _ = timeout_at(wake, changed).await;
        }
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        let mut state = self.lock();
        let Some(at) = state.named(receipt, &self.tally) else { return Ok(()) };
        if !std::mem::replace(&mut state.entries[at].deleted, true)
            && let Some(watch) = &self.watch
        {
            watch(&state.entries[at].body);
        }
        if state.hit(|w| w.undead) {
            self.tally.count("delivered again after deletion");
            let after = AFTERLIFE.mul_f64(state.rng.random());
            let entry = &mut state.entries[at];
            entry.visible_at = Instant::now() + after;
            entry.in_hand = None;
        } else {
            state.entries.remove(at);
        }
        Ok(())
    }

    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<()> {
        let mut state = self.lock();
        let Some(at) = state.named(receipt, &self.tally) else { return Ok(()) };
        let pace = 1.0 + state.weakness.pace;
        let (now, entry) = (Instant::now(), &mut state.entries[at]);
        if now + visibility > entry.received_at + LONGEST_HIDDEN {
            let text = format!("m{}: hidden for more than {LONGEST_HIDDEN:?}", entry.number);
            return Err(Error::new(Kind::Rejected, text));
        }
        entry.visible_at = now + visibility.mul_f64(pace);
        entry.in_hand = entry.in_hand.filter(|received| *received == visibility);
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn send(&self, body: &str, attributes: &[(&str, &str)]) -> Result<()> {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        self.push(body, attributes.iter().map(own).collect());
        Ok(())
    }
}
