//! How long a child is waited for.

use std::time::Duration;

use crate::limits::STALL;

/// How long a child is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Wall time from its start to its end.
    pub(crate) wall: Option<Duration>,
    /// Time that we wait, at a stretch, for anything useful of it: a byte, taking one, its end.
    pub(crate) stall: Duration,
    /// Signs of work, without any bytes, that are believed.
    pub(crate) signs: u64,
}

/// The slowest that a child may be at a pipe, in bytes a second, once it has let us wait for as long in all
/// as it may at a stretch: a picture of 1080 lines in 48 seconds.
const SLOWEST: u64 = 64 << 10;
/// How long a child may take between two signs that it works, on average.
const SIGN: Duration = Duration::from_secs(2);

/// How long we have waited for a child in all, and how long what it did meanwhile may take. One that gives a
/// byte now and then is never still for long, and never done.
#[derive(Debug, Default)]
pub(super) struct Account {
    waited: Duration,
    earned: Duration,
    signs: u64,
}

impl Account {
    /// It has let us wait for so long, and then moved so many bytes.
    pub(super) fn moved(&mut self, waited: Duration, bytes: usize) {
        self.waited += waited;
        self.earned += Duration::from_micros(bytes as u64 * 1_000_000 / SLOWEST);
    }

    /// It has let us wait for so long, and then shown that it works.
    pub(super) fn showed(&mut self, waited: Duration) {
        self.waited += waited;
        self.earned += SIGN;
        self.signs += 1;
    }

    /// Whether it made too little of the time, with so much of it since the last that it did.
    pub(super) fn is_overdrawn(&self, patience: &Patience, waiting: Duration) -> bool {
        self.signs > patience.signs || self.waited + waiting > patience.stall + self.earned
    }
}

impl From<Option<Duration>> for Patience {
    fn from(wall: Option<Duration>) -> Self {
        Self { wall, stall: STALL, signs: u64::MAX }
    }
}
