//! One running child: stopped on cancellation, at its deadline and when its handle is dropped.
//!
//! Standard error is always drained, line by line and bounded, because a full pipe would stall
//! the child. Callers may take lines out of it; the last of the rest explain a failure.

mod line;
mod patience;
mod watch;

use std::collections::VecDeque;
use std::io::{BufReader, Read, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::unistd::Pid;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result, escape, show_path};
pub(crate) use line::{Line, bounded_line};
pub(crate) use patience::Patience;
use watch::{NOISE_BYTES, POLL, Shared, Verdict, lock};

/// The signal that nothing can answer.
const SIGKILL: i32 = 9;
/// Signals by which the system ends whoever exceeds a limit, SIGXCPU and SIGXFSZ, and what that one did.
const ENDED_BY: [(i32, &str); 2] = [(24, "used more processor time"), (25, "wrote a larger file")];
/// How long the last words are waited for once nobody of the child's group is left to speak.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A running child process, with everything that it starts in a process group of its own.
#[derive(Debug)]
pub(crate) struct Child {
    shared: Arc<Shared>,
    watcher: Option<JoinHandle<()>>,
    /// Says that standard error is at its end.
    silent: Receiver<()>,
    pub(crate) stdin: Option<Pipe<ChildStdin>>,
    pub(crate) stdout: Option<Pipe<ChildStdout>>,
}

/// Our end of a child's pipe: the time that we wait at it is counted.
#[derive(Debug)]
pub(crate) struct Pipe<T> {
    pub(crate) inner: T,
    shared: Arc<Shared>,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    verdict: Option<Verdict>,
    /// The last lines of standard error that nobody took.
    pub(crate) tail: VecDeque<String>,
}

impl Child {
    /// Starts `command` with all three streams piped. `take` is given every line of standard
    /// error and says what it is: what nobody takes goes to the tail.
    pub(crate) fn spawn<L: Into<Line>>(
        command: &mut Command,
        cancel: &CancellationToken,
        patience: impl Into<Patience>,
        take: impl FnMut(&str) -> L + Send + 'static,
    ) -> Result<Self> {
        Self::spawn_with(command, Stdio::piped(), cancel, patience, take)
    }

    /// As [`Child::spawn`], with something else as its standard input.
    pub(crate) fn spawn_with<L: Into<Line>>(
        command: &mut Command,
        stdin: Stdio,
        cancel: &CancellationToken,
        patience: impl Into<Patience>,
        take: impl FnMut(&str) -> L + Send + 'static,
    ) -> Result<Self> {
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut process = command.spawn().map_err(|e| {
            let program = show_path(Path::new(command.get_program()));
            Error::new(Kind::Tool, format!("start {program}: {e}"))
        })?;
        let (stdin, stdout, stderr) =
            (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let shared = Arc::new(Shared {
            group: Pid::from_raw(process.id().cast_signed()),
            process: Mutex::new(process),
            state: Mutex::default(),
            changed: Condvar::new(),
            tail: Mutex::default(),
        });
        let watched = Arc::clone(&shared);
        let (cancel, patience) = (cancel.clone(), patience.into());
        let watcher = std::thread::spawn(move || watched.watch(&cancel, patience));
        let (done, silent) = channel();
        if let Some(pipe) = stderr {
            let heard = Arc::clone(&shared);
            std::thread::spawn(move || {
                heard.drain(pipe, take);
                // Nobody may be left who wants to know.
                let _ = done.send(());
            });
        }
        let stdin = stdin.map(|inner| Pipe { inner, shared: Arc::clone(&shared) });
        let stdout = stdout.map(|inner| Pipe { inner, shared: Arc::clone(&shared) });
        Ok(Self { shared, watcher: Some(watcher), silent, stdin, stdout })
    }

    /// Waits in `wait` for something that the child must do, no longer than is allowed.
    pub(crate) fn waiting<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.shared.waits();
        let result = wait();
        self.shared.served(0);
        result
    }

