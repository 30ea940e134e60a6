//! The results' video: what they hold, when each starts, and the list that joins them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::media::Media;
use crate::packets::Packets;
use crate::probe::probe;
use crate::programs::Tools;
use crate::scan::scan;
use crate::seconds::seconds;

/// One result.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    /// Presentation times in microseconds after its first frame.
    times_us: Vec<i64>,
    /// Length in microseconds, by its own account.
    length_us: i64,
    /// Its packets, and which of them, from 0, holds the frame that is shown last.
    packets: (usize, usize),
}

/// When what is shown. All times in microseconds.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Time of the first frame on the source's clock.
    pub(super) start_us: i64,
    /// Length of each part but the last: the distance to the next one's start.
    lengths_us: Vec<i64>,
    /// Time of every frame after the first one.
    pub(super) times_us: Vec<i64>,
    /// The packet of the joined video, from 0, that holds the last frame, and how long that is shown:
    /// as long as in the source, which the last segment does not know.
    last: Option<(usize, i64)>,
    /// What could not be kept exactly.
    pub(super) warnings: Vec<String>,
}

impl Timeline {
    /// Options of the joined video, output stream 0: its packets are copied but for the last one's
    /// length.
    pub(super) fn arguments(&self, command: &mut Command) {
        if let Some((packet, length_us)) = self.last {
            let length = format!("if(eq(N\\,{packet})\\,round({length_us}/1000000/TB)\\,DURATION)");
            command.args(["-bsf:v:0", &format!("setts=pts=PTS:dts=DTS:duration={length}")]);
        }
    }
}

/// A private folder with a concat list and links that it names.
#[derive(Debug)]
pub(super) struct List(TempDir);

impl List {
    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("list")
    }
}

/// Looks into every result and refuses a set that does not go together.
pub(super) fn read(
    tools: &Tools,
    results: &[PathBuf],
    cancel: &CancellationToken,
) -> Result<Vec<Part>> {
    let mut parts = Vec::with_capacity(results.len());
    let mut first: Option<Media> = None;
    for path in results {
        let media = probe(tools, path, cancel)?;
        let packets = scan(tools, &media, cancel)?;
        let Some(times) = packets.frame_times() else {
            return Err(Error::input(path, "a result without presentation times"));
        };
        let unit = media.video.time_base;
        let us = |pts: i64| unit.rescale(pts, 1_000_000);
        let length_us = us(packets.end().unwrap_or(times[0])) - us(times[0]);
        let times_us = times.iter().map(|&pts| us(pts) - us(times[0])).collect();
        let path = std::path::absolute(path).map_err(|e| Error::io("open", path, e))?;
        let list = &packets.packets;
        let last = list.iter().enumerate().filter(|(_, packet)| !packet.hidden);
        let last = last.max_by_key(|(_, packet)| packet.pts).map_or(0, |(place, _)| place);
        parts.push(Part { path, times_us, length_us, packets: (list.len(), last) });
        match &first {
            None => first = Some(media),
            Some(first) => same_kind(first, &media)?,
        }
    }
    Ok(parts)
}

/// Packets of one track share a codec, a picture format and a unit of time.
fn same_kind(first: &Media, other: &Media) -> Result<()> {
    let describe = |media: &Media| {
        let video = &media.video;
        let format = &video.format;
        format!(
            "{} {}x{} {} turned {} in 1/{} s",
            video.codec,
            format.width,
            format.height,
            video.pixel_name,
            video.rotation,
            video.time_base.den
        )
    };
    let (expected, found) = (describe(first), describe(other));
    if expected != found {
        let what = format!("{found} cannot follow a segment of {expected}");
        return Err(Error::input(&other.path, what));
    }
    Ok(())
}

