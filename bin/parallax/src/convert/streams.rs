//! What becomes of the input's other streams: decided before the first frame.

use std::path::Path;

use anyhow::{Context, Result};
use parallax_frame::VideoFormat;
use parallax_media::{Container, EncodeSettings, Media, MuxPlan, Scratch, Tools, sample};
use tokio_util::sync::CancellationToken;

/// Tries all streams in the container that `output` names, or in the one that keeps most of them,
/// beside pictures like those of the result.
///
/// # Errors
/// When no container takes them together, or there is no room to try.
pub(crate) fn decide(
    tools: &Tools,
    media: &Media,
    output: Option<&Path>,
    (format, settings): (&VideoFormat, &EncodeSettings),
    cancel: &CancellationToken,
) -> Result<MuxPlan> {
    let folder = tempfile::tempdir().context("a folder for passing files cannot be made")?;
    let pictures = folder.path().join("sample.mp4");
    sample(tools, format, media.video.rate, settings, &pictures, cancel)?;
    let scratch = Scratch { sample: &pictures, folder: folder.path() };
    let container = output.map(|output| match output.extension() {
        Some(end) if end.eq_ignore_ascii_case("mkv") => Container::Matroska,
        _ => Container::Mp4,
    });
    Ok(MuxPlan::decide(tools, media, container, scratch, cancel)?)
}
