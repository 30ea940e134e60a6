//! Captions inside the pictures (CEA-608 in A/53 messages), which new pictures do not carry: they
//! become a stream of text.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::streams::Container;
use crate::child;
use crate::error::{Error, Kind, Result, escape, show_path};
use crate::media::Media;
use crate::programs::{Tools, file_url};
use crate::window::Window;

/// ffmpeg's name for them.
pub(super) const KIND: &str = "ATSC A53 Part 4 Closed Captions";

/// Captions as a file of text, in a private folder.
#[derive(Debug)]
pub(super) struct Text(TempDir);

impl Text {
    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("captions.ass")
    }
}

/// The encoder of their text in `container`.
pub(super) fn encoder(container: Container) -> &'static str {
    match container {
        Container::Mp4 => "mov_text",
        Container::Matroska => "ass",
    }
}

/// The kinds of side data that the first pictures carry, in ffmpeg's words.
pub(super) fn in_pictures(
    tools: &Tools,
    media: &Media,
    cancel: &CancellationToken,
) -> Result<Vec<String>> {
    let mut command = tools.ffprobe();
    tools.guard(&mut command);
    command.arg("-select_streams").arg(media.video.index.to_string());
    command.args(["-read_intervals", "%+#30", "-show_frames"]);
    command.args(["-show_entries", "frame=side_data_list", "-of", "compact=p=0"]);
    command.arg("-i").arg(file_url(&media.path));
    let mut kinds = BTreeSet::new();
    let ended = child::run(&mut command, cancel, Some(tools.limits.probe_time), |line| {
        let said = line.split('|').filter_map(|field| field.split_once("side_data_type="));
        kinds.extend(said.map(|(_, kind)| escape(kind, 80)));
        Ok(())
    })?;
    // Pictures that cannot be decoded are told by who needs them.
    match ended.check(&show_path(&media.path), Kind::Input) {
        Err(error) if error.kind() == Kind::Cancelled => Err(error),
        _ => Ok(kinds.into_iter().collect()),
    }
}

/// Reads the captions of the film that `media` describes; `None` when they never say anything.
///
/// Their times are those of the film's own clock.
///
/// # Errors
/// What ffmpeg said; `Space`; `Io`; `Cancelled`.
pub(super) fn read(
    tools: &Tools,
    media: &Media,
    (folder, window): (&Path, Window),
    cancel: &CancellationToken,
) -> Result<Option<Text>> {
    let scratch = tempfile::Builder::new()
        .prefix(".parallax-captions-")
        .tempdir_in(folder)
        .map_err(|e| Error::io("create a folder in", folder, e))?;
    let source = std::path::absolute(&media.path).map_err(|e| Error::io("open", &media.path, e))?;
    let link = scratch.path().join("film");
    std::os::unix::fs::symlink(&source, &link).map_err(|e| Error::io("link", &link, e))?;
    let text = Text(scratch);
    let mut command = tools.ffmpeg();
    // The filter opens the film by itself, unguarded: so it is told what it is and does not guess.
    let demuxer = media.container.split(',').next().unwrap_or_default();
    let index = media.video.index;
    command.current_dir(text.0.path()).arg("-copyts");
    command.args(["-f", "lavfi", "-i", &format!("movie=film:f={demuxer}:si={index}[out+subcc]")]);
    command.args(["-map", "0:s:0", "-c:s", "ass", "-f", "ass", "captions.ass"]);
    let limit = tools.limits.scan_time * 4;
    let ended = child::run(&mut command, cancel, Some(limit), |_| Ok(()))?;
    ended.check("read the captions inside the pictures", Kind::Input)?;
    let written = std::fs::read_to_string(text.path());
    let written = written.map_err(|e| Error::io("read", &text.path(), e))?;
    let lines = written.lines().filter_map(|line| within(line, window)).collect::<Vec<_>>();
    let mut said = lines.iter().filter(|line| line.starts_with(EVENT));
    if said.next().is_none() {
        return Ok(None);
    }
    std::fs::write(text.path(), lines.join("\n") + "\n")
        .map_err(|e| Error::io("write", &text.path(), e))?;
    Ok(Some(text))
}

/// How lines of ASS begin that say something.
const EVENT: &str = "Dialogue:";

/// A line of ASS, cut to `window`; `None` when it is said outside of that.
fn within(line: &str, Window { start_us, end_us }: Window) -> Option<String> {
    let fields: Vec<&str> = line.splitn(4, ',').collect();
    let [layer, start, end, rest] = fields[..] else { return Some(line.to_owned()) };
    let (Some(from), Some(until)) = (hundredths(start), hundredths(end)) else {
        return Some(line.to_owned());
    };
    if !layer.starts_with(EVENT) {
        return Some(line.to_owned());
    }
    let first = start_us.map_or(from, |us| from.max(us / 10_000));
    let last = end_us.map_or(until, |us| until.min(us / 10_000));
    (first < last).then(|| format!("{layer},{},{},{rest}", clock(first), clock(last)))
}

/// A time of ASS, `h:mm:ss.cc`.
fn hundredths(text: &str) -> Option<i64> {
    let mut parts = text.split([':', '.']).map(str::parse::<i64>);
    let mut next = || parts.next()?.ok();
    let (h, m, s, c) = (next()?, next()?, next()?, next()?);
    Some(((h * 60 + m) * 60 + s) * 100 + c)
}

fn clock(hundredths: i64) -> String {
    let (s, c) = (hundredths / 100, hundredths % 100);
    format!("{}:{:02}:{:02}.{c:02}", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_are_cut_to_a_part() {
        let window = Window { start_us: Some(62_000_000), end_us: Some(65_000_000) };
        let cut = |from: &str, until: &str| {
            within(&format!("Dialogue: 0,{from},{until},Default,,0,0,0,,a, b"), window)
        };
        assert_eq!(cut("0:00:01.00", "0:01:02.00"), None);
        assert_eq!(
            cut("0:01:01.50", "0:01:03.25").unwrap(),
            "Dialogue: 0,0:01:02.00,0:01:03.25,Default,,0,0,0,,a, b"
        );
        assert!(cut("0:01:04.00", "1:00:00.00").unwrap().contains(",0:01:05.00,"));
        assert_eq!(cut("0:01:05.00", "0:01:06.00"), None);
        let head = "Format: Layer, Start, End, Style";
        assert_eq!(within(head, window).unwrap(), head);
    }
}
