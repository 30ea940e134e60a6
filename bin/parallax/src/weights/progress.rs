//! What a person or a program is told while weights are downloaded.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parallax_engine_spec::{Commercial, Published};
use parallax_hub::Event;
use serde_json::json;

use super::names::{UNNAMED, terms};
use super::size::size;

/// Time between progress events and lines.
const EVERY_EVENT: Duration = Duration::from_millis(500);
const EVERY_LINE: Duration = Duration::from_secs(5);

enum Voice {
    Bar(ProgressBar),
    Lines,
    Json,
}

/// Tells how a download goes: a bar on a terminal, with `--json` one event per line on standard output,
/// otherwise a line every few seconds.
pub(super) struct Teller {
    voice: Voice,
    started: Instant,
    told: Instant,
    /// Bytes to come, and come so far.
    bytes: u64,
    received: u64,
    /// The file under way and its bytes on disk.
    current: (String, u64),
}

impl Teller {
    pub(super) fn new(json: bool) -> Self {
        let voice = if json {
            Voice::Json
        } else if std::io::stderr().is_terminal() {
            Voice::Bar(ProgressBar::no_length())
        } else {
            Voice::Lines
        };
        let now = Instant::now();
        let current = (String::new(), 0);
        Self { voice, started: now, told: now, bytes: 0, received: 0, current }
    }

    pub(super) fn begin(&self, dir: &Path) {
        match self.voice {
            Voice::Json => say(&json!({"event": "begin", "dir": dir})),
            _ => self.line(&format!("models go to {}", dir.display())),
        }
    }

    /// What the publisher of a model allows.
    pub(super) fn licence(&self, model: &Published) {
        let Published { name, title, repository, licence, .. } = model;
        match self.voice {
            Voice::Json => say(&json!({
                "event": "licence",
                "model": name,
                "repository": repository,
                "licence": licence.name,
                "commercial": match licence.commercial {
                    Commercial::Allowed => "allowed",
                    Commercial::Conditional => "conditional",
                    Commercial::Forbidden => "forbidden",
                },
                "gated": licence.gated,
            })),
            _ => self.line(&format!("{title} ({repository}): {}", terms(model))),
        }
    }

    /// That there are models which were not asked for.
    pub(super) fn others(&self) {
        if !matches!(self.voice, Voice::Json) {
            self.line(&format!(
                "these are the models of {UNNAMED}; others come by name, see `parallax weights fetch --help`"
            ));
        }
    }

    pub(super) fn tell(&mut self, event: &Event) {
        match event {
            Event::Planned { bytes, .. } => {
                self.bytes = *bytes;
                self.started = Instant::now();
                if let Voice::Bar(bar) = &self.voice {
                    let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left  {msg}";
                    bar.set_style(
                        ProgressStyle::with_template(style)
                            .unwrap_or_else(|_| ProgressStyle::default_bar()),
                    );
                    bar.set_length(*bytes);
                    bar.reset();
                }
            }
            Event::Started { file, from, .. } => {
                if self.current.0 == *file {
                    // What was discarded comes again.
                    self.received =
                        self.received.saturating_sub(self.current.1 - from.min(&self.current.1));
                }
                self.current = (file.clone(), *from);
            }
            Event::Progress { at, .. } => {
                self.received += at.saturating_sub(self.current.1);
                self.current.1 = *at;
            }
            _ => {}
        }
        match self.voice {
            Voice::Json => self.json(event),
            _ => self.text(event),
        }
    }

    fn json(&mut self, event: &Event) {
        let mut value = json!(event);
        if matches!(event, Event::Progress { .. }) {
            if !self.due(EVERY_EVENT) {
                return;
            }
            let (rate, left) = self.pace();
            value["received"] = json!(self.received);
            value["bytes"] = json!(self.bytes);
            value["bytes_per_second"] = json!(rate.round());
            value["eta_seconds"] = json!(left.map(f64::round));
        }
        say(&value);
    }

    fn text(&mut self, event: &Event) {
        match event {
            Event::Waiting => {
                self.line("another process downloads into this folder; waiting for it")
            }
            Event::Planned { files, bytes, total } => self.line(&format!(
                "{files} files to download, {} of {}",
                size(*bytes),
                size(*total)
            )),
            Event::Started { file, from, size: whole } => {
                let rest = match from {
                    0 => String::new(),
                    from => format!(", from {} on", size(*from)),
                };
                match &self.voice {
                    Voice::Bar(bar) => bar.set_message(file.clone()),
                    _ => eprintln!("{file} ({}{rest})", size(*whole)),
                }
            }
            Event::Progress { .. } => {
                if let Voice::Bar(bar) = &self.voice {
                    bar.set_position(self.received.min(self.bytes));
                } else if self.due(EVERY_LINE) {
                    let (rate, left) = self.pace();
                    let left = left.map_or("unknown".to_owned(), |s| format!("{s:.0} s"));
                    eprintln!(
                        "{} of {}, {}/s, {left} left",
                        size(self.received),
                        size(self.bytes),
                        size(rate as u64)
                    );
                }
            }
            Event::Retrying { file, why, after } => {
                self.line(&format!("{file}: {why}; again in {:.1} s", after.as_secs_f64()));
            }
            Event::Finished { .. } => {}
            Event::Complete { repository, commit } => {
                self.line(&format!("{repository} is complete, at commit {commit}"));
            }
        }
    }

    fn due(&mut self, every: Duration) -> bool {
        let due = self.told.elapsed() >= every;
        if due {
            self.told = Instant::now();
        }
        due
    }

    /// Bytes per second, and seconds left.
    fn pace(&self) -> (f64, Option<f64>) {
        let rate = self.received as f64 / self.started.elapsed().as_secs_f64();
        let left = self.bytes.saturating_sub(self.received) as f64 / rate;
        (if rate.is_finite() { rate } else { 0.0 }, left.is_finite().then_some(left))
    }

    fn line(&self, text: &str) {
        match &self.voice {
            Voice::Bar(bar) => bar.suspend(|| eprintln!("{text}")),
            _ => eprintln!("{text}"),
        }
    }

    pub(super) fn completed(&self, dir: &Path) {
        match &self.voice {
            Voice::Json => say(&json!({"event": "completed", "dir": dir})),
            Voice::Bar(bar) => {
                bar.finish_and_clear();
                eprintln!("all models are in {}", dir.display());
            }
            Voice::Lines => eprintln!("all models are in {}", dir.display()),
        }
    }

    pub(super) fn interrupted(&self) {
        match &self.voice {
            Voice::Json => say(&json!({"event": "interrupted"})),
            _ => self.line("interrupted; the same command continues where it stopped"),
        }
    }

    pub(super) fn error(&self, message: &str) {
        match &self.voice {
            Voice::Json => say(&json!({"event": "error", "message": message})),
            Voice::Bar(bar) => bar.abandon(),
            Voice::Lines => {}
        }
        eprintln!("error: {message}");
    }
}

fn say(value: &serde_json::Value) {
    // A reader that went away is no reason to stop the download.
    let _ = writeln!(std::io::stdout().lock(), "{value}");
}
