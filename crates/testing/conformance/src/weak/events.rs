//! The way of a notification to its queue: late, repeated, in company, or never.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::{Notification, ObjectEvent, Record, parse_notification, s3_notification};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use crate::fault::Tally;
use parallax_ports::{Error, Kind, Message, Queue, Receipt, Result};

/// How often notifications do what they may.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EventWeakness {
    /// Share of events that never arrive.
    pub lose: f64,
    /// Share of events that arrive twice.
    pub double: f64,
    /// Share of events that are late: mostly by minutes, at most by `latest`.
    pub late: f64,
    /// The longest an event takes.
    pub latest: Duration,
    /// Share of events that wait to arrive in one message with others, and with a record of
    /// another kind.
    pub gather: f64,
}

/// What an object store or a topic sends to, in place of the queue itself.
#[derive(Debug)]
pub struct WeakEvents {
    state: Arc<Mutex<State>>,
    tally: Arc<Tally>,
}

#[derive(Debug)]
struct State {
    to: Arc<dyn Queue>,
    weakness: EventWeakness,
    rng: StdRng,
    sent: u64,
    /// On their way.
    pending: BTreeMap<u64, String>,
    gathered: Vec<ObjectEvent>,
}

/// How long events are gathered for one message.
const GATHER: Duration = Duration::from_secs(5);
/// A record about something that nobody asked for.
const FOREIGN: &str = r#"{"Records":[{"eventName":"ObjectRemoved:Delete"},"#;

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WeakEvents {
    /// A way to `to`.
    pub fn new(to: Arc<dyn Queue>, seed: u64, weakness: EventWeakness, tally: Arc<Tally>) -> Self {
        let state = State {
            to,
            weakness,
            rng: StdRng::seed_from_u64(seed),
            sent: 0,
            pending: BTreeMap::new(),
            gathered: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)), tally }
    }

    /// Every event arrives at once from now on.
    pub fn heal(&self) {
        lock(&self.state).weakness = EventWeakness::default();
    }

    /// Delivers what is still on its way.
    ///
    /// # Errors
    /// The queue's.
    pub async fn flush(&self) -> Result<()> {
        let (to, bodies) = {
            let mut state = lock(&self.state);
            let mut bodies: Vec<String> =
                std::mem::take(&mut state.pending).into_values().collect();
            bodies.extend(state.gathered());
            (state.to.clone(), bodies)
        };
        for body in bodies {
            to.send(&body, &[]).await?;
        }
        Ok(())
    }

    fn copies(&self, state: &mut State) -> u32 {
        let roll: f64 = state.rng.random();
        if roll < state.weakness.lose {
            self.tally.count("event lost");
            0
        } else if roll < state.weakness.lose + state.weakness.double {
            self.tally.count("event repeated");
            2
        } else {
            1
        }
    }

    fn delay(&self, state: &mut State) -> Duration {
        if state.rng.random::<f64>() >= state.weakness.late {
            return Duration::ZERO;
        }
        self.tally.count("event late");
        state.weakness.latest.mul_f64(state.rng.random::<f64>().powi(4))
    }

    /// Sets an event aside to go with others; false when it goes alone.
    fn gather(&self, state: &mut State, body: &str) -> bool {
        if state.rng.random::<f64>() >= state.weakness.gather {
            return false;
        }
        let Ok(Notification::Records(records)) = parse_notification(body) else { return false };
        self.tally.count("event in company");
        let created = records.into_iter().filter_map(|record| match record {
            Record::Created(event) => Some(event),
            _ => None,
        });
        let first = state.gathered.is_empty();
        state.gathered.extend(created);
        if first {
            let shared = self.state.clone();
            tokio::spawn(async move {
                sleep(GATHER).await;
                let (to, body) = {
                    let mut state = lock(&shared);
                    (state.to.clone(), state.gathered())
                };
                if let Some(body) = body {
                    // The fake queue takes everything.
                    let _ = to.send(&body, &[]).await;
                }
            });
        }
        true
    }
}

impl State {
    /// The message of what was gathered.
    fn gathered(&mut self) -> Option<String> {
        let events = std::mem::take(&mut self.gathered);
        if events.is_empty() {
            return None;
        }
        Some(s3_notification(&events).replacen(r#"{"Records":["#, FOREIGN, 1))
    }
}

fn sent_only<T>() -> Result<T> {
    Err(Error::new(Kind::Rejected, "events are only sent this way"))
}

#[async_trait]
impl Queue for WeakEvents {
    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Message>> {
        sent_only()
    }

    async fn delete(&self, _: &Receipt) -> Result<()> {
        sent_only()
    }

    async fn change_visibility(&self, _: &Receipt, _: Duration) -> Result<()> {
        sent_only()
    }

    async fn send(&self, body: &str, _: &[(&str, &str)]) -> Result<()> {
        let (to, now) = {
            let mut guard = lock(&self.state);
            let state = &mut *guard;
            if self.gather(state, body) {
                return Ok(());
            }
            let mut now = 0;
            for _ in 0..self.copies(state) {
                let delay = self.delay(state);
                if delay.is_zero() {
                    now += 1;
                    continue;
                }
                state.sent += 1;
                let number = state.sent;
                state.pending.insert(number, body.to_owned());
                let shared = self.state.clone();
                tokio::spawn(async move {
                    sleep(delay).await;
                    let (to, body) = {
                        let mut state = lock(&shared);
                        (state.to.clone(), state.pending.remove(&number))
                    };
                    if let Some(body) = body {
                        let _ = to.send(&body, &[]).await;
                    }
                });
            }
            (state.to.clone(), now)
        };
        for _ in 0..now {
            to.send(body, &[]).await?;
        }
        Ok(())
    }
}
