//! Pictures that are missing from the file: nothing in it stands for them but the gap in the times.
//!
//! A gap alone says nothing, for a film may have a rate that varies. It tells of a loss where the demuxer
//! skipped bytes, or where a transport stream's own counters say that packets are missing.

use super::transport;
use crate::damage::{DamageKind, Damaged, refused};
use crate::error::{Error, Result};
use crate::media::Media;
use crate::packets::Packets;
use crate::programs::Tools;

/// What demuxers say when they skip bytes until they find their way again.
const SKIPPED: [&str; 4] = [
    "EBML number",
    "exceeds containing master element",
    "inside parent with finite size",
    "Packet mismatch",
];
/// From so many usual distances on, two pictures have a gap between them. Pictures that are shown for
/// three fields, among those of two, have one of 1.5.
const GAP: f64 = 1.6;
/// One distance of so many may be another than the usual one, and one always: with more, the rate varies.
const PART_OF_DISTANCES: usize = 20;

/// Tells, or refuses, pictures that are missing from the file; `said` is what the demuxer said.
pub(super) fn tell_lost(
    tools: &Tools,
    media: &Media,
    said: &str,
    packets: &mut Packets,
) -> Result<()> {
    let transport = media.container == "mpegts";
    let skipped = SKIPPED.iter().any(|sign| said.contains(sign));
    if !skipped && !transport {
        return Ok(());
    }
    let Some(times) = packets.frame_times() else { return Ok(()) };
    let gaps = gaps(&times);
    let lost: u64 = gaps.iter().map(|gap| gap.1).sum();
    let Some(&(first, _)) = gaps.first() else { return Ok(()) };
    let is_lost = || transport::is_broken(&media.path);
    if !skipped && !is_lost().map_err(|e| Error::io("read", &media.path, e))? {
        return Ok(());
    }
    if tools.damaged == Damaged::Refuse {
        let at = media.video.time_base.seconds(first.saturating_sub(times[0]));
        let what = format!("pictures are missing: about {lost}, the first after {at:.3} s");
        return Err(refused(&media.path, what));
    }
    for (at, count) in gaps {
        packets.note(media, DamageKind::Lost, count, Some(at));
    }
    Ok(())
}

/// The last time before each gap in ascending `times` of a constant rate, and about how many pictures
/// would fit into it.
fn gaps(times: &[i64]) -> Vec<(i64, u64)> {
    let distance = |pair: &[i64]| pair[1].saturating_sub(pair[0]);
    let mut distances: Vec<i64> = times.windows(2).map(distance).collect();
    distances.sort_unstable();
    let usual = distances.get(distances.len() / 2).map_or(1, |&usual| usual.max(1)) as f64;
    let gap = |pair: &[i64]| {
        let fit = distance(pair) as f64 / usual;
        (fit > GAP).then(|| (pair[0], (fit.round() as u64).saturating_sub(1).max(1)))
    };
    let found: Vec<(i64, u64)> = times.windows(2).filter_map(gap).collect();
    let is_usual = |distance: i64| (1.0 / GAP..=GAP).contains(&(distance as f64 / usual));
    let others = distances.iter().filter(|&&distance| !is_usual(distance)).count();
    let varies = others > (distances.len() / PART_OF_DISTANCES).max(1);
    if varies { Vec::new() } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_one_only_in_a_constant_rate() {
        assert_eq!(gaps(&[0, 40, 80, 120, 280, 320]), [(120, 3)]);
        assert_eq!(gaps(&[0, 33, 83, 117, 167, 200]), []);
        assert_eq!(gaps(&[0, 40, 120, 160, 320, 400, 440]), []);
        assert_eq!(gaps(&[7]), []);
    }
}
