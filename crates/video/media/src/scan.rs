//! Every packet of the main video stream, without decoding: times, keyframes, what is shown.
//!
//! Read as a stream of lines, so that a feature film costs some megabytes (32 bytes a packet).

use tokio_util::sync::CancellationToken;

use crate::child;
use crate::damage::Damage;
use crate::error::{Error, Kind, Result, show_path};
use crate::probe::Media;
use crate::programs::{Tools, file_url};
use crate::remembered::{Listed, State};
use crate::survey::{Clock, survey};

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
    /// Presentation time in the file, where a mended one is shown instead.
    pub stored: Option<i64>,
}

impl Packet {
    /// A packet of nothing but a presentation time.
    pub fn at(pts: i64) -> Self {
        let pts = Some(pts);
        Self { pts, dts: None, duration: 0, key: false, hidden: false, stored: pts }
    }
}

/// The packets of a stream that a film can be made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Packets {
    /// In decode order.
    pub packets: Vec<Packet>,
    /// What was mended in the list.
    pub damage: Damage,
    /// How the other streams' clocks are to be continued where this one's jumps; mostly empty.
    pub clocks: Vec<Clock>,
    /// Packets at the file's beginning that are left out here, up to a keyframe.
    pub(crate) skipped: usize,
    /// Packets in the middle of the file are left out here, or not shown without a mark in it.
    pub(crate) gaps: bool,
    /// The file ends before its headers say.
    pub(crate) cut: bool,
}

impl From<Vec<Packet>> for Packets {
    fn from(packets: Vec<Packet>) -> Self {
        Self { packets, ..Self::default() }
    }
}

impl Packets {
    /// Whether times are not those that the file stores.
    pub fn are_moved(&self) -> bool {
        self.packets.iter().any(|packet| packet.pts != packet.stored)
    }

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

    /// Where the last shown packet ends, in ticks. When the container does not tell its length, that
    /// of most frames is taken: the one before it may have been a long pause. One length for all is
    /// no news: of containers that store none, ffprobe makes it of the average rate.
    pub fn end(&self) -> Option<i64> {
        let shown = self.packets.iter().filter(|packet| !packet.hidden);
        let mut times: Vec<(i64, i64)> =
            shown.filter_map(|p| p.pts.map(|pts| (pts, p.duration))).collect();
        times.sort_unstable();
        let &(last, length) = times.last()?;
        let guessed = times.len() > 2 && times.iter().all(|&(_, other)| other == length);
        if length > 0 && !guessed {
            return Some(last + length);
        }
        let mut lengths: Vec<i64> = times.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        lengths.sort_unstable();
        Some(last + lengths.get(lengths.len() / 2).map_or(1, |&length| length.max(1)))
    }
}

/// Scans the file that `media` describes, and mends what is odd about its packets' times, its
/// beginning and its end: [`Packets::damage`] tells.
///
/// # Errors
/// `Input` when the file is over a limit or has no packets, and, where `tools` refuse damage, when
/// it ends before its headers say or begins with pictures that cannot be decoded; `Io`; `Tool`;
/// `Cancelled`.
pub fn scan(tools: &Tools, media: &Media, cancel: &CancellationToken) -> Result<Packets> {
    let (packets, words) = match tools.remembered.list(media, &tools.limits) {
        Some(listed) => (*listed).clone(),
        None => list(tools, media, cancel)?,
    };
    survey(tools, media, packets, &words, cancel)
}

/// Every packet as the file has it, and what ffprobe complained of.
fn list(tools: &Tools, media: &Media, cancel: &CancellationToken) -> Result<Listed> {
    let path = &media.path;
    let before = State::of(path, &tools.limits, Some(media.video.index));
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
    if packets.is_empty() {
        return Err(Error::input(path, format!("no video packets. {}", ended.words())));
    }
    let listed = (packets, ended.words());
    tools.remembered.keep_list(media, &tools.limits, before, &listed);
    Ok(listed)
}

fn parse(line: &str) -> Option<Packet> {
    let mut packet = Packet { pts: None, stored: None, ..Packet::at(0) };
    let mut is_packet = false;
    for field in line.split('|') {
        let Some((name, value)) = field.split_once('=') else { continue };
        match name {
            "pts" => {
                packet.pts = value.parse().ok();
                packet.stored = packet.pts;
            }
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
        let packet = |pts, hidden| Packet { pts, hidden, ..Packet::at(0) };
        let mut packets = Packets::from(vec![packet(Some(-2), true), packet(Some(4), false)]);
        packets.packets.push(packet(Some(0), false));
        assert_eq!(packets.frame_times(), Some(vec![0, 4]));
        assert_eq!(packets.end(), Some(8));
        packets.packets.push(packet(None, false));
        assert_eq!(packets.frame_times(), None);
        assert_eq!(packets.shown(), 3);
    }

    #[test]
    fn after_a_long_pause_the_last_frame_is_as_long_as_most() {
        let packets: Vec<Packet> = [0, 40, 80, 120, 36_120].map(Packet::at).to_vec();
        assert_eq!(Packets::from(packets.clone()).end(), Some(36_160));
        let average = packets.into_iter().map(|packet| Packet { duration: 9000, ..packet });
        assert_eq!(Packets::from(average.collect::<Vec<_>>()).end(), Some(36_160));
        let mut long = [0, 40, 80].map(Packet::at).to_vec();
        long[2].duration = 948;
        assert_eq!(Packets::from(long).end(), Some(1028));
    }
}
