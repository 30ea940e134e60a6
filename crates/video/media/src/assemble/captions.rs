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
    folder: &Path,
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
    Ok(written.lines().any(|line| line.starts_with("Dialogue:")).then_some(text))
}
