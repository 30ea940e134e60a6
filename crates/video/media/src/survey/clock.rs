//! A clock that jumps: two recordings joined, a receiver that lost its signal, a counter set anew.
//!
//! Every stream has the jump in its own packets. Pictures and sound of what follows are moved by
//! one amount, so that they stay in step: the first of them begins where the last of what was
//! before ends.

use tokio_util::sync::CancellationToken;

use crate::child;
use crate::damage::DamageKind;
use crate::error::{Error, Result};
use crate::media::{Media, StreamKind};
use crate::packets::Packets;
use crate::probe::microseconds;
use crate::programs::{Tools, file_url};
use crate::stream_clock::Clock;

/// Decode times only rise. What falls by less is no other recording, unless it falls to where this one
/// began after so many packets whose times rose.
const BACK_US: i64 = 500_000;
const RISING: u64 = 3;
/// Transport streams have no silence of this length; ffmpeg's own limit.
const FORWARD_US: i64 = 10_000_000;
/// Pictures and sound of a recording begin within this time.
const TOGETHER_US: i64 = 5_000_000;
/// Jumps of one film.
const MOST_JUMPS: usize = 200;
/// Packets of all streams that are looked at.
const MOST_PACKETS: usize = 1 << 26;

/// A packet of any stream; times in microseconds.
#[derive(Debug, Clone, Copy)]
struct Seen {
    stream: u32,
    /// Decode time.
    dts: i64,
    pts: i64,
    end: i64,
}

/// Where a stream's times jump: place among all packets, number in its stream, and the new time.
#[derive(Debug, Clone, Copy)]
struct Jump {
    place: usize,
    number: u64,
    from: i64,
    to: i64,
}

/// Continues the clock of `packets` wherever it jumps, and says how the other streams' clocks are
/// to be continued.
pub(super) fn continue_clock(
    tools: &Tools,
    media: &Media,
    packets: &mut Packets,
    cancel: &CancellationToken,
) -> Result<()> {
    let unit = media.video.time_base;
    let own = packets.packets.iter().filter_map(|packet| {
        let us = |ticks| unit.rescale(ticks, 1_000_000);
        let dts = packet.dts?;
        Some((us(dts), us(dts + packet.duration)))
    });
    if jumps(own, media.is_broadcast()).is_empty() {
        return Ok(());
    }
    let seen = read(tools, media, cancel)?;
    let film = Film { media, seen: &seen };
    let real = film.real_jumps();
    if real.is_empty() {
        return Ok(());
    }
    if real.len() > MOST_JUMPS {
        let what = format!("its clock jumps {} times; allowed are {MOST_JUMPS}", real.len());
        return Err(Error::input(&media.path, what));
    }
    let starts = film.starts(&real);
    let shifts = film.shifts(&starts);
    for (&(stream, _), own) in starts.iter().zip(&shifts) {
        if stream != media.video.index {
            let packet_us = film.length(stream);
            packets.clocks.push(Clock { stream, shifts: own.clone(), packet_us });
            continue;
        }
        let (mut at, mut ticks) = (own.iter().peekable(), 0);
        for (number, packet) in (0..).zip(&mut packets.packets) {
            while let Some((_, shift)) = at.next_if(|(first, _)| *first <= number) {
                ticks = rescaled(*shift, unit);
            }
            packet.pts = packet.pts.map(|pts| pts + ticks);
            packet.dts = packet.dts.map(|dts| dts + ticks);
        }
        for &(first, _) in own {
            let at = packets.packets.get(first as usize).and_then(|packet| packet.pts);
            packets.note(media, DamageKind::Clock, 1, at);
        }
    }
    Ok(())
}

fn rescaled(us: i64, unit: parallax_frame::TimeBase) -> i64 {
    let ticks = i128::from(us) * i128::from(unit.den);
    let each = 1_000_000 * i128::from(unit.num);
    i64::try_from((ticks + each / 2).div_euclid(each)).unwrap_or(0)
}

