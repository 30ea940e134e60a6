//! Progress updates on their way out: never waited for, never many.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::Notify;

/// Updates that wait; a further one takes the place of the oldest.
const WAITING: usize = 32;

/// A queue that forgets the oldest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    closed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Value>,
    closed: bool,
}

impl Progress {
    pub(crate) fn push(&self, update: Value) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        if state.waiting.len() == WAITING {
            state.waiting.pop_front();
        }
        state.waiting.push_back(update);
        drop(state);
        self.0.changed.notify_one();
    }

    /// Takes no more; what waits can still be had.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.0.changed.notify_one();
        self.0.closed.notify_one();
    }

    /// The next update; `None` when closed and empty. For one reader.
    pub(crate) async fn next(&self) -> Option<Value> {
        loop {
            let found = {
                let mut state = self.lock();
                let next = state.waiting.pop_front();
                if next.is_some() || state.closed { Some(next) } else { None }
            };
            match found {
                Some(next) => return next,
                None => self.0.changed.notified().await,
            }
        }
    }

    /// Returns once closed. For one waiter.
    pub(crate) async fn closed(&self) {
        self.0.closed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves a whole queue.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_updates_are_kept_in_order() {
        let progress = Progress::default();
        for n in 0..100 {
            progress.push(n.into());
        }
        progress.close();
        progress.push("late".into());
        let mut seen = Vec::new();
        while let Some(update) = progress.next().await {
            seen.push(update);
        }
        let expected: Vec<Value> = (68..100).map(Value::from).collect();
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn a_reader_is_woken() {
        let progress = Progress::default();
        let reader = tokio::spawn({
            let progress = progress.clone();
            async move { (progress.next().await, progress.next().await) }
        });
        tokio::task::yield_now().await;
        progress.push(1.into());
        tokio::task::yield_now().await;
        progress.close();
        assert_eq!(reader.await.unwrap(), (Some(1.into()), None));
    }
}
