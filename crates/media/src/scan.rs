//! Every packet of the main video stream, without decoding: times, keyframes, what is shown.
//!
//! Read as a stream of lines, so that a feature film costs some megabytes (32 bytes a packet).

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::child;
use crate::error::{Error, Kind, Result, show_path};
use crate::probe::Media;
use crate::programs::{Tools, file_url};

/// One packet, in decode order. Times are ticks of the stream's time base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Presentation time; `None` in containers that do not store it (AVI).
    pub pts: Option<i64>,
    /// Decode time.
    pub dts: Option<i64>,
    /// Length, 0 when unknown.
    pub duration: i64,
    /// Decoding may start here, as far as the container knows.
    pub key: bool,
    /// Decoded but not shown: an edit list cuts it away.
    pub hidden: bool,
}

/// The packets of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packets {
    /// In decode order.
    pub packets: Vec<Packet>,
}

impl Packets {
    /// Number of packets that are shown. For almost all streams the number of frames; field-coded
    /// and damaged streams differ, which only decoding can tell.
    pub fn shown(&self) -> u64 {
        self.packets.iter().filter(|packet| !packet.hidden).count() as u64
    }

    /// Presentation times of what is shown, ascending; `None` when the container does not store
    /// them all or two are equal.
    pub fn frame_times(&self) -> Option<Vec<i64>> {
        let shown = self.packets.iter().filter(|packet| !packet.hidden);
        let mut times: Vec<i64> = shown.map(|packet| packet.pts).collect::<Option<_>>()?;
        times.sort_unstable();
        let distinct = times.windows(2).all(|pair| pair[0] < pair[1]);
        (distinct && !times.is_empty()).then_some(times)
    }

    /// Where the last shown packet ends, in ticks; its length is guessed from its predecessor
    /// when the container does not tell.
    pub fn end(&self) -> Option<i64> {
        let shown = || self.packets.iter().filter(|packet| !packet.hidden);
        let last = shown().filter_map(|p| p.pts.map(|pts| (pts, p.duration))).max()?;
        if last.1 > 0 {
            return Some(last.0 + last.1);
        }
        let before = shown().filter_map(|p| p.pts).filter(|&pts| pts < last.0).max();
        Some(last.0 + before.map_or(1, |before| last.0 - before))
    }
}

/// Scans the file that `media` describes.
///
/// # Errors
/// `Input` when the file ends before its headers say, is over a limit or has no packets; `Io`;
/// `Tool`; `Cancelled`.
pub fn scan(tools: &Tools, media: &Media, cancel: &CancellationToken) -> Result<Packets> {
    let path = &media.path;
    let mut command = tools.ffprobe();
    tools.guard(&mut command);
    command.arg("-select_streams").arg(media.video.index.to_string());
    command.args(["-show_entries", "packet=pts,dts,duration,flags", "-of", "compact=p=0"]);
    command.arg("-i").arg(file_url(path));
    let mut packets = Vec::new();
    let ended = child::run(&mut command, cancel, Some(tools.limits.scan_time), |line| {
        if let Some(packet) = parse(line) {
            packets.push(packet);
        }
        if packets.len() as u64 > tools.limits.frames {
            let what = format!("more frames than the {} that are allowed", tools.limits.frames);
            return Err(Error::input(path, what));
        }
        Ok(())
    })?;
    ended.check(&format!("{}: scan its packets", show_path(path)), Kind::Input)?;
    let packets = Packets { packets };
    check_whole(path, media, &packets, &ended.words())?;
    Ok(packets)
}

/// Refuses a file that lost its end. ffprobe ends well on most of these, so this looks at the
/// count that the headers promise (MP4), at the size (MPEG-TS, whose packets have one length) and
/// at what the demuxers say when they run into the end.
fn check_whole(path: &Path, media: &Media, packets: &Packets, said: &str) -> Result<()> {
    let found = packets.packets.len() as u64;
    if found == 0 {
        return Err(Error::input(path, format!("no video packets. {said}")));
    }
    if let Some(promised) = media.video.frames.filter(|&promised| promised > found)
        && media.is_mp4()
        && (said.contains("partial file") || said.contains("truncat"))
    {
        let what = format!("truncated: {found} of {promised} frames are there");
        return Err(Error::input(path, what));
    }
    let in_packets = [188, 192, 204].iter().any(|size| media.bytes.is_multiple_of(*size));
    if media.container == "mpegts" && !in_packets {
        let what = format!("truncated inside a transport packet, after {found} frames");
        return Err(Error::input(path, what));
    }
    for sign in ["partial file", "File ended prematurely", "truncating packet"] {
        if said.contains(sign) {
            let what = format!("truncated after {found} frames: {said}");
            return Err(Error::input(path, what));
        }
    }
    Ok(())
}

fn parse(line: &str) -> Option<Packet> {
    let mut packet = Packet { pts: None, dts: None, duration: 0, key: false, hidden: false };
    let mut is_packet = false;
    for field in line.split('|') {
        let Some((name, value)) = field.split_once('=') else { continue };
        match name {
            "pts" => packet.pts = value.parse().ok(),
            "dts" => packet.dts = value.parse().ok(),
            "duration" => packet.duration = value.parse().unwrap_or(0).max(0),
            "flags" => {
                is_packet = true;
                packet.key = value.contains('K');
                packet.hidden = value.contains('D');
            }
            _ => {}
        }
    }
    is_packet.then_some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_old_and_new_ffprobe_are_read() {
        let old = parse("pts=-5005|dts=-7007|duration=1001|flags=KD").unwrap();
        assert_eq!((old.pts, old.dts, old.key, old.hidden), (Some(-5005), Some(-7007), true, true));
        let new = parse("pts=N/A|dts=3|duration=N/A|flags=__C|side_data|").unwrap();
        assert_eq!((new.pts, new.dts, new.duration, new.key), (None, Some(3), 0, false));
        assert_eq!(parse("side_data|x=1"), None);
    }

    #[test]
    fn hidden_and_untimed_packets_are_told_apart() {
        let packet = |pts, hidden| Packet { pts, dts: None, duration: 0, key: false, hidden };
        let mut packets = Packets { packets: vec![packet(Some(-2), true), packet(Some(4), false)] };
        packets.packets.push(packet(Some(0), false));
        assert_eq!(packets.frame_times(), Some(vec![0, 4]));
        assert_eq!(packets.end(), Some(8));
        packets.packets.push(packet(None, false));
        assert_eq!(packets.frame_times(), None);
        assert_eq!(packets.shown(), 3);
    }
}
