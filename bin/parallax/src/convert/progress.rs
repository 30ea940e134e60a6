//! What a person or a program is told while a conversion runs.
//!
//! On a terminal a bar; with `--json` one event per line on standard output; otherwise a line
//! every few seconds.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parallax_stereo::{Retry, ShotReport, Stage};
use serde_json::json;

use super::request::Request;
use super::staging::Shots;
use crate::cli::ConvertArgs;

/// Time between progress lines and events.
const EVERY: Duration = Duration::from_millis(500);
const EVERY_LINE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    Bar,
    Lines,
    Json,
}

/// Tells how a conversion goes.
#[derive(Debug)]
pub(crate) struct Reporter {
    voice: Voice,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bar: Option<ProgressBar>,
    total: u64,
    /// Frames that were done before this process started.
    before: u64,
    /// Frames by segment since then.
    since: BTreeMap<u32, u64>,
    /// Frames of the segments that each stage of the engine has done, and when that was told.
    stages: BTreeMap<(u32, Stage), (u64, Instant)>,
    shots: Shots,
    /// Pieces of work that were done again.
    retries: u64,
    segments: (u32, Option<u32>),
    started: Instant,
    told: Instant,
}

impl Reporter {
    pub(crate) fn new(json: bool) -> Self {
        let voice = if json {
            Voice::Json
        } else if std::io::stderr().is_terminal() {
            Voice::Bar
        } else {
            Voice::Lines
        };
        let now = Instant::now();
        let state = State {
            bar: None,
            total: 0,
            before: 0,
            since: BTreeMap::new(),
            stages: BTreeMap::new(),
            shots: Shots::default(),
            retries: 0,
            segments: (0, None),
            started: now,
            told: now,
        };
        Self { voice, state: Mutex::new(state) }
    }

    /// The conversion runs; `before` frames were done by an earlier process.
    pub(crate) fn started(&self, request: &Request, before: u64) {
        let mut state = self.state();
        state.total = request.frames;
        state.before = before;
        state.started = Instant::now();
        match self.voice {
            Voice::Bar => {
                let bar = ProgressBar::new(request.frames);
                let style = "{bar:30} {pos}/{len} frames  {msg}";
                bar.set_style(
                    ProgressStyle::with_template(style)
                        .unwrap_or_else(|_| ProgressStyle::default_bar()),
                );
                bar.set_position(before);
                state.bar = Some(bar);
            }
            Voice::Lines => eprintln!(
                "converting {} ({} frames) to {}",
                request.input.display(),
                request.frames,
                request.output.display()
            ),
            Voice::Json => event(&json!({
                "event": "started",
                "input": request.input,
                "output": request.output,
                "engine": request.engine.name(),
                "layout": request.layout.to_string(),
                "frames": request.frames,
                "frames_done": before,
            })),
        }
    }

    /// `frames` of a segment are done.
    pub(crate) fn frames(&self, segment: u32, frames: u64) {
        let mut state = self.state();
        state.since.insert(segment, frames);
        self.tell(&mut state);
    }

    /// A stage of the engine has done `frames` of a segment.
    pub(crate) fn stage(&self, segment: u32, stage: Stage, frames: u64) {
        let mut state = self.state();
        let told = state.stages.get(&(segment, stage)).map(|&(_, told)| told);
        let due = told.is_none_or(|told| told.elapsed() >= EVERY);
        let when = if due { Instant::now() } else { told.unwrap_or_else(Instant::now) };
        state.stages.insert((segment, stage), (frames, when));
        match self.voice {
            Voice::Json if due => event(&json!({
                "event": "stage",
                "segment": segment,
                "stage": stage.to_string(),
                "frames": frames,
            })),
            _ => self.tell(&mut state),
        }
    }

    /// A shot of a segment is over.
    pub(crate) fn shot(&self, segment: u32, shot: &ShotReport) {
        self.state().shots.add(segment, shot);
        if self.voice == Voice::Json {
            event(&json!({
                "event": "shot",
                "segment": segment,
                "first_frame": shot.first_frame,
                "frames": shot.frames,
                "parallax_percent": percentiles(shot.parallax_percent),
            }));
        }
    }

    /// A piece of a segment's work is done again.
    pub(crate) fn retry(&self, segment: u32, retry: &Retry) {
        self.state().retries += 1;
        match self.voice {
            Voice::Json => event(&json!({
                "event": "retry",
                "segment": segment,
                "message": retry.to_string(),
            })),
            _ => self.warning(&format!("segment {segment}: {retry}")),
        }
    }

    /// `done` segments of `total` are complete.
    pub(crate) fn segments(&self, done: u32, total: Option<u32>) {
        let mut state = self.state();
        if state.segments == (done, total) {
            return;
        }
        state.segments = (done, total);
        if self.voice == Voice::Json {
            event(&json!({"event": "segments", "done": done, "total": total}));
        }
    }

