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
use parallax_media::{Damage, show_path};
use parallax_stereo::{Layout, Retry, ShotReport, Stage};
use serde_json::json;

use super::mended::Mended;
use super::name::lossless;
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
    mended: Mended,
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
            mended: Mended::default(),
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
        state.mended.on_clock(&request.times);
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
                show_path(&request.input),
                request.frames,
                show_path(&request.output)
            ),
            Voice::Json => event(&json!({
                "event": "started",
                "input": lossless(&request.input),
                "output": lossless(&request.output),
                "engine": request.engine.name(),
                "layout": request.layout.to_string(),
                "frames": request.frames,
                "frames_done": before,
            })),
        }
    }

    /// A picture is being converted.
    pub(crate) fn picture(&self, (input, output): (&Path, &Path), engine: &str, layout: Layout) {
        let mut state = self.state();
        (state.total, state.started) = (1, Instant::now());
        match self.voice {
            Voice::Json => event(&json!({
                "event": "started",
                "input": lossless(input),
                "output": lossless(output),
                "engine": engine,
                "layout": layout.to_string(),
                "frames": 1,
                "frames_done": 0,
            })),
            _ => eprintln!("converting {} to {}", show_path(input), show_path(output)),
        }
    }

    /// What a person may want to know; programs are told the same by other events.
    pub(crate) fn remark(&self, message: &str) {
        if !matches!(self.voice, Voice::Json) {
            eprintln!("{message}");
        }
    }

    /// Something that is no trouble: people read it as `message` and programs as `said`.
    pub(crate) fn noted(&self, message: &str, said: &serde_json::Value) {
        match self.voice {
            Voice::Json => event(said),
            _ => eprintln!("{message}"),
        }
    }

    /// A segment of `frames` was done by an earlier process.
    pub(crate) fn done_before(&self, segment: u32, frames: u64) {
        self.state().mended.length(segment, frames);
    }

    /// `frames` of a segment are done.
    pub(crate) fn frames(&self, segment: u32, frames: u64) {
        let mut state = self.state();
        state.since.insert(segment, frames);
        state.mended.length(segment, frames);
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

    /// Something was mended before the film was cut.
    pub(crate) fn film_damage(&self, damage: &Damage) {
        self.state().mended.of_film(damage);
        if self.voice == Voice::Json {
            event(&json!({"event": "damage", "segment": null, "damage": damage}));
        }
    }

    /// Something was mended in a segment of `frames`.
    pub(crate) fn segment_damage(&self, segment: u32, frames: u64, damage: &Damage) {
        self.state().mended.of_segment(segment, frames, damage);
        if self.voice == Voice::Json {
            event(&json!({"event": "damage", "segment": segment, "damage": damage}));
        }
    }

    /// A piece of a segment's work is done again.
    pub(crate) fn piece_again(&self, segment: u32, retry: &Retry) {
        self.state().retries += 1;
        match self.voice {
            Voice::Json => event(&json!({
                "event": "redone",
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

    /// A try of `what` failed and is followed by another one, after `wait` where that is known;
    /// it was the first number of the second.
    pub(crate) fn retry(&self, what: &str, tries: (u32, u32), why: &str, wait: Option<Duration>) {
        let (attempt, of) = tries;
        if self.voice == Voice::Json {
            let seconds = wait.map(|wait| (wait.as_secs_f64() * 10.0).round() / 10.0);
            event(&json!({
                "event": "retry",
                "step": what,
                "attempt": attempt,
                "of": of,
                "why": why,
                "next_in_seconds": seconds,
            }));
            return;
        }
        let when = wait.map_or_else(
            || "the next one follows".to_owned(),
            |wait| format!("the next one begins in {} s", wait.as_secs_f64().ceil()),
        );
        self.say(&format!("{what}: try {attempt} of {of} failed, {when}: {why}"));
    }

    /// The results of `segments` are being joined.
    pub(crate) fn joining(&self, segments: u32) {
        let state = self.state();
        match (self.voice, &state.bar) {
            (Voice::Json, _) => event(&json!({"event": "joining", "segments": segments})),
            (_, Some(bar)) => {
                bar.set_position(state.total);
                bar.set_message("joining");
            }
            _ if segments == 1 => eprintln!("joining"),
            _ => eprintln!("joining {segments} segments"),
        }
    }

    fn say(&self, message: &str) {
        match &self.state().bar {
            Some(bar) => bar.println(format!("warning: {message}")),
            None => eprintln!("warning: {message}"),
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
        match self.voice {
            Voice::Json => event(&json!({"event": "warning", "message": message})),
            _ => self.say(message),
        }
    }

    /// Something that people read as `message` and programs as `said`.
    pub(crate) fn told(&self, message: &str, said: &serde_json::Value) {
        match self.voice {
            Voice::Json => event(said),
            _ => self.warning(message),
        }
    }

    /// The output has its name.
    pub(crate) fn completed(&self, output: &Path) {
        let state = self.state();
        if let Some(bar) = &state.bar {
            bar.finish_and_clear();
        }
        let seconds = state.started.elapsed().as_secs_f64();
        let damage = state.mended.whole();
        let warnings: Vec<String> =
            damage.lines().iter().map(|line| format!("the source is damaged: {line}")).collect();
        match self.voice {
            Voice::Json => {
                for message in &warnings {
                    event(&json!({"event": "warning", "message": message}));
                }
                event(&json!({
                    "event": "completed",
                    "output": lossless(output),
                    "frames": state.total,
                    "seconds": (seconds * 10.0).round() / 10.0,
                    "shots": state.shots.count(),
                    "parallax_percent": state.shots.widest().map(percentiles),
                    "damage": damage,
                    "retries": state.retries,
                }));
            }
            _ => {
                eprintln!("{} is ready ({seconds:.1} s)", show_path(output));
                warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
                state.shots.lines().iter().for_each(|line| eprintln!("{line}"));
                if state.retries > 0 {
                    eprintln!("{} pieces of work were done again; see above", state.retries);
                }
            }
        }
    }

    /// The conversion was stopped by its user; `film` can be continued.
    pub(crate) fn interrupted(&self, args: &ConvertArgs, film: bool) {
        if let Some(bar) = &self.state().bar {
            bar.abandon();
        }
        match self.voice {
            Voice::Json => event(&json!({"event": "interrupted"})),
            _ if !film => eprintln!("interrupted; nothing is left of {}", show_path(&args.input)),
            _ => eprintln!(
                "interrupted; continue with the same command and --resume (input {})",
                show_path(&args.input)
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

pub(crate) fn clock(seconds: f64) -> String {
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
