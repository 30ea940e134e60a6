//! What one history is about.

use std::time::Duration;

use parallax_conformance::fault::Rates;
use parallax_conformance::weak::{EventWeakness, QueueWeakness};
use parallax_ports::{Custody, Kind};
use parallax_worker::Mutant;
use rand::RngExt;
use rand::rngs::StdRng;

use super::endpoint::Weakness;
use super::server::Moods;

#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    /// How much goes wrong, 1 for the usual amount; 0 for nothing.
    pub trouble: f64,
    pub mutant: Option<Mutant>,
    /// Fixed instead of drawn from the seed.
    pub shape: Option<Shape>,
    /// Crashes at certain calls, in place of everything else that may go wrong.
    pub crashes: Vec<Crash>,
    /// The longest that the model takes for a segment.
    pub longest_run: Duration,
    /// Short outages of the ledger, beside those that are drawn.
    pub ledger_outages: u32,
    /// Times in which the queues do not answer.
    pub silences: u32,
    /// Leases as short as some are, in place of a draw.
    pub short_leases: bool,
    /// Whether every job is cut anew as soon as it may be.
    pub recuts: bool,
    /// Times in which the backend refuses everything, at queues that give up after five deliveries.
    pub refusals: u32,
    /// Times in which the ledger or the store refuses or does not answer, at such queues.
    pub service_outages: u32,
    /// Whether the endpoint tells of outcomes by its topics and leaves no objects about failures.
    pub topics: bool,
    /// Whether some processes are of the previous release.
    pub mixed: bool,
    /// How often all replicas are drained at once, at random times.
    pub halts: u32,
    /// Whether to keep a line for everything that happens.
    pub traced: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub custody: Custody,
    pub replicas: u64,
    pub jobs: u32,
    /// Of every job; drawn when `None`.
    pub segments: Option<u32>,
}

/// A crash at a port call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    pub replica: u64,
    /// Which of its lives, from 0.
    pub life: u32,
    /// Which call of that life, from 0; beyond the last one none happens.
    pub at: u64,
    /// After the call's effect instead of before it.
    pub after: bool,
}

impl Scenario {
    pub fn troubled(seed: u64) -> Self {
        Self { trouble: 1.0, ..Self::calm(seed) }
    }

    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            trouble: 0.0,
            mutant: None,
            shape: None,
            crashes: Vec::new(),
            longest_run: Duration::from_secs(600),
            ledger_outages: 0,
            silences: 0,
            short_leases: false,
            recuts: false,
            refusals: 0,
            service_outages: 0,
            topics: false,
            mixed: false,
            halts: 0,
            traced: false,
        }
    }

    /// Times in which everything has to wait and no message may be given up for that.
    pub fn patience(&self) -> u32 {
        self.refusals + self.service_outages
    }

    pub fn is_calm(&self) -> bool {
        self.trouble == 0.0 && !self.recuts && self.patience() == 0 && self.crashes.is_empty()
    }
}

/// How much goes wrong where, in one history.
#[derive(Debug, Clone, Copy)]
pub struct Climate {
    pub rates: Rates,
    pub queues: QueueWeakness,
    pub events: EventWeakness,
    pub moods: Moods,
    pub endpoint: Weakness,
    /// Of attempts in the caller's custody, and of reassemblies.
    pub lease: Duration,
    /// Longest difference of a replica's clock from the true time.
    pub clock_skew: Duration,
    /// Longest difference of a clock that is wrong by far; nobody's is where this is 0.
    pub wrong_clock: Duration,
    /// By how much the object store's clock is ahead of the true time, in milliseconds.
    pub store_ahead_ms: i64,
    /// The same of the queue's, which besides goes at a pace of its own.
    pub queue_ahead_ms: i64,
    /// Deliveries after which the queues move a message to their dead letters.
    pub policy: Option<u32>,
    pub topics: Topics,
    /// Chance of a process to be of the previous release.
    pub previous: f64,
    /// Chance of an outage of one service.
    pub outage: f64,
    /// Whether jobs are cut anew now and then.
    pub recuts: bool,
    /// Whether replicas are drained and started anew now and then.
    pub deployments: bool,
}

/// By what an endpoint's outcomes become known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topics {
    /// Objects alone.
    None,
    /// Objects, and messages of its topics.
    Beside,
    /// Messages, and objects of successes alone.
    Instead,
}

impl Climate {
    /// The lease that deployments have unless they are told otherwise.
    const LEASE: Duration = Duration::from_secs(120);

    /// Nothing goes wrong, but calls take their time.
    const SLOW: Rates = Rates { delay: 0.3, longest: Duration::from_secs(2), ..Rates::NONE };

