//! The times and bounds of the loops.

use std::time::Duration;

use parallax_job::Buckets;
use parallax_ports::ledger::Resend;

use crate::Mutant;

/// Everything the loops may be told. `Default` is for the cloud; see [`Config::embedded`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Where objects live.
    pub buckets: Buckets,
    /// Most attempts in flight over all replicas, at least 1. Defaults to 5.
    pub max_in_flight: u32,
    /// How long one receive waits for messages. Defaults to 20 s, the queue service's most.
    pub poll_wait: Duration,
    /// How long one receive waits once the queue has been empty for a while, when that is longer. A
    /// stop waits for `poll_wait` at most and then drops such a receive. Defaults to 0.
    pub idle_poll_wait: Duration,
    /// How long a received message stays hidden unless renewed. Defaults to 120 s.
    pub visibility: Duration,
    /// Deliveries of one message before it is put aside as exhausted. Defaults to 100: attempts
    /// are bounded by the ledger, and a message that waits for its turn is delivered often.
    pub max_receives: u32,
    /// How long a reserved permit waits for a message. Defaults to 60 s.
    pub reservation: Duration,
    /// Lease of an attempt that this process keeps alive; renewed at a third. Defaults to 120 s.
    pub lease: Duration,
    /// Longest time from intent to outcome of an attempt in the backend's custody: its queueing
    /// limit, its run limit and slack. Defaults to 6600 s.
    pub deadline: Duration,
    /// Longest time from intent to outcome of such an attempt whose answer nobody knows: the time
    /// until the backend is asked, the client's patience, how long a signed call is taken, and the
    /// run limit. Defaults to 1540 s. An attempt that waits at the backend for longer than that and
    /// of which nothing is known runs without a permit.
    pub unanswered: Duration,
    /// Failed attempts before a segment and its job are given up. Defaults to 3.
    pub max_failures: u32,
    /// Attempts that may end without evidence before a segment is given up. Defaults to 8.
    pub max_attempts: u32,
    /// Wait after the first failed attempt; four times longer after each further one, at most
    /// an hour. Defaults to 30 s.
    pub retry_after: Duration,
    /// Wait after a refusal that is nobody's fault. Defaults to 5 s.
    pub refused_after: Duration,
    /// The longest that a segment waits because the backend asked for it. Defaults to 5 min.
    pub longest_retry_after: Duration,
    /// Tries of one port call in place. Defaults to 5.
    pub call_tries: u32,
    /// First wait between those, doubled each time, with full jitter. Defaults to 200 ms.
    pub call_backoff: Duration,
    /// Time between reconciling sweeps. Defaults to 30 s.
    pub sweep: Duration,
    /// How long a segment or source may stand unattended before its event counts as lost.
    /// Defaults to 5 min, doubled for each time its event was sent again.
    pub unattended: Duration,
    /// When a reassembly message is sent again.
    pub resend: Resend,
    /// Lease of a reassembly; renewed at a third. Defaults to 120 s.
    pub reassembly_lease: Duration,
    /// How long running attempts may finish after a stop was asked for. Defaults to 100 s.
    pub drain: Duration,
    /// Whether completions are recorded and reassembly asked for here. Defaults to true; false
    /// beside a deployed part that does both from a queue of its own.
    pub completes: bool,
    /// Whether the ledger says what such a part completed. Defaults to true; otherwise a segment of which
    /// nothing is recorded may be done, and its result is looked for before it is attempted again.
    pub knows_completions: bool,
    /// A deliberate bug; without effect unless the feature `mutants` is on.
    pub mutant: Option<Mutant>,
}

/// A configuration that cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Values for a deployment on cloud queues.
    pub fn new(buckets: Buckets) -> Self {
        Self {
            buckets,
            max_in_flight: 5,
            poll_wait: Duration::from_secs(20),
            idle_poll_wait: Duration::ZERO,
            visibility: Duration::from_secs(120),
            max_receives: 100,
            reservation: Duration::from_secs(60),
            lease: Duration::from_secs(120),
            deadline: Duration::from_secs(6600),
            unanswered: Self::until_asked() + Duration::from_secs(1200),
            max_failures: 3,
            max_attempts: 8,
            retry_after: Duration::from_secs(30),
            refused_after: Duration::from_secs(5),
            longest_retry_after: Duration::from_secs(300),
            call_tries: 5,
            call_backoff: Duration::from_millis(200),
            sweep: Duration::from_secs(30),
            unattended: Duration::from_secs(300),
            resend: Resend {
                unconfirmed: Duration::from_secs(60),
                unfinished: Duration::from_secs(7200),
            },
            reassembly_lease: Duration::from_secs(120),
            drain: Duration::from_secs(100),
            completes: true,
            knows_completions: true,
            mutant: None,
        }
    }

    /// The longest time from an intent to the last moment at which its backend takes the call: half
    /// a minute until it is made, ten seconds of the client's patience, and five minutes in which a
    /// service takes what was signed.
    pub fn until_asked() -> Duration {
        Duration::from_secs(30 + 10 + 300)
    }

    /// Values for everything in one process over the embedded queue and ledger.
    pub fn embedded(buckets: Buckets) -> Self {
        Self {
            poll_wait: Duration::from_secs(2),
            reservation: Duration::from_secs(10),
            retry_after: Duration::from_secs(1),
            refused_after: Duration::from_secs(1),
            sweep: Duration::from_secs(5),
            unattended: Duration::from_secs(30),
            resend: Resend {
                unconfirmed: Duration::from_secs(10),
                unfinished: Duration::from_secs(600),
            },
            ..Self::new(buckets)
        }
    }

    /// Checks that the values fit together.
    ///
    /// # Errors
    /// Names the field, its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fail = |text: String| Err(ConfigError(text));
        if !(1..=20).contains(&self.max_in_flight) {
            return fail(format!("max_in_flight {}: allowed are 1 to 20", self.max_in_flight));
        }
        if self.poll_wait > Duration::from_secs(20) {
            return fail(format!("poll_wait {:?}: at most 20 s", self.poll_wait));
        }
        if self.idle_poll_wait > Duration::from_secs(20) {
            return fail(format!("idle_poll_wait {:?}: at most 20 s", self.idle_poll_wait));
        }
        let longest = self.poll_wait.max(self.idle_poll_wait);
        if self.reservation < longest + Duration::from_secs(1) {
            return fail(format!(
                "reservation {:?}: must be longer than poll_wait and idle_poll_wait, {longest:?}",
                self.reservation
            ));
        }
        if self.max_failures == 0 || self.max_attempts < self.max_failures || self.call_tries == 0 {
            return fail(format!(
                "max_failures {}, max_attempts {}, call_tries {}: each at least 1, attempts not below failures",
                self.max_failures, self.max_attempts, self.call_tries
            ));
        }
        for (name, value) in [
            ("visibility", self.visibility),
            ("lease", self.lease),
            ("reassembly_lease", self.reassembly_lease),
        ] {
            if value < Duration::from_secs(3) || value > Duration::from_secs(12 * 3600) {
                return fail(format!("{name} {value:?}: allowed are 3 s to 12 h"));
            }
        }
        Ok(())
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        cfg!(feature = "mutants") && self.mutant == Some(mutant)
    }
}