/// Numbers of the packets before which times jump; of each packet its decode time and its end. A long
/// gap is a jump when `forward`: where the clock is a broadcaster's.
fn jumps(packets: impl Iterator<Item = (i64, i64)>, forward: bool) -> Vec<(u64, i64, i64)> {
    let mut last: Option<(i64, i64)> = None;
    // Where the recording began, and how many of its packets rose without a fall between them.
    let (mut began, mut rising) = (0, 0);
    let mut found = Vec::new();
    for (number, (dts, end)) in (0..).zip(packets) {
        let jumps = last.is_some_and(|(before, ended)| {
            let again = dts < before && dts <= began && rising >= RISING;
            again || dts < before - BACK_US || forward && dts > ended + FORWARD_US
        });
        if let Some((_, ended)) = last.filter(|_| jumps) {
            found.push((number, ended, dts));
        }
        (began, rising) = match last {
            Some((before, _)) if !jumps && dts >= before => (began, rising.saturating_add(1)),
            // A ripple: from here on it only ends where it falls far.
            Some(_) if !jumps => (i64::MIN, 0),
            _ => (dts, 1),
        };
        last = Some((dts, end));
    }
    found
}

/// Every packet of every stream, in file order.
fn read(tools: &Tools, media: &Media, cancel: &CancellationToken) -> Result<Vec<Seen>> {
    let mut command = tools.ffprobe();
    tools.guard(&mut command);
    command.args(["-show_entries", "packet=stream_index,pts_time,dts_time,duration_time"]);
    command.args(["-of", "compact=p=0", "-i"]).arg(file_url(&media.path));
    let mut seen = Vec::new();
    child::run(&mut command, cancel, Some(tools.limits.scan_time), |line| {
        seen.extend(parse(line));
        if seen.len() > MOST_PACKETS {
            let what = format!("more packets than the {MOST_PACKETS} that are allowed");
            return Err(Error::input(&media.path, what));
        }
        Ok(())
    })?;
    Ok(seen)
}

fn parse(line: &str) -> Option<Seen> {
    let value =
        |name: &str| line.split('|').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    let stream = value("stream_index")?.parse().ok()?;
    let time = |name| value(name).and_then(microseconds);
    let (pts, dts) = (time("pts_time"), time("dts_time"));
    let (pts, dts) = (pts.or(dts)?, dts.or(pts)?);
    Some(Seen { stream, dts, pts, end: pts + time("duration_time").unwrap_or(0).max(0) })
}

struct Film<'a> {
    media: &'a Media,
    seen: &'a [Seen],
}

