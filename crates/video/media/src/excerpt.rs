//! A part of a film, and fewer of its frames: which packets are shown then, and how the rest of the
//! film is cut along with them.
//!
//! What is not wanted is hidden as an edit list hides it, so everything that follows counts, cuts and
//! joins as it always does. What else goes along is in [`crate::window`].

use parallax_frame::{FrameRate, TimeBase};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::media::Media;
use crate::packets::Packets;
use crate::plan::cut_points;
use crate::seconds::seconds;
use crate::window::{Excerpted, TOLERANCE_US, Window};

/// A transport stream is looked for by its clock, and found a little late.
const EARLIER_US: i64 = 5_000_000;

/// Which frames of a film are wanted. Defaults to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Excerpt {
    /// Those from this time on, in microseconds after the film's beginning.
    pub start_us: Option<i64>,
    /// Those before this time, in microseconds after the film's beginning.
    pub end_us: Option<i64>,
    /// At most so many in a second, as a fraction.
    pub most_per_second: Option<(u32, u32)>,
}

impl Excerpt {
    /// Whether it is the whole film.
    pub fn is_whole(&self) -> bool {
        *self == Self::default()
    }
}

/// The `packets` of the file that `media` describes, of which only what `excerpt` wants is shown.
///
/// # Errors
/// `Input` when the container stores no times to choose by, when they had to be mended, and when
/// nothing is left.
pub fn excerpt(packets: Packets, media: &Media, excerpt: &Excerpt) -> Result<Packets> {
    if excerpt.is_whole() {
        return Ok(packets);
    }
    let refused = |why: &str| Err(Error::input(&media.path, format!("{why}: {WAY_ON}")));
    let Some(times) = packets.frame_times() else {
        return refused("its container stores no presentation times to choose frames by");
    };
    if packets.are_moved() || !packets.clocks.is_empty() {
        return refused("its clock jumps, so that no time is that of one place");
    }
    let clock = MediaClock { unit: media.video.time_base, start_us: media.start_us };
    let from = excerpt.start_us.map_or(i64::MIN, |us| us - TOLERANCE_US);
    let until = excerpt.end_us.map_or(i64::MAX, |us| us - TOLERANCE_US);
    let first = times.partition_point(|&time| clock.us(time) < from);
    let after = times.partition_point(|&time| clock.us(time) < until);
    if first >= after {
        let (from, until) = (excerpt.start_us.unwrap_or(0), excerpt.end_us);
        let until = until.map_or("its end".to_owned(), |us| format!("{} s", seconds(us)));
        let what = format!("no picture begins from {} s to {until}", seconds(from));
        return Err(Error::input(&media.path, what));
    }
    let end = times.get(after).copied().or(packets.end()).unwrap_or(times[after - 1] + 1);
    let window = Window {
        start_us: (first > 0).then(|| media.start_us + clock.us(times[first])),
        end_us: (after < times.len()).then(|| media.start_us + clock.us(end)),
    };
    let within = &times[first..after];
    let wanted = match excerpt.most_per_second {
        None => within.to_vec(),
        Some((num, den)) => thinned(within, clock.unit, FrameRate { num, den }, media.video.rate),
    };
    let seek_us = if first > 0 { beginning(&packets, media, wanted[0]) } else { None };
    Ok(only(packets, &wanted, Excerpted { window, end, seek_us }))
}

/// Where to begin reading for the frame at `first`, in microseconds; `None` for the file's beginning.
fn beginning(packets: &Packets, media: &Media, first: i64) -> Option<i64> {
    let cuts = cut_points(packets).into_iter().skip(1);
    let mut from = cuts.filter_map(|cut| packets.packets[cut].pts).filter(|&at| at <= first);
    let earlier = if media.is_broadcast() { EARLIER_US } else { 0 };
    from.next_back().map(|at| media.video.time_base.rescale(at, 1_000_000) - earlier)
}

/// Hides all packets but those at `wanted` times, ascending.
fn only(mut packets: Packets, wanted: &[i64], excerpted: Excerpted) -> Packets {
    for packet in packets.packets.iter_mut().filter(|packet| !packet.hidden) {
        packet.hidden = packet.pts.is_none_or(|pts| wanted.binary_search(&pts).is_err());
        packets.gaps |= packet.hidden;
    }
    packets.excerpted = Some(excerpted);
    packets
}