    /// Closes our ends of the pipes and waits.
    pub(crate) fn wait(mut self) -> Result<Ended> {
        self.stdin = None;
        self.stdout = None;
        self.shared.waits();
        while !self.shared.exited() {
            std::thread::sleep(POLL);
        }
        let status = lock(&self.shared.process)
            .wait()
            .map_err(|e| Error::new(Kind::Io, format!("wait for a child: {e}")))?;
        // Who left the group may hold the pipe for ever; a disconnection means the end too.
        let _ = self.silent.recv_timeout(LAST_WORDS);
        let verdict = lock(&self.shared.state).verdict;
        let tail = std::mem::take(&mut *lock(&self.shared.tail));
        Ok(Ended { status, verdict, tail })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        lock(&self.shared.state).over = true;
        self.shared.changed.notify_all();
        // What an ended child left behind must not outlive it.
        self.shared.exited();
        {
            let mut process = lock(&self.shared.process);
            if matches!(process.try_wait(), Ok(None)) {
                self.shared.kill();
            }
            let _ = process.wait();
        }
        if let Some(thread) = self.watcher.take() {
            let _ = thread.join();
        }
    }
}

impl<T: Read> Read for Pipe<T> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.shared.waits();
        let read = self.inner.read(buffer);
        self.shared.served(read.as_ref().copied().unwrap_or_default());
        read
    }
}

