//! Opus that is copied into Matroska. Its header says how much of the beginning a decoder drops, and
//! readers take that from every packet's time. Some versions of ffmpeg write the header and do not add
//! it to the times, so that sound is early by it. Whether this one does is measured on the source.

use std::path::Path;
use std::process::Command;

use tokio_util::sync::CancellationToken;

use super::mux_plan::MuxPlan;
use super::streams::Container;
use crate::child;
use crate::error::{Error, Kind, Result};
use crate::media::Media;
use crate::probe::microseconds;
use crate::programs::{Tools, file_url};
use crate::stream_clock::Clock;

/// Where the measured packets are put: far from zero, which muxers treat in ways of their own.
const AT_US: i64 = 10_000_000;
/// Matroska's unit: what is less comes of rounding.
const UNIT_US: i64 = 1000;

/// How the clocks of kept streams are to be moved so that they are read as they are in the source.
pub(super) fn shifts(
    tools: &Tools,
    media: &Media,
    plan: &MuxPlan,
    folder: &Path,
    cancel: &CancellationToken,
) -> Result<Vec<Clock>> {
    let mut clocks = Vec::new();
    let copied = plan.kept.iter().filter(|kept| kept.converted_to.is_none());
    for kept in copied.filter(|kept| kept.codec == "opus") {
        if plan.container == Container::Matroska
            && let Some(clock) = shift(tools, media, kept.index, folder, cancel)?
        {
            clocks.push(clock);
        }
    }
    Ok(clocks)
}

fn shift(
    tools: &Tools,
    media: &Media,
    stream: u32,
    folder: &Path,
    cancel: &CancellationToken,
) -> Result<Option<Clock>> {
    let first = |path: &Path, stream: u32| first_packet(tools, path, stream, cancel);
    let Some((before, packet_us)) = first(&media.path, stream)? else { return Ok(None) };
    let out = tempfile::Builder::new()
        .prefix("trial-")
        .suffix(".mkv")
        .tempfile_in(folder)
        .map_err(|e| Error::io("create a file in", folder, e))?;
    let mut command = tools.ffmpeg();
    tools.guard(&mut command);
    command.args(["-copyts", "-itsoffset", &crate::seconds::seconds(AT_US - before), "-i"]);
    command.arg(file_url(&media.path)).args(["-map", &format!("0:{stream}"), "-c", "copy"]);
    command.args(["-frames", "3", "-f", "matroska"]).arg(file_url(out.path()));
    let ended = child::run(&mut command, cancel, Some(tools.limits.probe_time), |_| Ok(()))?;
    ended.check("try the sound's times", Kind::Input)?;
    let Some((after, _)) = first(out.path(), 0)? else { return Ok(None) };
    let early = AT_US - after;
    Ok((early > UNIT_US).then(|| Clock { stream, shifts: vec![(0, early)], packet_us }))
}

/// When the first packet of a stream is played, and how long it lasts, in microseconds.
fn first_packet(
    tools: &Tools,
    path: &Path,
    stream: u32,
    cancel: &CancellationToken,
) -> Result<Option<(i64, i64)>> {
    let mut command: Command = tools.ffprobe();
    tools.guard(&mut command);
    command.arg("-select_streams").arg(stream.to_string());
    command.args(["-read_intervals", "%+#1", "-show_entries", "packet=pts_time,duration_time"]);
    command.args(["-of", "compact=p=0", "-i"]).arg(file_url(path));
    let mut found = None;
    child::run(&mut command, cancel, Some(tools.limits.probe_time), |line| {
        let value = |name: &str| line.split('|').find_map(|field| field.strip_prefix(name));
        if let Some(time) = value("pts_time=").and_then(microseconds) {
            let length = value("duration_time=").and_then(microseconds).unwrap_or(0);
            found.get_or_insert((time, length.max(0)));
        }
        Ok(())
    })?;
    Ok(found)
}
