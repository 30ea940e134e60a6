//! What goes on beside a child: whether it may go on, what it says, whether it is there.

use std::collections::VecDeque;
use std::io::BufReader;
use std::process::ChildStderr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio_util::sync::CancellationToken;

use super::line::{Line, bounded_line};
use super::patience::{Account, Patience};

/// How often cancellation and exit are looked at.
pub(super) const POLL: Duration = Duration::from_millis(10);
/// Bytes of messages, without anything useful between them, after which a child is ended. The
/// most that ffmpeg says of one damaged picture is some ten kilobytes.
pub(super) const NOISE_BYTES: u64 = 64 << 20;
/// Lines of standard error that are kept.
pub(super) const TAIL_LINES: usize = 8;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) process: Mutex<std::process::Child>,
    pub(super) group: Pid,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    pub(super) tail: Mutex<VecDeque<String>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The handle is gone, or the child.
    pub(super) over: bool,
    pub(super) verdict: Option<Verdict>,
    /// Since when we wait for something useful.
    pub(super) waiting: Option<Instant>,
    /// What we waited for in all.
    pub(super) account: Account,
    /// Bytes of messages since something useful.
    pub(super) noise: u64,
}

/// Why we ended a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Cancelled,
    TookTooLong,
    Stalled(Duration),
    TooSlow,
    Noisy,
}

impl Shared {
    pub(super) fn waits(&self) {
        lock(&self.state).waiting.get_or_insert_with(Instant::now);
    }

    /// Something useful came, of so many bytes.
    pub(super) fn served(&self, bytes: usize) {
        let mut state = lock(&self.state);
        let waited = state.waiting.map_or(Duration::ZERO, |since| since.elapsed());
        state.account.moved(waited, bytes);
        (state.waiting, state.noise) = (None, 0);
    }

    /// Ends the child and all that it started. Only before it was reaped: later its number may be
    /// somebody else's.
    pub(super) fn kill(&self) {
        let _ = killpg(self.group, Signal::SIGKILL);
    }

    /// Whether the child has ended. Then what it started is ended too, or it would hold our pipes.
    pub(super) fn exited(&self) -> bool {
        // So that nobody reaps it between the look and the kill.
        let _process = lock(&self.process);
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.group), look) {
            Ok(WaitStatus::StillAlive) => false,
            Ok(_) => {
                self.kill();
                true
            }
            // Reaped already.
            Err(_) => true,
        }
    }

    pub(super) fn watch(&self, cancel: &CancellationToken, patience: Patience) {
        let deadline = patience.wall.map(|wall| Instant::now() + wall);
        loop {
            let mut state = lock(&self.state);
            if state.over {
                return;
            }
            let waiting = state.waiting.map(|since| since.elapsed());
            let stalled = waiting.is_some_and(|waiting| waiting >= patience.stall);
            let waiting = waiting.unwrap_or_default();
            let verdict = if cancel.is_cancelled() {
                Some(Verdict::Cancelled)
            } else if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                Some(Verdict::TookTooLong)
            } else if state.noise > NOISE_BYTES {
                Some(Verdict::Noisy)
            } else if stalled {
                Some(Verdict::Stalled(patience.stall))
            } else if state.account.is_overdrawn(&patience, waiting) {
                Some(Verdict::TooSlow)
            } else {
                None
            };
            state.verdict = verdict;
            drop(self.changed.wait_timeout(state, POLL).unwrap_or_else(PoisonError::into_inner));
            if self.exited() {
                return;
            }
            if verdict.is_some() {
                self.kill();
                return;
            }
        }
    }

    pub(super) fn drain<L: Into<Line>>(&self, pipe: ChildStderr, mut take: impl FnMut(&str) -> L) {
        let mut pipe = BufReader::new(pipe);
        while let Some((line, bytes)) = bounded_line(&mut pipe) {
            let kind = take(&line).into();
            let mut state = lock(&self.state);
            if kind == Line::Progress {
                state.noise = 0;
                let now = Instant::now();
                let waited = state.waiting.map_or(Duration::ZERO, |since| now - since);
                state.account.showed(waited);
                state.waiting = state.waiting.map(|_| now);
            } else {
                state.noise += bytes;
            }
            drop(state);
            if kind != Line::Words || line.trim().is_empty() {
                continue;
            }
            let mut tail = lock(&self.tail);
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(line);
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