/// Frames per second of what `packets` show: that of all packets, unless some are left out.
pub fn shown_rate(packets: &Packets, media: &Media) -> FrameRate {
    let unit = media.video.time_base;
    let rate = || {
        let (excerpted, times) = (packets.excerpted.as_ref()?, packets.frame_times()?);
        let ticks = u64::try_from(excerpted.end - times[0]).ok().filter(|&ticks| ticks > 0)?;
        let num = times.len() as u64 * u64::from(unit.den);
        let den = ticks * u64::from(unit.num);
        let shrink = (num.max(den) >> 31) + 1;
        let part = |value: u64| u32::try_from(value / shrink).unwrap_or(u32::MAX).max(1);
        Some(FrameRate { num: part(num), den: part(den) })
    };
    rate().unwrap_or(media.video.rate)
}

const WAY_ON: &str = "--start, --end and --fps need times; leave them out, or make a clean copy of \
                      the part first, such as by ffmpeg -i film -ss START -to END part.mkv";

/// The clock of a film.
struct MediaClock {
    unit: TimeBase,
    start_us: i64,
}

impl MediaClock {
    /// Microseconds after the film's beginning.
    fn us(&self, ticks: i64) -> i64 {
        self.unit.rescale(ticks, 1_000_000) - self.start_us
    }
}

/// Those of `times`, ascending, that make at most `most` frames per second, of a film of `rate`.
///
/// A frame is taken when it is due. One that comes late does not move those after it, so that the rate
/// is met where it is no fraction of the film's; but by less than a frame, so that films of 59.94 frames
/// give every second one to a limit of 30, without a jump now and then.
fn thinned(times: &[i64], unit: TimeBase, most: FrameRate, rate: FrameRate) -> Vec<i64> {
    let us = |time: i64| unit.rescale(time - times[0], 1_000_000);
    let length_us = |rate: FrameRate| i64::from(rate.den) * 1_000_000 / i64::from(rate.num.max(1));
    let step = length_us(most);
    // No pause earns more than a frame.
    let late = (length_us(rate) * 9 / 10).min(step * 9 / 10);
    // Times of Matroska are rounded to milliseconds.
    let tolerance = TOLERANCE_US.min(step / 4);
    let (mut wanted, mut due) = (Vec::new(), i64::MIN);
    for &time in times {
        let now = us(time);
        if now < due.saturating_sub(tolerance) {
            continue;
        }
        wanted.push(time);
        due = due.saturating_add(step).max(now + step - late);
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: TimeBase = TimeBase { num: 1, den: 60_000 };

    fn rate_of(times: &[i64], most: u32, rate: (u32, u32)) -> Vec<i64> {
        let rate = FrameRate { num: rate.0, den: rate.1 };
        thinned(times, SECOND, FrameRate { num: most, den: 1 }, rate)
    }

    #[test]
    fn half_of_a_rate_that_is_no_whole_number_is_every_second_frame() {
        let times: Vec<i64> = (0..20_000).map(|n| n * 1001).collect();
        let every_second: Vec<i64> = (0..10_000).map(|n| n * 2002).collect();
        assert_eq!(rate_of(&times, 30, (60_000, 1001)), every_second);
    }

    #[test]
    fn pauses_earn_no_bursts() {
        let slow = (0..16).map(|n| n * 60_000);
        let fast = (0..240).map(|n| 16 * 60_000 + n * 1000);
        let times: Vec<i64> = slow.chain(fast).collect();
        let kept = rate_of(&times, 20, (12, 1));
        for second in 0..4 {
            let from = (16 + second) * 60_000;
            let count = kept.iter().filter(|time| (from..from + 60_000).contains(*time)).count();
            assert!(count <= 21, "{count} frames in second {second}");
        }
    }

    #[test]
    fn other_rates_are_met_on_the_average_and_never_exceeded_for_long() {
        for (rate, most) in [(60_u32, 24_u32), (30, 24), (25, 24), (50, 30)] {
            let length = 60_000 / i64::from(rate);
            let times: Vec<i64> = (0..i64::from(rate) * 100).map(|n| n * length).collect();
            let count = rate_of(&times, most, (rate, 1)).len();
            let wanted = most as usize * 100;
            assert!((wanted - wanted / 50..=wanted + 2).contains(&count), "{rate} {most}: {count}");
        }
    }

    #[test]
    fn a_film_below_the_limit_loses_nothing_although_its_times_are_rounded() {
        let times: Vec<i64> = (0..1000).map(|n| (n * 1000 + 15) / 30 * 60).collect();
        assert_eq!(rate_of(&times, 30, (30, 1)), times);
        let slow: Vec<i64> = (0..1000).map(|n| n * 2500).collect();
        assert_eq!(rate_of(&slow, 60, (24, 1)), slow);
    }
}
