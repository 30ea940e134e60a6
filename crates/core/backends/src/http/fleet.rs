//! Which server is asked next.
//!
//! Health is learnt from the attempts themselves; nothing is probed on the side. A server that
//! could not be reached, or broke several attempts in a row, is left out for a while, longer each
//! time, and then tried with a single attempt.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parallax_ports::Ids;
use reqwest::Url;
use tokio::time::Instant;
use tracing::{info, warn};

/// Broken attempts in a row before a server is left out; one is enough when it is unreachable.
const PATIENCE: u32 = 3;
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(60);
/// Rest of a server that said it was busy, but not for how long.
const BUSY: Duration = Duration::from_secs(1);

/// How an attempt went, as far as the server is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// It answered as a working server does.
    Well,
    /// It has no room, for this long if it said so.
    Busy(Option<Duration>),
    /// It answered with a failure of its own, or stopped answering.
    Broken,
    /// No connection.
    Unreachable,
}

/// The servers.
#[derive(Debug)]
pub(super) struct Fleet {
    servers: Mutex<Vec<Server>>,
    urls: Vec<Url>,
    ids: Ids,
}

#[derive(Debug, Default)]
struct Server {
    in_flight: u32,
    /// Counts up with every attempt given to it, so that equals take turns.
    used: u64,
    failures: u32,
    rests: u32,
    resting_until: Option<Instant>,
}

impl Server {
    /// How willing it is; the least is asked. `None` while it must not be asked.
    fn rank(&self, now: Instant) -> Option<(u32, u64)> {
        match self.resting_until {
            Some(until) if until > now => None,
            // One attempt finds out whether it is back.
            Some(_) if self.in_flight > 0 => None,
            _ => Some((self.in_flight, self.used)),
        }
    }
}

impl Fleet {
    pub(super) fn new(urls: Vec<Url>) -> Self {
        let servers = urls.iter().map(|_| Server::default()).collect();
        Self { servers: Mutex::new(servers), urls, ids: Ids::random() }
    }

    /// The server to ask, none of those in `asked`. When every other one rests, the one that will
    /// be back first is asked nevertheless, unless somebody was asked already.
    pub(super) fn turn(&self, asked: &[usize]) -> Option<Turn<'_>> {
        let now = Instant::now();
        let mut servers = self.lock();
        let others = || (0..self.urls.len()).filter(|n| !asked.contains(n));
        let willing = others().filter_map(|n| Some((servers[n].rank(now)?, n))).min();
        let index = match willing {
            Some((_, n)) => n,
            None if asked.is_empty() => others().min_by_key(|n| servers[*n].resting_until)?,
            None => return None,
        };
        servers[index].in_flight += 1;
        servers[index].used += 1;
        Some(Turn { fleet: self, index })
    }

    fn learn(&self, index: usize, report: Report) {
        let jitter = 0.5 + self.ids.unit();
        let url = &self.urls[index];
        let mut servers = self.lock();
        let server = &mut servers[index];
        match report {
            Report::Well => {
                if server.resting_until.take().is_some() && server.rests > 0 {
                    info!(%url, "server is back");
                }
                server.failures = 0;
                server.rests = 0;
            }
            Report::Busy(after) => {
                let rest = after.unwrap_or(BUSY).min(LONGEST_REST);
                server.resting_until = Some(Instant::now() + rest);
            }
            Report::Broken | Report::Unreachable => {
                server.failures += 1;
                let again = server.resting_until.is_some();
                if report == Report::Broken && server.failures < PATIENCE && !again {
                    return;
                }
                let rest = FIRST_REST * 2u32.pow(server.rests.min(6));
                let rest = rest.min(LONGEST_REST).mul_f64(jitter);
                server.rests += 1;
                server.resting_until = Some(Instant::now() + rest);
                warn!(%url, ?rest, failures = server.failures, "server is left out for a while");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Server>> {
        // Every change is one assignment.
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One attempt at one server; counted until dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    fleet: &'a Fleet,
    index: usize,
}

impl Turn<'_> {
    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn url(&self) -> &Url {
        &self.fleet.urls[self.index]
    }

    pub(super) fn report(&self, report: Report) {
        self.fleet.learn(self.index, report);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.fleet.lock()[self.index].in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(count: usize) -> Fleet {
        Fleet::new((0..count).map(|n| format!("http://127.0.0.1:{n}").parse().unwrap()).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_spread_evenly() {
        let fleet = fleet(3);
        let turns: Vec<_> = (0..9).map(|_| fleet.turn(&[]).unwrap()).collect();
        for server in 0..3 {
            assert_eq!(turns.iter().filter(|t| t.index == server).count(), 3);
        }
        drop(turns);
        assert!(fleet.lock().iter().all(|s| s.in_flight == 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unreachable_server_rests_and_is_tried_by_one() {
        let fleet = fleet(2);
        fleet.learn(0, Report::Unreachable);
        for _ in 0..4 {
            assert_eq!(fleet.turn(&[]).unwrap().index, 1);
        }
        tokio::time::advance(Duration::from_secs(8)).await;
        let probe = fleet.turn(&[]).unwrap();
        let other = fleet.turn(&[]).unwrap();
        let third = fleet.turn(&[]).unwrap();
        let mut indices = [probe.index, other.index, third.index];
        indices.sort_unstable();
        assert_eq!(indices, [0, 1, 1], "a single attempt until it is known to be back");
        fleet.learn(0, Report::Well);
        drop((probe, other, third));
        let both = [fleet.turn(&[]).unwrap(), fleet.turn(&[]).unwrap()];
        assert_ne!(both[0].index, both[1].index);
    }

    #[tokio::test(start_paused = true)]
    async fn broken_attempts_are_forgiven_twice() {
        let fleet = fleet(2);
        fleet.learn(0, Report::Broken);
        fleet.learn(0, Report::Broken);
        assert!(fleet.lock()[0].resting_until.is_none());
        fleet.learn(0, Report::Broken);
        assert!(fleet.lock()[0].resting_until.is_some());
        let first = fleet.lock()[0].resting_until.unwrap() - Instant::now();
        fleet.learn(0, Report::Broken);
        fleet.learn(0, Report::Broken);
        let third = fleet.lock()[0].resting_until.unwrap() - Instant::now();
        assert!(third > first && third <= LONGEST_REST * 2, "{first:?} {third:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_rest_one_is_asked_all_the_same() {
        let fleet = fleet(2);
        fleet.learn(0, Report::Busy(Some(Duration::from_secs(30))));
        fleet.learn(1, Report::Busy(None));
        let turn = fleet.turn(&[]).unwrap();
        assert_eq!(turn.index, 1, "the one that is back first");
        assert!(fleet.turn(&[1]).is_none(), "but not the next");
    }
}
