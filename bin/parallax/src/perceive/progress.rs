//! How far a look is: a bar on a terminal, with `--json` an event a line, otherwise a line every few seconds.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parallax_media::show_path;
use parallax_perception::Far;
use serde_json::{Value, json};

use crate::convert::name::lossless;
use crate::convert::progress::clock;

/// Time between events, and between lines.
const EVERY: Duration = Duration::from_millis(500);
const EVERY_LINE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Progress {
    json: bool,
    input: String,
    lossless: String,
    bar: Option<ProgressBar>,
    started: Instant,
    told: Option<Instant>,
}

impl Progress {
    pub(super) fn new(json: bool, input: &Path) -> Self {
        let bar = (!json && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} frames  {msg}");
            let bar = ProgressBar::new(0);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let (input, lossless) = (show_path(input).to_string(), lossless(input));
        Self { json, input, lossless, bar, started: Instant::now(), told: None }
    }

    /// A frame has passed.
    pub(super) fn tell(&mut self, far: Far) {
        let every = if self.json || self.bar.is_some() { EVERY } else { EVERY_LINE };
        if self.told.is_some_and(|told| told.elapsed() < every) {
            return;
        }
        if self.told.replace(Instant::now()).is_none() && self.bar.is_none() && !self.json {
            eprintln!("looking at {} ({} frames)", self.input, far.frames);
            return;
        }
        let Far { passed, frames, looked } = far;
        let fps = passed as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        // What packets tell of damaged films is no promise.
        let eta = frames.saturating_sub(passed) as f64 / fps;
        if self.json {
            return event(&json!({
                "event": "progress", "input": self.lossless, "frames_done": passed, "frames": frames,
                "frames_looked_at": looked, "fps": (fps * 10.0).round() / 10.0, "eta_seconds": eta.round(),
            }));
        }
        let text = format!("{looked} looked at, {fps:.1} fps, ETA {}", clock(eta));
        match &self.bar {
            Some(bar) => {
                bar.set_length(frames.max(passed));
                bar.set_position(passed);
                bar.set_message(text);
            }
            None => eprintln!("{passed}/{frames} frames, {text}"),
        }
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// A line of JSON; nobody who reads it is no error.
pub(super) fn event(event: &Value) {
    let _ = writeln!(std::io::stdout().lock(), "{event}");
}
