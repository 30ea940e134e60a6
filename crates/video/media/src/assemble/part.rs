//! What else of the film goes along with a part of its pictures: its sound and subtitles from there to
//! there, and its chapters.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::loss::Loss;
use super::mux_plan::MuxPlan;
use super::streams::Kept;
use crate::child;
use crate::error::{Error, Result};
use crate::media::{Chapter, Media, StreamKind};
use crate::probe::microseconds;
use crate::programs::{Tools, file_url};
use crate::seconds::seconds;
use crate::window::Window;

/// How long a subtitle stays on the screen at most, for those that begin before a part.
const LONGEST_US: i64 = 60_000_000;

/// The chapters of a part, in a file of ffmpeg's own.
#[derive(Debug)]
pub(super) struct Chapters(NamedTempFile);

impl Chapters {
    /// Writes `chapters` to a passing file in `folder`; each ends where the next one begins, and the last
    /// one at `end_us`.
    pub(super) fn write(chapters: &[Chapter], end_us: i64, folder: &Path) -> Result<Self> {
        let file = tempfile::Builder::new()
            .prefix(".parallax-chapters-")
            .tempfile_in(folder)
            .map_err(|e| Error::io("create a file in", folder, e))?;
        let ends = chapters.iter().skip(1).map(|next| next.start_us).chain([end_us]);
        let mut text = ";FFMETADATA1\n".to_owned();
        for (chapter, end_us) in chapters.iter().zip(ends) {
            let (start, end) = (chapter.start_us, end_us.max(chapter.start_us));
            text += &format!("[CHAPTER]\nTIMEBASE=1/1000000\nSTART={start}\nEND={end}\n");
            if let Some(title) = &chapter.title {
                text += &format!("title={}\n", escaped(title));
            }
        }
        std::fs::write(file.path(), text).map_err(|e| Error::io("write", file.path(), e))?;
        Ok(Self(file))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

/// `text` as a value of ffmpeg's metadata files.
fn escaped(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        if matches!(letter, '=' | ';' | '#' | '\\' | '\n') {
            plain.push('\\');
        }
        plain.push(letter);
    }
    plain
}

impl Window {
    /// Options of the source as an input, whose clock becomes that of the part.
    pub(super) fn input(self, media: &Media, command: &mut Command) {
        if let Some(start) = self.start_us {
            // Exact for packets that are copied; what is decoded is cut by [`cut_to`].
            command.args(["-seek_timestamp", "1", "-noaccurate_seek", "-ss", &seconds(start)]);
        }
        // ffmpeg before 6 takes an offset of exactly minus the start as its own choice and replaces it
        // by one that ignores streams without use here; a microsecond is below every audio tick.
        let nudge_us = if media.is_mp4() { 0 } else { 1 };
        command.args(["-itsoffset", &seconds(nudge_us - self.origin_us(media))]);
    }
}

/// Output options that cut everything but the pictures to `window`.
pub(super) fn cut_to(window: Window, plan: &MuxPlan, media: &Media, command: &mut Command) {
    if window.is_whole() {
        return;
    }
    // From the part's beginning on, not from the place that was sought.
    command.args(["-copypriorss", "0"]);
    let length = window.length_us(media).map(seconds);
    if let Some(length) = &length {
        command.args(["-t", length]);
    }
    for (place, kept) in (1..).zip(&plan.kept).filter(|(_, kept)| !kept.cut) {
        let kind = media.stream(kept.index).map(|stream| stream.kind);
        if kind == Some(StreamKind::Audio) && kept.converted_to.is_some() {
            let end = length.as_ref().map(|end| format!(":end={end}")).unwrap_or_default();
            command.arg(format!("-filter:{place}")).arg(format!("atrim=start=0{end}"));
        }
    }
}

/// The subtitles that are on the screen when `window` begins, and are left out: their packets begin
/// before it.
pub(super) fn subtitles_before(
    window: Window,
    kept: &[Kept],
    tools: &Tools,
    media: &Media,
    cancel: &CancellationToken,
) -> Result<Vec<Loss>> {
    let Some(start) = window.start_us else { return Ok(Vec::new()) };
    let mut losses = Vec::new();
    for kept in kept {
        let stream = media.stream(kept.index);
        if stream.is_none_or(|stream| stream.kind != StreamKind::Subtitle) {
            continue;
        }
        let mut command = tools.ffprobe();
        tools.guard(&mut command);
        command.arg("-select_streams").arg(kept.index.to_string());
        let from = (start - LONGEST_US).max(media.start_us);
        command.arg("-read_intervals").arg(format!("{}%{}", seconds(from), seconds(start)));
        command.args(["-show_entries", "packet=pts_time,duration_time", "-of"]);
        command.args(["compact=p=0", "-i"]).arg(file_url(&media.path));
        let mut count = 0;
        child::run(&mut command, cancel, Some(tools.limits.probe_time), |line| {
            let value = |name| line.split('|').find_map(|field| field.strip_prefix(name));
            let at = value("pts_time=").and_then(microseconds);
            let length = value("duration_time=").and_then(microseconds);
            if let (Some(at), Some(length)) = (at, length) {
                count += usize::from(at < start && at + length > start);
            }
            Ok(())
        })?;
        if count > 0 {
            let what = format!("a subtitle of stream {}", kept.index);
            let reason = "it is on the screen already where the part begins".to_owned();
            losses.push(Loss { what, reason });
        }
    }
    Ok(losses)
}
