//! Cutting a source into MP4 segments that start at 0 and hold exactly the source's frames.
//!
//! Packets are copied, not encoded, wherever that is exact, and the result is checked frame time
//! by frame time. It is not exact for containers without presentation times (AVI), codecs that
//! MP4 cannot hold and units finer than the muxer's microseconds: those are encoded again
//! without loss, upright, and [`Split::recoded`] says why.

mod recode;
mod segment;

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::boxes::{each_video_entry, each_video_header, patch};
use crate::child;
use crate::error::{Error, Kind, Result, show_path};
use crate::media::Media;
use crate::packets::Packets;
use crate::plan::Plan;
use crate::probe::probe;
use crate::programs::{Tools, file_url};
use crate::scan::scan;
use crate::seconds::seconds;
pub use segment::SegmentFile;
use segment::segment_path;

/// The segments of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// In order; at least one.
    pub segments: Vec<SegmentFile>,
    /// Why the pictures were encoded again, without loss; `None` when packets were copied.
    pub recoded: Option<String>,
}

/// Cuts the source that `media` and `packets` describe by `plan` into files in `out_dir`, an
/// existing empty folder.
///
/// # Errors
/// `Input` when the source is damaged or can neither be copied nor encoded; `Space`; `Io`;
/// `Tool`; `Cancelled`.
pub fn split(
    tools: &Tools,
    media: &Media,
    packets: &Packets,
    plan: &Plan,
    out_dir: &Path,
    cancel: &CancellationToken,
) -> Result<Split> {
    let why = match packets.frame_times() {
        None => "the container does not store presentation times".to_owned(),
        Some(_) if packets.are_moved() => "its times are mended".to_owned(),
        Some(_) if packets.gaps => "not all of its pictures are shown".to_owned(),
        Some(times) => match copy(tools, media, packets, plan, &times, out_dir, cancel) {
            Ok(segments) => return Ok(Split { segments, recoded: None }),
            Err(error) if error.kind() == Kind::Input => error.to_string(),
            Err(error) => return Err(error),
        },
    };
    tracing::info!(source = %show_path(&media.path), why, "segments are encoded without loss");
    let segments = recode::recode(tools, media, packets, plan, out_dir, cancel)?;
    Ok(Split { segments, recoded: Some(why) })
}

fn copy(
    tools: &Tools,
    media: &Media,
    packets: &Packets,
    plan: &Plan,
    times: &[i64],
    out_dir: &Path,
    cancel: &CancellationToken,
) -> Result<Vec<SegmentFile>> {
    let source = std::path::absolute(&media.path).map_err(|e| Error::io("open", &media.path, e))?;
    let video = &media.video;
    let mut command = tools.ffmpeg_copying(media.bytes);
    tools.guard(&mut command);
    // The segment muxer shifts every segment to 0 but the first: that one starts there already.
    let first_us = video.time_base.rescale(times[0], 1_000_000);
    command.args(["-copyts", "-itsoffset", &seconds(-first_us), "-i"]).arg(file_url(&source));
    command.args(["-map", &format!("0:{}", video.index), "-c", "copy", "-map_metadata", "-1"]);
    command.args(["-avoid_negative_ts", "disabled", "-f", "segment", "-reset_timestamps", "1"]);
    // ffmpeg begins to copy at the first keyframe, as the scan does.
    let mut cuts: Vec<String> =
        plan.segments.iter().skip(1).map(|s| s.first_packet.to_string()).collect();
    if cuts.is_empty() {
        // Without a list the muxer would cut every two seconds.
        cuts.push((i32::MAX - 1).to_string());
    }
    if packets.cut {
        command.args(["-frames:v", &packets.packets.len().to_string()]);
    }
    command.args(["-segment_frames", &cuts.join(","), "-segment_format", "mp4"]);
    let timescale = video.time_base.den;
    command.arg("-segment_format_options").arg(format!("video_track_timescale={timescale}"));
    // The muxer reads the name as a pattern, so the folder must not be part of it.
    command.current_dir(out_dir).arg("segment-%05d.mp4");
    let ended = child::run(&mut command, cancel, tools.patience(media.bytes), |_| Ok(()))?;
    ended.check(&format!("split {}", show_path(&media.path)), Kind::Input)?;

    let mut segments = Vec::with_capacity(plan.segments.len());
    let mut rest = times;
    for (index, planned) in plan.segments.iter().enumerate() {
        let count = (planned.frames as usize).min(rest.len());
        let (expected, later) = rest.split_at(count);
        let path = segment_path(out_dir, index);
        if media.is_broadcast() {
            leave_shape_to_stream(&path)?;
        }
        verify(tools, media, &path, expected, cancel)?;
        segments.push(SegmentFile { path, frames: count as u64, start: expected[0] });
        rest = later;
    }
    if !rest.is_empty() || segment_path(out_dir, segments.len()).exists() {
        return Err(Error::input(&media.path, "its segments do not add up to the source"));
    }
    Ok(segments)
}

/// Forgets the shape of the samples that the muxer wrote into the headers of the segment at `path`: it
/// is that of the source's beginning, and decoders would believe it of every picture.
fn leave_shape_to_stream(path: &Path) -> Result<()> {
    patch(path, |moov| {
        let mut size: Option<[u8; 4]> = None;
        each_video_entry(moov, |entry| {
            // Width and height follow 24 bytes of fields, in 16 bits each.
            size = size.or(entry.head.get(24..28).and_then(|bytes| bytes.try_into().ok()));
            for shape in entry.children.iter_mut().filter(|child| child.kind == *b"pasp") {
                shape.kind = *b"free";
            }
        })?;
        // Where it differs from that size, the one on the screen, rounded, tells a shape too.
        each_video_header(moov, |header| {
            let Some([a, b, c, d]) = size else { return };
            let end = header.head.len();
            if let Some(shown) = end.checked_sub(8).and_then(|from| header.head.get_mut(from..)) {
                shown.copy_from_slice(&[a, b, 0, 0, c, d, 0, 0]);
            }
        })
    })
}

/// Checks that the segment at `path` shows frames at exactly `expected`, shifted to 0, turned as
/// the source is.
fn verify(
    tools: &Tools,
    source: &Media,
    path: &Path,
    expected: &[i64],
    cancel: &CancellationToken,
) -> Result<()> {
    let media = probe(tools, path, cancel)?;
    let found = scan(tools, &media, cancel)?.frame_times().unwrap_or_default();
    let ticks = i64::from(source.video.time_base.num);
    let same = found.len() == expected.len()
        && !found.is_empty()
        && media.video.time_base.den == source.video.time_base.den
        && found.iter().zip(expected).all(|(f, e)| *f == (e - expected[0]) * ticks);
    if !same {
        let what = format!(
            "{} frames whose times are not those of the source's {}",
            found.len(),
            expected.len()
        );
        return Err(Error::input(path, what));
    }
    let size = |media: &Media| (media.video.format.width, media.video.format.height);
    if size(&media) != size(source) {
        return Err(Error::input(path, "has another size than its source begins with"));
    }
    let shape = |media: &Media| {
        let (num, den) = media.video.sample_aspect;
        f64::from(num) / f64::from(den)
    };
    if (shape(&media) / shape(source) - 1.0).abs() > 0.01 {
        return Err(Error::input(path, "has pixels of another shape than its source begins with"));
    }
    if media.video.rotation != source.video.rotation {
        return Err(Error::input(path, "lost the rotation of its source"));
    }
    Ok(())
}