impl<T: Write> Write for Pipe<T> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.shared.waits();
        let written = self.inner.write(bytes);
        self.shared.served(written.as_ref().copied().unwrap_or_default());
        written
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl Ended {
    /// `Ok` when the child succeeded; otherwise why not, with its last words. `doing` names the
    /// operation and the file; `kind` is what a failure without a clearer cause means.
    pub(crate) fn check(&self, doing: &str, kind: Kind) -> Result<()> {
        // The muxers report some failed writes and end well all the same.
        if self.verdict.is_none() && self.status.success() && !self.out_of_space() {
            return Ok(());
        }
        Err(self.failure(doing, kind))
    }

    /// Whether the child itself gave up, of which its last words tell more.
    pub(crate) fn gave_up(&self) -> bool {
        self.verdict.is_none() && self.status.code().is_some_and(|code| code != 0)
    }

    /// Whether it was ended before it came to its own end.
    pub(crate) fn was_ended(&self) -> bool {
        self.verdict.is_some()
    }

    fn verdict(&self, doing: &str, kind: Kind) -> Option<Error> {
        let (kind, what) = match self.verdict? {
            Verdict::Cancelled => return Some(Error::cancelled()),
            Verdict::TookTooLong => (Kind::Input, "took longer than is allowed".to_owned()),
            Verdict::Stalled(time) => {
                let seconds = time.as_secs_f64();
                (kind, format!("ffmpeg did nothing for {seconds} s and was ended"))
            }
            Verdict::TooSlow => {
                (kind, "ffmpeg made too little of its time and was ended".to_owned())
            }
            Verdict::Noisy => {
                let mib = NOISE_BYTES >> 20;
                (kind, format!("ffmpeg wrote {mib} MiB of messages and nothing else: ended"))
            }
        };
        let said = if self.verdict == Some(Verdict::Noisy) { String::new() } else { self.words() };
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Some(Error::new(kind, format!("{doing}: {what}{said}")))
    }

    /// Whether it was ended because it took longer than it was allowed.
    pub(crate) fn timed_out(&self) -> bool {
        matches!(self.verdict, Some(Verdict::TookTooLong | Verdict::Stalled(_) | Verdict::TooSlow))
    }

    fn out_of_space(&self) -> bool {
        let signs = ["No space left on device", "quota exceeded", "File too large"];
        self.tail.iter().any(|line| signs.iter().any(|sign| line.contains(sign)))
    }

    /// The error that quotes this child's last words.
    pub(crate) fn failure(&self, doing: &str, kind: Kind) -> Error {
        if let Some(error) = self.verdict(doing, kind) {
            return error;
        }
        if self.out_of_space() {
            return Error::new(Kind::Space, format!("{doing}: no space left on the device"));
        }
        if let Some((_, what)) = ENDED_BY.iter().find(|(by, _)| self.status.signal() == Some(*by)) {
            return Error::new(
                kind,
                format!("{doing}: ffmpeg {what} than is allowed and was ended"),
            );
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
    patience: impl Into<Patience>,
    mut line: impl FnMut(&str) -> Result<()>,
) -> Result<Ended> {
    let mut child = Child::spawn(command, cancel, patience, |_| false)?;
    child.stdin = None;
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = BufReader::with_capacity(1 << 16, stdout);
        while let Some((text, _)) = bounded_line(&mut stdout) {
            line(&text)?;
        }
    }
    child.wait()
}

/// Runs to the end and returns at most `limit_bytes` of standard output.
pub(crate) fn capture(
    command: &mut Command,
    cancel: &CancellationToken,
    patience: impl Into<Patience>,
    limit_bytes: u64,
) -> Result<(Vec<u8>, Ended)> {
    let mut child = Child::spawn(command, cancel, patience, |_| false)?;
    child.stdin = None;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // A failed read shows as a failed child or as unreadable output.
        let _ = stdout.take(limit_bytes).read_to_end(&mut output);
    }
    Ok((output, child.wait()?))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::watch::TAIL_LINES;
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

    fn short(stall: Duration) -> Patience {
        Patience { wall: None, stall, signs: u64::MAX }
    }

    #[test]
    fn a_child_that_never_answers_is_ended_and_named() {
        let cancel = CancellationToken::new();
        let patience = short(Duration::from_millis(50));
        let ended = run(&mut shell("exec sleep 60"), &cancel, patience, |_| Ok(())).unwrap();
        let error = ended.check("decode film.mp4", Kind::Input).unwrap_err();
        assert_eq!(
            error.to_string(),
            "decode film.mp4: ffmpeg did nothing for 0.05 s and was ended"
        );
    }

    #[test]
    fn nobody_waits_for_a_child_whose_answers_nobody_wants_yet() {
        let cancel = CancellationToken::new();
        let patience = short(Duration::from_millis(200));
        let script = "sleep 0.1; echo first; sleep 0.1; echo second";
        let mut child = Child::spawn(&mut shell(script), &cancel, patience, |_| false).unwrap();
        std::thread::sleep(Duration::from_millis(600));
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "first\nsecond\n");
        child.wait().unwrap().check("echo", Kind::Io).unwrap();
    }

    #[test]
    fn what_a_child_leaves_behind_does_not_hold_us() {
        let cancel = CancellationToken::new();
        // The second process keeps all three pipes open.
        let script = "sleep 60 & echo $!";
        let mut pid = String::new();
        let line = |line: &str| {
            pid = line.to_owned();
            Ok(())
        };
        let ended = run(&mut shell(script), &cancel, None, line).unwrap();
        ended.check("fork", Kind::Io).unwrap();
        // It was sent the signal, and dies when the kernel gets to it.
        let left = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        let until = Instant::now() + Duration::from_secs(20);
        while left() && Instant::now() < until {
            std::thread::sleep(POLL);
        }
        assert!(!left(), "{pid} outlived its parent");
    }

    #[test]
    fn a_child_that_logs_without_end_is_ended_and_named() {
        let cancel = CancellationToken::new();
        let script = "exec yes 'something is wrong with this picture, and with the next' >&2";
        let ended = run(&mut shell(script), &cancel, None, |_| Ok(())).unwrap();
        let error = ended.check("decode film.mp4", Kind::Input).unwrap_err().to_string();
        assert_eq!(
            error,
            "decode film.mp4: ffmpeg wrote 64 MiB of messages and nothing else: ended"
        );
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
