//! Signs of life: beats that loops give, and flags that say whether work can be taken.
//!
//! A loop holds a [`Beat`] and ticks it; whoever answers health checks holds the [`Beats`] and
//! asks which are overdue. A loop that dies stops ticking, and its beat is overdue for ever: only
//! [`Beat::finish`] takes it off the list. Flags work alike for readiness. Somebody else's silence
//! is a matter of readiness: a process that waits for an answer lives, and to restart it helps nobody.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// The beats of one process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Beats(Arc<Mutex<BTreeMap<String, Entry>>>);

#[derive(Debug, Clone, Copy)]
struct Entry {
    last: Instant,
    max_age: Duration,
}

/// One loop's beat.
#[derive(Debug)]
pub struct Beat {
    name: String,
    beats: Beats,
}

/// A beat that did not come in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The loop.
    pub name: String,
    /// Time since its last tick.
    pub age: Duration,
    /// The age that is allowed.
    pub max_age: Duration,
}

impl Beats {
    /// Registers a loop whose beat must never be older than `max_age`, and ticks it. The name
    /// must be the loop's own: registering it again replaces the earlier beat.
    pub fn register(&self, name: impl Into<String>, max_age: Duration) -> Beat {
        let name = name.into();
        let entry = Entry { last: Instant::now(), max_age };
        lock(&self.0).insert(name.clone(), entry);
        Beat { name, beats: self.clone() }
    }

    /// Every loop whose beat is overdue, by name.
    pub fn overdue(&self) -> Vec<Overdue> {
        let now = Instant::now();
        let entries = lock(&self.0);
        let late = entries.iter().filter_map(|(name, entry)| {
            let age = now.saturating_duration_since(entry.last);
            let late = age > entry.max_age;
            late.then(|| Overdue { name: name.clone(), age, max_age: entry.max_age })
        });
        late.collect()
    }

    /// Number of registered loops.
    pub fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Whether no loop is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Beat {
    /// The loop lives.
    pub fn tick(&self) {
        if let Some(entry) = lock(&self.beats.0).get_mut(&self.name) {
            entry.last = Instant::now();
        }
    }

    /// Ticks while `work` is pending, which waits for others: for as long as this process can be
    /// asked whether an answer came, it lives.
    ///
    /// # Cancel safety
    /// That of `work`.
    pub async fn during<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            self.tick();
            if let Ok(done) = timeout(self.every(), work.as_mut()).await {
                self.tick();
                return done;
            }
        }
    }

    /// Often enough.
    fn every(&self) -> Duration {
        let entries = lock(&self.beats.0);
        let max_age = entries.get(&self.name).map_or(Duration::from_secs(1), |e| e.max_age);
        max_age / 3
    }

    /// The loop ended as it should: nobody waits for its beat any more.
    pub fn finish(self) {
        lock(&self.beats.0).remove(&self.name);
    }
}

/// What readiness depends on. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Flags(Arc<Mutex<BTreeMap<String, Option<String>>>>);

/// One condition of readiness.
#[derive(Debug, Clone)]
pub struct Flag {
    name: String,
    flags: Flags,
}

impl Flags {
    /// Adds a condition that is not met yet, and why.
    pub fn register(&self, name: impl Into<String>, reason: impl Into<String>) -> Flag {
        let flag = Flag { name: name.into(), flags: self.clone() };
        flag.lower(reason);
        flag
    }

    /// Every condition that is not met, with its reason, by name.
    pub fn lowered(&self) -> Vec<(String, String)> {
        let flags = lock(&self.0);
        let down = flags.iter().filter_map(|(name, why)| Some((name.clone(), why.clone()?)));
        down.collect()
    }
}

impl Flag {
    /// The condition is met.
    pub fn raise(&self) {
        lock(&self.flags.0).insert(self.name.clone(), None);
    }

    /// The condition is not met, and why.
    pub fn lower(&self, reason: impl Into<String>) {
        lock(&self.flags.0).insert(self.name.clone(), Some(reason.into()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one assignment: a panic elsewhere leaves the map whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stops_ticking_is_overdue_and_one_that_finished_is_not() {
        let beats = Beats::default();
        let slow = beats.register("slow", Duration::from_secs(10));
        let dead = beats.register("dead", Duration::from_secs(3));
        let over = beats.register("over", Duration::from_secs(1));
        advance(Duration::from_secs(3)).await;
        over.finish();
        assert_eq!(beats.overdue(), []);
        advance(Duration::from_secs(1)).await;
        drop(dead);
        let late = beats.overdue();
        assert_eq!(late.len(), 1);
        assert_eq!((late[0].name.as_str(), late[0].age), ("dead", Duration::from_secs(4)));
        advance(Duration::from_secs(7)).await;
        assert_eq!(beats.overdue().len(), 2);
        slow.tick();
        assert_eq!(beats.overdue().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_waits_for_an_answer_lives() {
        let beats = Beats::default();
        let beat = beats.register("waits", Duration::from_secs(3));
        let asked = beat.during(tokio::time::sleep(Duration::from_secs(600)));
        let watched = async {
            for _ in 0..300 {
                tokio::time::sleep(Duration::from_secs(2)).await;
                assert_eq!(beats.overdue(), []);
            }
        };
        tokio::join!(asked, watched);
        advance(Duration::from_secs(4)).await;
        assert_eq!(beats.overdue().len(), 1, "it waits for nobody any more");
    }

    #[test]
    fn readiness_names_what_is_missing() {
        let flags = Flags::default();
        let ledger = flags.register("ledger", "not read yet");
        assert_eq!(flags.lowered(), [("ledger".to_owned(), "not read yet".to_owned())]);
        ledger.raise();
        assert_eq!(flags.lowered(), []);
        ledger.lower("access denied");
        assert_eq!(flags.lowered()[0].1, "access denied");
    }
}
