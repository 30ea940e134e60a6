//! Which connections ask for nothing, and since when.
//!
//! A connection is idle before its first request and from the moment that an answer has been handed to
//! the system until the next request's head is whole. Only then does nobody lose anything with it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// For so long an idle connection stays whoever needs its place: a request may be on its way. A head comes
/// right after its connection, so whoever sends one is served even when many come at once.
pub(crate) const MOMENT: Duration = Duration::from_millis(250);

/// What came of asking for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// A connection ends.
    Made,
    /// There may be some then.
    Later(Instant),
    /// No connection is idle.
    None,
}

/// The idle connections.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    line: Mutex<Line>,
    /// Told when a connection becomes idle.
    pub(crate) more: Notify,
}

/// In the order in which they became idle.
#[derive(Debug, Default)]
struct Line {
    next: u64,
    waiting: BTreeMap<u64, (Instant, CancellationToken)>,
}

impl Idle {
    /// Ends the connection that has been idle the longest, if that is a [`MOMENT`] by `now`.
    pub(crate) fn end_oldest(&self, now: Instant) -> Room {
        let mut line = lock(&self.line);
        let Some(oldest) = line.waiting.first_entry() else { return Room::None };
        let until = oldest.get().0 + MOMENT;
        if now < until {
            return Room::Later(until);
        }
        let (_, end) = oldest.remove();
        end.cancel();
        Room::Made
    }

    fn enter(&self, end: &CancellationToken) -> u64 {
        let mut line = lock(&self.line);
        let number = line.next;
        line.next += 1;
        line.waiting.insert(number, (Instant::now(), end.clone()));
        drop(line);
        self.more.notify_one();
        number
    }

    fn leave(&self, number: u64) {
        lock(&self.line).waiting.remove(&number);
    }
}

/// A connection among the others; gone when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    idle: Arc<Idle>,
    state: Mutex<State>,
    /// Cancelled when the connection has to make room.
    pub(crate) end: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Idle, under this number.
    Idle(u64),
    /// A request is being answered.
    Busy,
    /// The answer is complete and on its way.
    Answered,
}

impl Seat {
    /// For a new connection, which is idle.
    pub(crate) fn new(idle: Arc<Idle>) -> Arc<Self> {
        let end = CancellationToken::new();
        let number = idle.enter(&end);
        Arc::new(Self { idle, state: Mutex::new(State::Idle(number)), end })
    }

    /// A request's head is whole.
    pub(crate) fn asked(&self) {
        let mut state = lock(&self.state);
        if let State::Idle(number) = *state {
            self.idle.leave(number);
        }
        *state = State::Busy;
    }

    /// The answer's body is complete.
    fn answered(&self) {
        *lock(&self.state) = State::Answered;
    }

    /// Whatever was to be written has been.
    pub(crate) fn flushed(&self) {
        let mut state = lock(&self.state);
        if let State::Answered = *state {
            *state = State::Idle(self.idle.enter(&self.end));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let State::Idle(number) = *lock(&self.state) {
            self.idle.leave(number);
        }
    }
}

/// An answer's body, which tells of its end.
pub(crate) struct Answer<B> {
    body: B,
    seat: Arc<Seat>,
}

impl<B> Answer<B> {
    pub(crate) fn new(body: B, seat: Arc<Seat>) -> Self {
        Self { body, seat }
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        self.seat.answered();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_idle_make_room_and_the_oldest_first() {
        let idle = Arc::new(Idle::default());
        let seats: Vec<_> = (0..3).map(|_| Seat::new(idle.clone())).collect();
        let ended = || seats.iter().map(|seat| seat.end.is_cancelled()).collect::<Vec<_>>();
        assert!(matches!(idle.end_oldest(Instant::now()), Room::Later(_)), "all have just come");
        let end_oldest = || idle.end_oldest(Instant::now() + MOMENT);
        seats[0].asked();
        assert_eq!(end_oldest(), Room::Made);
        assert_eq!(ended(), [false, true, false], "the first is busy");
        // An answer on its way is not lost.
        seats[2].asked();
        seats[2].answered();
        assert_eq!(end_oldest(), Room::None);
        seats[0].flushed();
        assert_eq!(end_oldest(), Room::None, "what was flushed was no answer yet");
        seats[2].flushed();
        seats[0].answered();
        seats[0].flushed();
        assert_eq!(end_oldest(), Room::Made);
        assert_eq!(ended(), [false, true, true], "the third was idle before the first");
        drop(seats);
        assert_eq!(end_oldest(), Room::None, "who is gone is not in line");
        assert!(lock(&idle.line).waiting.is_empty());
    }
}