impl Film<'_> {
    /// The packets of one stream, with their places.
    fn of(&self, stream: u32) -> impl Iterator<Item = (usize, &Seen)> {
        self.seen.iter().enumerate().filter(move |(_, seen)| seen.stream == stream)
    }

    fn jumps_of(&self, stream: u32) -> Vec<Jump> {
        let times = self.of(stream).map(|(_, seen)| (seen.dts, seen.end.max(seen.dts)));
        let found = jumps(times, self.media.is_broadcast());
        let places: Vec<usize> = self.of(stream).map(|(place, _)| place).collect();
        let jump = |(number, from, to)| Jump { place: places[number as usize], number, from, to };
        found.into_iter().map(jump).collect()
    }

    /// Length of most packets of a stream, in microseconds.
    fn length(&self, stream: u32) -> i64 {
        let mut lengths: Vec<i64> = self.of(stream).map(|(_, seen)| seen.end - seen.pts).collect();
        lengths.sort_unstable();
        lengths.get(lengths.len() / 2).copied().unwrap_or(0)
    }

    fn is_sound(&self, stream: u32) -> bool {
        let found = self.media.streams.iter().find(|s| s.index == stream);
        found.is_some_and(|stream| stream.kind == StreamKind::Audio)
    }

    /// The jumps of the pictures' clock. While sound goes on, a picture that stays is only a
    /// picture that stays.
    fn real_jumps(&self) -> Vec<Jump> {
        let all = self.jumps_of(self.media.video.index);
        let mut real = Vec::new();
        for (index, jump) in all.iter().enumerate() {
            let from = index.checked_sub(1).map_or(0, |before| all[before].place);
            let to = all.get(index + 1).map_or(self.seen.len(), |after| after.place);
            let inside = jump.from + 1_000_000..jump.to - 1_000_000;
            let goes_on = self.seen[from..to]
                .iter()
                .any(|seen| self.is_sound(seen.stream) && inside.contains(&seen.dts));
            if jump.to < jump.from || !goes_on {
                real.push(*jump);
            }
        }
        real
    }

    /// For each stream, the numbers of the packets that begin a new recording.
    fn starts(&self, real: &[Jump]) -> Vec<(u32, Vec<u64>)> {
        let mut streams: Vec<u32> = self.seen.iter().map(|seen| seen.stream).collect();
        streams.sort_unstable();
        streams.dedup();
        let main = self.media.video.index;
        let starts = |stream: u32| {
            if stream == main {
                return real.iter().map(|jump| jump.number).collect();
            }
            let own = if self.is_sound(stream) { self.jumps_of(stream) } else { Vec::new() };
            let places: Vec<usize> = self.of(stream).map(|(place, _)| place).collect();
            let start = |jump: &Jump| {
                let same = |own: &&Jump| {
                    (own.to < own.from) == (jump.to < jump.from)
                        && (own.to - jump.to).abs() < TOGETHER_US
                };
                let nearest = own.iter().filter(same).min_by_key(|o| o.place.abs_diff(jump.place));
                let behind = || places.partition_point(|&place| place < jump.place) as u64;
                nearest.map_or_else(behind, |own| own.number)
            };
            real.iter().map(start).collect()
        };
        streams.into_iter().map(|stream| (stream, starts(stream))).collect()
    }

    /// For each stream of `starts`, from which packet on its times rise by how much.
    fn shifts(&self, starts: &[(u32, Vec<u64>)]) -> Vec<Vec<(u64, i64)>> {
        let count = starts.first().map_or(0, |(_, starts)| starts.len());
        // When pictures and sound of each recording begin and end.
        let mut begin = vec![i64::MAX; count + 1];
        let mut end = vec![i64::MIN; count + 1];
        for (stream, firsts) in starts {
            if *stream != self.media.video.index && !self.is_sound(*stream) {
                continue;
            }
            for (number, (_, seen)) in (0..).zip(self.of(*stream)) {
                let recording = firsts.partition_point(|&first| first <= number);
                begin[recording] = begin[recording].min(seen.pts);
                end[recording] = end[recording].max(seen.end);
            }
        }
        let mut rises = vec![0];
        for recording in 1..=count {
            let before = rises[recording - 1];
            let rise = end[recording - 1].saturating_add(before).saturating_sub(begin[recording]);
            // A recording without pictures or sound has no times to continue.
            let empty = begin[recording] == i64::MAX || end[recording - 1] == i64::MIN;
            rises.push(if empty { before } else { rise });
        }
        let rises = &rises[1..];
        starts
            .iter()
            .map(|(_, firsts)| firsts.iter().copied().zip(rises.iter().copied()).collect())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_told_from_gaps_and_from_ripples() {
        let times = |list: &[i64]| -> Vec<(i64, i64)> {
            list.iter().map(|&s| (s * 100_000, s * 100_000 + 100_000)).collect()
        };
        let list = times(&[0, 1, 2, 1, 0, 500, 501, 3]);
        let numbers = |forward| -> Vec<u64> {
            jumps(list.iter().copied(), forward).into_iter().map(|(number, ..)| number).collect()
        };
        assert_eq!(numbers(true), [5, 7]);
        assert_eq!(numbers(false), [7]);
        let short = times(&[3, 4, 5, 3, 4, 5, 6, 3, 4, 3, 4, 5]);
        let of = |list: &[(i64, i64)]| -> Vec<u64> {
            jumps(list.iter().copied(), false).into_iter().map(|(number, ..)| number).collect()
        };
        assert_eq!(of(&short), [3, 7], "two packets are too few to tell");
    }

    #[test]
    fn lines_of_all_kinds_of_packets_are_read() {
        let line = "stream_index=1|pts_time=1.400000|dts_time=N/A|duration_time=0.040000|";
        let seen = parse(line).unwrap();
        assert_eq!((seen.stream, seen.dts, seen.end), (1, 1_400_000, 1_440_000));
        assert!(parse("stream_index=0|pts_time=N/A|dts_time=N/A").is_none());
        assert!(parse("side_data|").is_none());
    }

    #[test]
    fn shifts_are_steps_of_one_expression() {
        let shifts = vec![(48, 2_000_000), (96, 1_500_000)];
        let clock = Clock { stream: 1, shifts, packet_us: 0 };
        let rise = "round((gte(N\\,48)*(2000000)+gte(N\\,96)*(-500000))/1000000/TB)";
        assert_eq!(clock.filter("1/SR"), format!("setts=pts=PTS+{rise}:dts=DTS+{rise}"));
    }
}
