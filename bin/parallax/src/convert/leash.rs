//! A conversion that another program started ends with it, in whatever way that ended.

use std::io::{Read, stdin};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Stops this process as a person would, once standard input ends. The parent holds the other end, which the
/// system closes even for one that was killed.
pub(super) fn stop_with_parent() {
    thread::spawn(|| {
        let mut ignored = [0; 64];
        while matches!(stdin().read(&mut ignored), Ok(1..)) {}
        let _ = kill(Pid::this(), Signal::SIGTERM);
    });
}
