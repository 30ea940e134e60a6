//! Asking loops to stop, and what becomes of their tasks.

use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A request to stop. Soft: nothing new is begun, running work may finish. Hard: running work is
/// cancelled and its messages are handed back.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Begin nothing new.
    pub soft: CancellationToken,
    /// Cancel what runs.
    pub hard: CancellationToken,
}

impl Stop {
    /// Waits, or returns early when a stop is asked for.
    pub(crate) async fn pause(&self, time: Duration) {
        tokio::select! {
            biased;
            () = self.soft.cancelled() => {}
            () = sleep(time) => {}
        }
    }
}

/// Takes finished tasks out of a set; a panic among them goes on.
pub(crate) fn reap<T: 'static>(tasks: &mut JoinSet<T>) {
    while let Some(done) = tasks.try_join_next() {
        propagate(done);
    }
}

/// A task's panic is the loop's panic: dying loudly beats running on without it.
pub(crate) fn propagate<T>(done: Result<T, JoinError>) {
    if let Err(error) = done
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
