//! The command `convert` as a child process: what it says, how it is stopped, how it ended.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio_util::sync::CancellationToken;

use crate::job::Progress;

/// After a polite request to stop: what is done is on disk, and the rest is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is kept of what it says of its troubles.
const MOST_ERRORS: usize = 16 << 10;

/// What a conversion says while it runs; anything else is not for us.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Started {
        frames: u64,
        frames_done: u64,
    },
    Progress {
        frames: u64,
        total: u64,
        fps: f64,
        eta_seconds: Option<f64>,
    },
    Completed {
        output: PathBuf,
        frames: u64,
        parallax_percent: Option<Percentiles>,
    },
    Warning {
        message: String,
    },
    Error {
        message: String,
    },
    Interrupted,
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Percentiles {
    p1: f64,
    p99: f64,
}

/// How a conversion ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Ending {
    Completed {
        output: PathBuf,
        frames: u64,
        parallax_percent: Option<(f64, f64)>,
        warnings: Vec<String>,
    },
    Stopped,
    Failed(String),
}

/// Runs `program convert input` with `options` until it ends or `stop` is cancelled, and tells of its frames.
pub(crate) async fn convert(
    program: &Path,
    input: &Path,
    options: &[String],
    stop: &CancellationToken,
    mut told: impl FnMut(Progress),
) -> io::Result<Ending> {
    let mut child = Command::new(program)
        .arg("convert")
        .arg(input)
        .args(["--json", "--overwrite", "--stop-with-parent"])
        .args(options)
        // Closed when this process ends, in whatever way: then the child stops, too.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in the terminal is for this process, which then stops the child in its own time.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let leash = child.stdin.take();
    let said = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    let errors = tokio::spawn(last_words(child.stderr.take()));
    let mut lines = BufReader::new(said).lines();
    let mut heard = Heard::default();
    let listening = async {
        while let Some(line) = lines.next_line().await? {
            if let Some(progress) = heard.take(&line) {
                told(progress);
            }
        }
        io::Result::Ok(())
    };
    let stopped = tokio::select! {
        biased;
        () = stop.cancelled() => true,
        ended = listening => { ended?; false }
    };
    if stopped {
        end(&mut child).await?;
    }
    let status = child.wait().await?;
    drop(leash);
    if stopped && heard.completed.is_none() {
        return Ok(Ending::Stopped);
    }
    let errors = errors.await.unwrap_or_default();
    Ok(heard.ending(status.success(), &errors))
}

/// Asks it to stop, and ends it if it does not.
async fn end(child: &mut Child) -> io::Result<()> {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // It may have ended by itself just now.
        let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
    }
    match tokio::time::timeout(PATIENCE, child.wait()).await {
        Ok(ended) => ended.map(drop),
        Err(_) => child.kill().await,
    }
}

/// The end of what it wrote for people.
async fn last_words(stream: Option<ChildStderr>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let (mut kept, mut piece) = (Vec::new(), vec![0; MOST_ERRORS]);
    // Read to its end: a pipe that nobody reads would hold it up.
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        kept.extend_from_slice(&piece[..count]);
        let before = kept.len().saturating_sub(MOST_ERRORS);
        kept.drain(..before);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

#[derive(Debug)]
struct Completed {
    output: PathBuf,
    frames: u64,
    parallax_percent: Option<(f64, f64)>,
}

#[derive(Debug, Default)]
struct Heard {
    completed: Option<Completed>,
    error: Option<String>,
    interrupted: bool,
    warnings: Vec<String>,
}

impl Heard {
    fn take(&mut self, line: &str) -> Option<Progress> {
        match serde_json::from_str(line).unwrap_or(Event::Other) {
            Event::Started { frames: total, frames_done: frames } => {
                return Some(Progress { frames, total, ..Progress::default() });
            }
            Event::Progress { frames, total, fps, eta_seconds } => {
                let frames_per_second = Some(fps);
                return Some(Progress { frames, total, frames_per_second, eta_seconds });
            }
            Event::Completed { output, frames, parallax_percent } => {
                let parallax_percent = parallax_percent.map(|Percentiles { p1, p99 }| (p1, p99));
                self.completed = Some(Completed { output, frames, parallax_percent });
            }
            Event::Warning { message } if self.warnings.len() < 20 => self.warnings.push(message),
            Event::Error { message } => self.error = Some(message),
            Event::Interrupted => self.interrupted = true,
            Event::Warning { .. } | Event::Other => {}
        }
        None
    }

    fn ending(self, success: bool, errors: &str) -> Ending {
        let Self { completed, error, interrupted, warnings } = self;
        match completed {
            Some(Completed { output, frames, parallax_percent }) if success => {
                Ending::Completed { output, frames, parallax_percent, warnings }
            }
            _ if interrupted => Ending::Stopped,
            _ => {
                let said = (!errors.is_empty()).then(|| errors.to_owned());
                let why = error.or(said);
                Ending::Failed(why.unwrap_or_else(|| "it ended without a word".to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_others_are_passed_over() {
        let mut heard = Heard::default();
        let started = r#"{"event":"started","input":"a","output":"b","engine":"draft","layout":"full-sbs","frames":9,"frames_done":2}"#;
        assert_eq!(heard.take(started).map(|p| (p.frames, p.total)), Some((2, 9)));
        let progress = r#"{"event":"progress","frames":5,"total":9,"fps":3.5,"eta_seconds":null}"#;
        assert_eq!(heard.take(progress).unwrap().frames_per_second, Some(3.5));
        for line in ["", "{}", "what", r#"{"event":"shot","segment":0}"#] {
            assert_eq!(heard.take(line), None);
        }
        heard.take(r#"{"event":"warning","message":"w"}"#);
        heard.take(r#"{"event":"completed","output":"/r/b.mp4","frames":9,"seconds":1.0,"shots":1,"parallax_percent":{"p1":-0.5,"p99":1.0},"damage":{},"retries":0}"#);
        assert_eq!(
            heard.ending(true, ""),
            Ending::Completed {
                output: PathBuf::from("/r/b.mp4"),
                frames: 9,
                parallax_percent: Some((-0.5, 1.0)),
                warnings: vec!["w".to_owned()],
            }
        );
        assert_eq!(Heard::default().ending(false, "e"), Ending::Failed("e".to_owned()));
    }
}
