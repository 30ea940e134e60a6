//! One reader of the stores for each thing that is looked at, however many look.
//!
//! Whoever opens a page reads what was gathered less than a moment ago, or gathers it for the others too. While
//! somebody follows a topic, one task gathers it again and again, and it ends with the last who does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use parallax_web::Refusal;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::moment::moment;
use crate::source::Source;
use crate::topic::Topic;
use crate::view::View;

/// For so long what was gathered is good enough for a page.
const FRESH: Duration = Duration::from_secs(1);
/// Between two looks at what somebody follows: with [`FRESH`] and the time that it takes, a change is shown within
/// two seconds or little more.
const PACE: Duration = Duration::from_millis(1200);
/// Topics that are remembered while nobody follows them.
const REMEMBERED: usize = 64;

/// What was found, or why nothing was.
pub(crate) type Found = Result<Arc<View>, Refusal>;

/// The latest that was found, with a number that changes with it and is never used again.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) number: u64,
    pub(crate) found: Option<Found>,
}

#[derive(Debug)]
pub(crate) struct Hub {
    source: Arc<Source>,
    topics: Mutex<BTreeMap<Topic, Entry>>,
    numbers: Arc<AtomicU64>,
    /// Tells this process's numbers from those of another.
    epoch: String,
}

#[derive(Debug)]
struct Entry {
    cell: Arc<Cell>,
    followers: usize,
    poll: Option<AbortHandle>,
}

/// What is known of a topic.
#[derive(Debug)]
struct Cell {
    /// Held by whoever gathers; when that was done last.
    gathering: tokio::sync::Mutex<Option<Instant>>,
    told: watch::Sender<Told>,
    numbers: Arc<AtomicU64>,
}

impl Cell {
    async fn read(&self, source: &Source, topic: &Topic) -> Found {
        let mut last = self.gathering.lock().await;
        let fresh = last.is_some_and(|at| at.elapsed() < FRESH);
        if let (true, Some(found)) = (fresh, &self.told.borrow().found) {
            return found.clone();
        }
        let found = moment(source, topic).await.map(Arc::new);
        *last = Some(Instant::now());
        self.told.send_if_modified(|told| {
            let changes = told.found.as_ref() != Some(&found);
            if changes {
                let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
                *told = Told { number, found: Some(found.clone()) };
            }
            changes
        });
        found
    }
}

/// Somebody who follows a topic, until dropped.
#[derive(Debug)]
pub(crate) struct Follower {
    hub: Arc<Hub>,
    topic: Topic,
    pub(crate) told: watch::Receiver<Told>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut topics = self.hub.lock();
        let Some(entry) = topics.get_mut(&self.topic) else { return };
        entry.followers -= 1;
        if entry.followers == 0 {
            if let Some(poll) = entry.poll.take() {
                poll.abort();
            }
            topics.remove(&self.topic);
        }
    }
}

impl Hub {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        let epoch = format!("{:016x}", rand::random::<u64>());
        Self { source, topics: Mutex::default(), numbers: Arc::default(), epoch }
    }

    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Topic, Entry>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of a topic; a new one where there is none.
    fn entry<'a>(&self, topics: &'a mut BTreeMap<Topic, Entry>, topic: &Topic) -> &'a mut Entry {
        if topics.len() >= REMEMBERED && !topics.contains_key(topic) {
            topics.retain(|_, entry| entry.followers > 0);
        }
        topics.entry(topic.clone()).or_insert_with(|| Entry {
            cell: Arc::new(Cell {
                gathering: tokio::sync::Mutex::default(),
                told: watch::Sender::new(Told { number: 0, found: None }),
                numbers: self.numbers.clone(),
            }),
            followers: 0,
            poll: None,
        })
    }

    /// What there is to see of `topic` now.
    pub(crate) async fn look(&self, topic: &Topic) -> Found {
        let cell = self.entry(&mut self.lock(), topic).cell.clone();
        cell.read(&self.source, topic).await
    }

    /// Has `topic` looked at again and again.
    pub(crate) fn follow(self: &Arc<Self>, topic: Topic) -> Follower {
        let mut topics = self.lock();
        let entry = self.entry(&mut topics, &topic);
        entry.followers += 1;
        if entry.poll.is_none() {
            let task = poll(Arc::downgrade(&self.source), entry.cell.clone(), topic.clone());
            entry.poll = Some(tokio::spawn(task).abort_handle());
        }
        let told = entry.cell.told.subscribe();
        drop(topics);
        Follower { hub: self.clone(), topic, told }
    }
}

async fn poll(source: Weak<Source>, cell: Arc<Cell>, topic: Topic) {
    while let Some(source) = source.upgrade() {
        // What it is or why it cannot be told is told to all who follow.
        let _ = cell.read(&source, &topic).await;
        drop(source);
        tokio::time::sleep(PACE).await;
    }
}