    fn tell(&self, state: &mut State) {
        let every = if self.voice == Voice::Lines { EVERY_LINE } else { EVERY };
        if state.told.elapsed() < every {
            return;
        }
        state.told = Instant::now();
        let new: u64 = state.since.values().sum();
        let done = (state.before + new).min(state.total);
        let fps = new as f64 / state.started.elapsed().as_secs_f64().max(1e-3);
        let stages = stages(&state.stages);
        let eta = if fps > 0.0 { (state.total - done) as f64 / fps } else { f64::INFINITY };
        match self.voice {
            Voice::Bar => {
                if let Some(bar) = &state.bar {
                    bar.set_position(done);
                    bar.set_message(format!("{fps:.1} fps  ETA {}{stages}", clock(eta)));
                }
            }
            Voice::Lines => {
                let total = state.total;
                eprintln!("{done}/{total} frames, {fps:.1} fps, ETA {}{stages}", clock(eta));
            }
            Voice::Json => event(&json!({
                "event": "progress",
                "frames": done,
                "total": state.total,
                "fps": (fps * 10.0).round() / 10.0,
                "eta_seconds": eta.is_finite().then(|| eta.round()),
            })),
        }
    }

    /// Something is not as it was asked for, or not as it was in the source.
    pub(crate) fn warning(&self, message: &str) {
        let state = self.state();
        match (self.voice, &state.bar) {
            (Voice::Json, _) => event(&json!({"event": "warning", "message": message})),
            (_, Some(bar)) => bar.println(format!("warning: {message}")),
            _ => eprintln!("warning: {message}"),
        }
    }

    /// The output has its name.
    pub(crate) fn completed(&self, output: &Path) {
        let state = self.state();
        if let Some(bar) = &state.bar {
            bar.finish_and_clear();
        }
        let seconds = state.started.elapsed().as_secs_f64();
        match self.voice {
            Voice::Json => event(&json!({
                "event": "completed",
                "output": output,
                "frames": state.total,
                "seconds": (seconds * 10.0).round() / 10.0,
                "shots": state.shots.count(),
                "parallax_percent": state.shots.widest().map(percentiles),
                "retries": state.retries,
            })),
            _ => {
                eprintln!("{} is ready ({seconds:.1} s)", output.display());
                state.shots.lines().iter().for_each(|line| eprintln!("{line}"));
                if state.retries > 0 {
                    eprintln!("{} pieces of work were done again; see above", state.retries);
                }
            }
        }
    }

    /// The conversion was stopped by its user.
    pub(crate) fn interrupted(&self, args: &ConvertArgs) {
        if let Some(bar) = &self.state().bar {
            bar.abandon();
        }
        match self.voice {
            Voice::Json => event(&json!({"event": "interrupted"})),
            _ => eprintln!(
                "interrupted; continue with the same command and --resume (input {})",
                args.input.display()
            ),
        }
    }

    /// The conversion failed.
    pub(crate) fn error(&self, message: &str) {
        if let Some(bar) = &self.state().bar {
            bar.abandon();
        }
        if self.voice == Voice::Json {
            event(&json!({"event": "error", "message": message}));
        }
        eprintln!("error: {message}");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parallax, right eye minus left: negative is in front of the screen.
fn percentiles((near, far): (f32, f32)) -> serde_json::Value {
    let hundredths = |v: f32| (f64::from(v) * 100.0).round() / 100.0;
    json!({"p1": hundredths(near), "p99": hundredths(far)})
}

fn event(value: &serde_json::Value) {
    // A reader that went away is no reason to stop the conversion.
    let _ = writeln!(std::io::stdout().lock(), "{value}");
}

/// How far the stages are, over all segments; nothing for engines without stages.
fn stages(told: &BTreeMap<(u32, Stage), (u64, Instant)>) -> String {
    let mut sums = BTreeMap::new();
    for ((_, stage), (frames, _)) in told {
        *sums.entry(stage).or_insert(0) += frames;
    }
    sums.iter().map(|(stage, frames)| format!("  {stage} {frames}")).collect()
}

fn clock(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "unknown".to_owned();
    }
    let seconds = seconds.round() as u64;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_told_over_all_segments() {
        let now = Instant::now();
        let told = [((0, Stage::Depth), (70, now)), ((1, Stage::Depth), (5, now))];
        let inpaint = [((0, Stage::Inpaint), (23, now))];
        let told = told.into_iter().chain(inpaint).collect();
        assert_eq!(stages(&told), "  depth 75  inpaint 23");
        assert_eq!(stages(&BTreeMap::new()), "");
    }

    #[test]
    fn times_read_like_a_clock() {
        assert_eq!(clock(3725.4), "1:02:05");
        assert_eq!(clock(f64::INFINITY), "unknown");
    }
}
