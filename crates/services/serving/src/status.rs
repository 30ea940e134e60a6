//! What a server is made of that its operations may look at.

use std::time::Instant;

use crate::{Executor, Readiness};

/// The executor, whether work can be taken, and since when.
#[derive(Debug)]
pub struct Status {
    pub(crate) executor: Executor,
    pub(crate) readiness: Readiness,
    pub(crate) started: Instant,
}

impl Status {
    /// The executor.
    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Whether work can be taken.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Since when it runs.
    pub fn started(&self) -> Instant {
        self.started
    }
}