/// Puts the parts on the source's clock: by its frame times when the counts agree, else one after
/// another by their own lengths.
pub(super) fn timeline(source: &Media, packets: &Packets, parts: &[Part]) -> Timeline {
    let total: usize = parts.iter().map(|part| part.times_us.len()).sum();
    let unit = source.video.time_base;
    let first_packet = packets.packets.iter().filter(|p| !p.hidden).find_map(|p| p.pts.or(p.dts));
    let times: Option<Vec<i64>> = packets
        .frame_times()
        .map(|times| times.iter().map(|&pts| unit.rescale(pts, 1_000_000)).collect());
    match times {
        Some(times) if times.len() == total => {
            let last_us = times.last().copied().unwrap_or(0);
            let end_us = packets.end().map_or(last_us, |end| unit.rescale(end, 1_000_000));
            let mut timeline = exact(&times, parts);
            if let Some((last, before)) = parts.split_last() {
                let before: usize = before.iter().map(|part| part.packets.0).sum();
                let length_us = end_us - last_us;
                let own_us = last.length_us - last.times_us.last().copied().unwrap_or(0);
                // A millisecond is what Matroska rounds by.
                if (length_us - own_us).abs() > 1000 {
                    timeline.last = Some((before + last.packets.1, length_us));
                }
            }
            timeline
        }
        times => {
            let shown = packets.shown();
            let start_us = match &times {
                Some(times) => times[0],
                None => first_packet.map_or(0, |pts| unit.rescale(pts, 1_000_000)),
            };
            let mut timeline = by_length(start_us, parts);
            // Without presentation times the counts are all there is, and they may well agree.
            if shown != total as u64 {
                let what = format!(
                    "the segments have {total} frames, the source {shown}: placed by their lengths"
                );
                timeline.warnings.push(what);
            }
            timeline
        }
    }
}

fn exact(times: &[i64], parts: &[Part]) -> Timeline {
    let mut lengths_us = Vec::with_capacity(parts.len());
    let mut warnings = Vec::new();
    let mut rest = times;
    for (index, part) in parts.iter().enumerate() {
        let (own, later) = rest.split_at(part.times_us.len());
        lengths_us.push(later.first().map_or(part.length_us, |next| next - own[0]));
        // Results of other programs may have lost a variable rate; a millisecond is no news.
        let worst = own.iter().zip(&part.times_us).map(|(s, p)| (s - own[0] - p).abs()).max();
        if let Some(worst) = worst.filter(|&worst| worst > 1000) {
            let what =
                format!("segment {index} has times of its own, up to {} ms off", worst / 1000);
            warnings.push(what);
        }
        rest = later;
    }
    let times_us = times.iter().map(|time| time - times[0]).collect();
    Timeline { start_us: times[0], lengths_us, times_us, last: None, warnings }
}

fn by_length(start_us: i64, parts: &[Part]) -> Timeline {
    let mut times_us = Vec::new();
    let mut start = 0;
    for part in parts {
        times_us.extend(part.times_us.iter().map(|time| start + time));
        start += part.length_us;
    }
    let lengths_us = parts.iter().map(|part| part.length_us).collect();
    Timeline { start_us, lengths_us, times_us, last: None, warnings: Vec::new() }
}

/// Writes the list beside `out`. The demuxer accepts only harmless names, so each part gets a link.
pub(super) fn write_list(parts: &[Part], timeline: &Timeline, out: &Path) -> Result<List> {
    let beside = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = tempfile::Builder::new()
        .prefix(".parallax-join-")
        .tempdir_in(beside)
        .map_err(|e| Error::io("create a folder in", beside, e))?;
    let list = List(folder);
    let mut text = String::from("ffconcat version 1.0\n");
    for (index, (part, length_us)) in parts.iter().zip(&timeline.lengths_us).enumerate() {
        let name = format!("{index:05}.mp4");
        link(&part.path, &list.0.path().join(&name))?;
        let _ = writeln!(text, "file {name}\nduration {}", seconds((*length_us).max(1)));
    }
    std::fs::write(list.path(), text).map_err(|e| Error::io("write", &list.path(), e))?;
    Ok(list)
}

fn link(from: &Path, to: &Path) -> Result<()> {
    std::os::unix::fs::symlink(from, to).map_err(|e| Error::io("link", to, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(times_us: &[i64], length_us: i64) -> Part {
        Part {
            path: PathBuf::from("x"),
            times_us: times_us.to_vec(),
            length_us,
            packets: (times_us.len(), times_us.len() - 1),
        }
    }

    #[test]
    fn parts_start_where_their_first_frame_is_in_the_source() {
        let parts = [part(&[0, 40_000], 80_000), part(&[0, 33_000], 66_000)];
        let timeline = exact(&[500, 40_500, 90_500, 123_500], &parts);
        assert_eq!(timeline.start_us, 500);
        assert_eq!(timeline.lengths_us, [90_000, 66_000]);
        assert_eq!(timeline.times_us, [0, 40_000, 90_000, 123_000]);
        assert!(timeline.warnings.is_empty());
    }

    #[test]
    fn a_part_that_lost_the_rate_is_told() {
        let parts = [part(&[0, 40_000, 80_000], 120_000)];
        let timeline = exact(&[0, 55_000, 80_000], &parts);
        assert_eq!(timeline.warnings.len(), 1);
        assert!(timeline.warnings[0].contains("15 ms"), "{:?}", timeline.warnings);
    }
}
