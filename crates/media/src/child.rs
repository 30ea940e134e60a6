//! One running child: stopped on cancellation, at its deadline and when its handle is dropped.
//!
//! Standard error is always drained, line by line and bounded, because a full pipe would stall
//! the child. Callers may take lines out of it; the last of the rest explain a failure.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result, escape, show_path};

/// The signal that nothing can answer.
const SIGKILL: i32 = 9;
/// How often cancellation and exit are looked at.
const POLL: Duration = Duration::from_millis(10);
/// Bytes of one line of standard error that are kept.
const LINE_BYTES: u64 = 4096;
/// Lines of standard error that are kept.
const TAIL_LINES: usize = 8;

/// A running child process.
#[derive(Debug)]
pub(crate) struct Child {
    shared: Arc<Shared>,
    watcher: Option<JoinHandle<()>>,
    stderr: Option<JoinHandle<VecDeque<String>>>,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
}

#[derive(Debug)]
struct Shared {
    process: Mutex<std::process::Child>,
    ended: Mutex<bool>,
    end: Condvar,
    cancelled: AtomicBool,
    timed_out: AtomicBool,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    cancelled: bool,
    timed_out: bool,
    /// The last lines of standard error that nobody took.
    pub(crate) tail: VecDeque<String>,
}

impl Child {
    /// Starts `command` with all three streams piped. `take` is given every line of standard
    /// error and returns whether it was meant for it; the other lines go to the tail.
    pub(crate) fn spawn(
        command: &mut Command,
        cancel: &CancellationToken,
        limit: Option<Duration>,
        take: impl FnMut(&str) -> bool + Send + 'static,
    ) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|e| {
            let program = show_path(Path::new(command.get_program()));
            Error::new(Kind::Tool, format!("start {program}: {e}"))
        })?;
        let (stdin, stdout, stderr) =
            (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let shared = Arc::new(Shared {
            process: Mutex::new(process),
            ended: Mutex::new(false),
            end: Condvar::new(),
            cancelled: AtomicBool::new(false),
            timed_out: AtomicBool::new(false),
        });
        let watched = Arc::clone(&shared);
        let (cancel, deadline) = (cancel.clone(), limit.map(|limit| Instant::now() + limit));
        let watcher = std::thread::spawn(move || watched.watch(&cancel, deadline));
        let stderr = stderr.map(|pipe| std::thread::spawn(move || drain(pipe, take)));
        Ok(Self { shared, watcher: Some(watcher), stderr, stdin, stdout })
    }

    /// Closes our ends of the pipes and waits.
    pub(crate) fn wait(mut self) -> Result<Ended> {
        self.stdin = None;
        self.stdout = None;
        let status = loop {
            let polled = lock(&self.shared.process).try_wait();
            match polled {
                Ok(Some(status)) => break status,
                Ok(None) => std::thread::sleep(POLL),
                Err(e) => return Err(Error::new(Kind::Io, format!("wait for a child: {e}"))),
            }
        };
        let tail = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Ok(Ended {
            status,
            cancelled: self.shared.cancelled.load(Ordering::SeqCst),
            timed_out: self.shared.timed_out.load(Ordering::SeqCst),
            tail,
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        *lock(&self.shared.ended) = true;
        self.shared.end.notify_all();
        {
            let mut process = lock(&self.shared.process);
            // Killing a child that was already waited for does nothing.
            let _ = process.kill();
            let _ = process.wait();
        }
        if let Some(thread) = self.watcher.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn watch(&self, cancel: &CancellationToken, deadline: Option<Instant>) {
        let mut ended = lock(&self.ended);
        while !*ended {
            let reason = if cancel.is_cancelled() {
                Some(&self.cancelled)
            } else if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                Some(&self.timed_out)
            } else {
                None
            };
            if let Some(reason) = reason {
                reason.store(true, Ordering::SeqCst);
                let _ = lock(&self.process).kill();
                return;
            }
            ended = self.end.wait_timeout(ended, POLL).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Ended {
    /// `Ok` when the child succeeded; otherwise why not, with its last words. `doing` names the
    /// operation and the file; `kind` is what a failure without a clearer cause means.
    pub(crate) fn check(&self, doing: &str, kind: Kind) -> Result<()> {
        if self.cancelled {
            return Err(Error::cancelled());
        }
        if self.timed_out {
            return Err(Error::new(Kind::Input, format!("{doing}: took longer than is allowed")));
        }
        // The muxers report some failed writes and end well all the same.
        if self.status.success() && !self.out_of_space() {
            return Ok(());
        }
        Err(self.failure(doing, kind))
    }

    fn out_of_space(&self) -> bool {
        let signs = ["No space left on device", "quota exceeded", "File too large"];
        self.tail.iter().any(|line| signs.iter().any(|sign| line.contains(sign)))
    }

    /// The error that quotes this child's last words.
    pub(crate) fn failure(&self, doing: &str, kind: Kind) -> Error {
        if self.cancelled {
            return Error::cancelled();
        }
        if self.out_of_space() {
            return Error::new(Kind::Space, format!("{doing}: no space left on the device"));
        }
        // By the machine, which may do so for want of memory: not the file's doing.
        if self.status.signal() == Some(SIGKILL) {
            return Error::new(
                Kind::Io,
                format!("{doing}: ffmpeg was killed, as happens when memory runs out"),
            );
        }
        let said = self.words();
        let kind = if said.contains("Permission denied") || said.contains("Read-only file system") {
            Kind::Io
        } else if said.contains("Unknown encoder") || said.contains("Unrecognized option") {
            Kind::Tool
        } else {
            kind
        };
        if said.is_empty() {
            return Error::new(kind, format!("{doing}: ended with {}", self.status));
        }
        Error::new(kind, format!("{doing}: {said}"))
    }

    /// The last lines of standard error as one bounded, escaped line.
    pub(crate) fn words(&self) -> String {
        let mut lines: Vec<String> =
            self.tail.iter().map(|line| escape(message_of(line), 300)).collect();
        lines.dedup();
        let skip = lines.len().saturating_sub(4);
        lines[skip..].join("; ")
    }
}

/// A line without what only ffmpeg's developers need: the address of the part that speaks, the
/// level, and the name of the file, which the error names already.
fn message_of(line: &str) -> &str {
    let mut rest = line.trim();
    while let Some((head, tail)) = rest.strip_prefix('[').and_then(|inner| inner.split_once("] ")) {
        if !head.contains(" @ 0x") && !matches!(head, "error" | "fatal" | "panic") {
            break;
        }
        rest = tail;
    }
    match rest.strip_prefix("file:").and_then(|named| named.rsplit_once(": ")) {
        Some((_, why)) => why,
        None => rest,
    }
}

/// Runs to the end, giving every line of standard output to `line`.
pub(crate) fn run(
    command: &mut Command,
    cancel: &CancellationToken,
    limit: Option<Duration>,
    mut line: impl FnMut(&str) -> Result<()>,
) -> Result<Ended> {
    let mut child = Child::spawn(command, cancel, limit, |_| false)?;
    child.stdin = None;
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = BufReader::with_capacity(1 << 16, stdout);
        while let Some(text) = bounded_line(&mut stdout) {
            line(&text)?;
        }
    }
    child.wait()
}

/// Runs to the end and returns at most `limit_bytes` of standard output.
pub(crate) fn capture(
    command: &mut Command,
    cancel: &CancellationToken,
    limit: Option<Duration>,
    limit_bytes: u64,
) -> Result<(Vec<u8>, Ended)> {
    let mut child = Child::spawn(command, cancel, limit, |_| false)?;
    child.stdin = None;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // A failed read shows as a failed child or as unreadable output.
        let _ = stdout.take(limit_bytes).read_to_end(&mut output);
    }
    Ok((output, child.wait()?))
}

fn drain(pipe: ChildStderr, mut take: impl FnMut(&str) -> bool) -> VecDeque<String> {
    let mut tail = VecDeque::new();
    let mut pipe = BufReader::new(pipe);
    while let Some(line) = bounded_line(&mut pipe) {
        if take(&line) || line.trim().is_empty() {
            continue;
        }
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    tail
}

/// The next line without its end; what exceeds the bound is dropped. `None` at the end.
fn bounded_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    let mut read = reader.take(LINE_BYTES).read_until(b'\n', &mut line).ok()?;
    if read == 0 {
        return None;
    }
    let mut whole = line.ends_with(b"\n");
    while !whole && read > 0 {
        let mut rest = Vec::new();
        read = reader.take(LINE_BYTES).read_until(b'\n', &mut rest).ok()?;
        whole = rest.ends_with(b"\n");
    }
    Some(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn cancelling_kills_the_child() {
        let cancel = CancellationToken::new();
        let child = Child::spawn(&mut shell("exec sleep 60"), &cancel, None, |_| false).unwrap();
        cancel.cancel();
        let started = Instant::now();
        let ended = child.wait().unwrap();
        assert!(started.elapsed() < Duration::from_secs(10));
        assert_eq!(ended.check("sleep", Kind::Io).unwrap_err().kind(), Kind::Cancelled);
    }

    #[test]
    fn dropping_the_handle_kills_the_child() {
        let cancel = CancellationToken::new();
        let child = Child::spawn(&mut shell("exec sleep 60"), &cancel, None, |_| false).unwrap();
        let pid = lock(&child.shared.process).id();
        drop(child);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_deadline_ends_the_child() {
        let limit = Some(Duration::from_millis(50));
        let cancel = CancellationToken::new();
        let ended = run(&mut shell("exec sleep 60"), &cancel, limit, |_| Ok(())).unwrap();
        let error = ended.check("probe x", Kind::Input).unwrap_err();
        assert!(error.to_string().contains("longer than is allowed"), "{error}");
    }

    #[test]
    fn what_only_developers_need_is_left_out() {
        for (line, said) in [
            ("[mov,mp4 @ 0x55f0] [error] moov atom not found", "moov atom not found"),
            ("[error] file:/a: b/c.mp4: Invalid data found", "Invalid data found"),
            ("[libx264 @ 0x1] [error] [x] bad", "[x] bad"),
            ("plain [error] text", "plain [error] text"),
        ] {
            assert_eq!(message_of(line), said);
        }
    }

    #[test]
    fn a_full_disk_is_told_even_when_the_child_ends_well() {
        let cancel = CancellationToken::new();
        let script = "echo 'Error closing file x: No space left on device' >&2";
        let ended = run(&mut shell(script), &cancel, None, |_| Ok(())).unwrap();
        assert_eq!(ended.check("encode x", Kind::Io).unwrap_err().kind(), Kind::Space);
    }

    #[test]
    fn long_and_many_lines_of_standard_error_stay_bounded() {
        let script = "i=0; while [ $i -lt 50 ]; do echo line $i >&2; i=$((i+1)); done; \
                      head -c 100000 /dev/zero | tr '\\0' x >&2; exit 3";
        let cancel = CancellationToken::new();
        let ended = run(&mut shell(script), &cancel, None, |_| Ok(())).unwrap();
        assert_eq!(ended.tail.len(), TAIL_LINES);
        let error = ended.check("thing", Kind::Input).unwrap_err().to_string();
        assert!(error.len() < 1000 && error.contains("line 49"), "{error}");
    }
}