    pub fn draw(scenario: &Scenario, rng: &mut StdRng) -> Self {
        let trouble = scenario.trouble;
        let amount = trouble * rng.random_range(0.2..1.5);
        // Mostly few: a process that dies every minute sees little else.
        let mortality = rng.random::<f64>().powi(2);
        // Which kinds of trouble a history has differs: what meets everywhere at once would hide
        // what needs one of them in quantity.
        let short = trouble > 0.0 && (rng.random_bool(0.4) || scenario.short_leases);
        let share = if short { rng.random_range(0.1..0.5) } else { 1.0 };
        let recuts = scenario.recuts || (trouble > 0.0 && rng.random_bool(0.1));
        // What runs without anybody's knowledge may overwrite any result, another cut's too.
        let known = if recuts { 0.0 } else { 1.0 };
        let topics = match rng.random_range(0..4) {
            _ if scenario.topics => Topics::Instead,
            0 => Topics::Beside,
            1 => Topics::Instead,
            _ => Topics::None,
        };
        let policy = match scenario.patience() {
            0 => (trouble > 0.0 && rng.random_bool(0.3)).then(|| rng.random_range(5..=20)),
            _ => Some(5),
        };
        let mixed = scenario.mixed || (trouble > 0.0 && rng.random_bool(0.2));
        let mut some = |rate: f64| if rng.random_bool(0.8) { rate * amount } else { 0.0 };
        // What comes late for a short lease and in time for a long one.
        let (delay, longest) = match scenario.short_leases {
            true => (0.1, Duration::from_secs(60)),
            false => (some(0.01), Duration::from_secs(200)),
        };
        Self {
            rates: match trouble {
                0.0 => Self::SLOW,
                _ => Rates { delay, longest, ..rates(&mut some, mortality) },
            },
            queues: QueueWeakness {
                again: some(0.03),
                undead: some(0.02),
                empty: some(0.05),
                shuffle: some(0.2),
                lag: some(0.05),
                stale: 0.3,
                pace: some(0.05) - some(0.05),
            },
            events: EventWeakness {
                lose: some(0.05),
                double: some(0.08),
                late: some(0.1),
                latest: Duration::from_secs(7200),
                gather: some(0.1),
            },
            moods: Moods {
                fail: some(0.06),
                reject: some(0.004),
                lie: some(0.02) * known,
                vanish: some(0.01),
                busy: some(0.05),
            },
            endpoint: endpoint(&mut some, topics, known),
            lease: Self::LEASE.mul_f64(share),
            // Clocks must agree better where leases are short.
            clock_skew: Duration::from_secs_f64(some(10.0).min(15.0)).mul_f64(share),
            wrong_clock: Duration::from_secs_f64(some(1.0).min(1.0) * 3600.0),
            store_ahead_ms: ((some(1.0) - some(1.0)) * 1_800_000.0) as i64,
            queue_ahead_ms: ((some(1.0) - some(1.0)) * 600_000.0) as i64,
            policy,
            topics,
            previous: if mixed { 0.5 } else { 0.0 },
            outage: some(0.3),
            recuts,
            deployments: trouble > 0.0,
        }
    }
}

/// Faults of calls, apart from delays; `some` draws how often one happens.
fn rates(some: &mut impl FnMut(f64) -> f64, mortality: f64) -> Rates {
    Rates {
        refuse: some(0.01),
        lose_reply: some(0.01),
        late: some(0.004),
        pause: some(0.0005),
        longest_pause: Duration::from_secs(900),
        crash: some(0.004) * mortality,
        torn: some(0.05),
        ..Rates::NONE
    }
}

/// Faults of the endpoint; `known` is 0 where nothing may run without anybody's knowledge.
fn endpoint(some: &mut impl FnMut(f64) -> f64, topics: Topics, known: f64) -> Weakness {
    Weakness {
        throttle: some(0.05),
        break_before: some(0.01),
        break_after: some(0.01) * known,
        late: some(0.01) * known,
        no_failure_location: if topics == Topics::Instead { 1.0 } else { some(0.05) },
        die: some(0.02),
        double: some(0.02) * known,
        overrun: some(0.01) * known,
        half: some(0.02),
        cold: some(0.05),
    }
}

/// What a service out of order says.
pub const OUTAGES: [(&str, Kind); 13] = [
    ("ledger.", Kind::Throttled),
    ("ledger.", Kind::Unavailable),
    ("objects.", Kind::Throttled),
    ("objects.", Kind::Unauthorized),
    ("queue.", Kind::Unavailable),
    ("backend.", Kind::Throttled),
    ("backend.", Kind::Unavailable),
    ("backend.", Kind::Unauthorized),
    ("ledger.", Kind::Timeout),
    ("objects.", Kind::Timeout),
    ("queue.", Kind::Timeout),
    ("queue.change_visibility", Kind::Timeout),
    ("backend.", Kind::Timeout),
];
