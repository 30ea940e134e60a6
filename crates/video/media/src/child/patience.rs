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
}

impl From<Option<Duration>> for Patience {
    fn from(wall: Option<Duration>) -> Self {
        Self { wall, stall: STALL }
    }
}
