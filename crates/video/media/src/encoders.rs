//! Finding out which encoders work here, before hours of work depend on one.
//!
//! A build of ffmpeg lists encoders that the machine cannot run (NVENC without a GPU), and an
//! encoder may refuse a size that another takes, so each is tried on the real format.

use std::path::Path;
use std::process::Command;

use tokio_util::sync::CancellationToken;

use parallax_frame::{FrameRate, VideoFormat};

use crate::child;
use crate::encode::{Codec, EncodeSettings, codec};
use crate::error::{Error, Kind, Result};
use crate::programs::{Tools, file_url};

/// The encoder to use, and why others were passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The first one that works.
    pub codec: Codec,
    /// What each one before it said.
    pub passed_over: Vec<(Codec, String)>,
}

/// Encodes two frames of `format` with each of `candidates` until one works.
///
/// # Errors
/// `Tool` naming what every candidate said when none works; `Cancelled`.
pub fn choose_encoder(
    tools: &Tools,
    format: &VideoFormat,
    settings: &EncodeSettings,
    candidates: &[Codec],
    cancel: &CancellationToken,
) -> Result<Choice> {
    let mut passed_over = Vec::new();
    for &candidate in candidates {
        let settings = EncodeSettings { codec: candidate, ..settings.clone() };
        match attempt(tools, format, &settings, cancel) {
            Ok(()) => return Ok(Choice { codec: candidate, passed_over }),
            Err(error) if error.kind() == Kind::Cancelled => return Err(error),
            Err(error) => passed_over.push((candidate, error.to_string())),
        }
    }
    let said: Vec<String> = passed_over.iter().map(|(_, why)| why.clone()).collect();
    Err(Error::new(Kind::Tool, format!("no encoder works here: {}", said.join("; "))))
}

fn attempt(
    tools: &Tools,
    format: &VideoFormat,
    settings: &EncodeSettings,
    cancel: &CancellationToken,
) -> Result<()> {
    let mut command = two_frames(tools, format, settings, "25");
    command.args(["-f", "null", "/dev/null"]);
    encode(tools, format, settings, &mut command, cancel)
}

/// Writes a film of two grey frames to `path` (MP4): of the codec, size and rate that a final file
/// will have, to try its other streams with.
///
/// # Errors
/// `Tool` when the encoder does not work; `Space`; `Io`; `Cancelled`.
pub fn sample(
    tools: &Tools,
    format: &VideoFormat,
    rate: FrameRate,
    settings: &EncodeSettings,
    path: &Path,
    cancel: &CancellationToken,
) -> Result<()> {
    let mut command = two_frames(tools, format, settings, &format!("{}/{}", rate.num, rate.den));
    let container = if settings.codec == Codec::Ffv1 { "mov" } else { "mp4" };
    command.args(["-f", container]).arg(file_url(path));
    encode(tools, format, settings, &mut command, cancel)
}

fn two_frames(
    tools: &Tools,
    format: &VideoFormat,
    settings: &EncodeSettings,
    rate: &str,
) -> Command {
    let mut command = tools.ffmpeg();
    let source = format!("color=gray:size={}x{}:rate={rate}", format.width, format.height);
    command.args(["-f", "lavfi", "-i", &source, "-frames:v", "2"]);
    codec(&mut command, format, settings);
    command
}

fn encode(
    tools: &Tools,
    format: &VideoFormat,
    settings: &EncodeSettings,
    command: &mut Command,
    cancel: &CancellationToken,
) -> Result<()> {
    let ended = child::run(command, cancel, Some(tools.limits.probe_time), |_| Ok(()))?;
    let doing = format!(
        "{} at {}x{} {}",
        settings.codec.encoder_name(),
        format.width,
        format.height,
        format.pixels.ffmpeg_name()
    );
    ended.check(&doing, Kind::Tool)
}
