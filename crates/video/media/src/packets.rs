//! The packets of a stream.

use crate::damage::Damage;
use crate::stream_clock::Clock;
use crate::window::{Excerpted, Window};

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
    /// Only a part of the film is shown.
    pub(crate) excerpted: Option<Excerpted>,
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

    /// Whether only a part of the film is shown.
    pub fn are_excerpted(&self) -> bool {
        self.excerpted.is_some()
    }

    /// What the film was cut to.
    pub(crate) fn window(&self) -> Window {
        self.excerpted.as_ref().map(|excerpted| excerpted.window).unwrap_or_default()
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
        if let Some(excerpted) = &self.excerpted {
            return Some(excerpted.end);
        }
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
