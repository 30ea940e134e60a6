//! Where a stream can be cut without decoding it, and which of those places to use.

use std::time::Duration;

use parallax_frame::TimeBase;

use crate::packets::Packets;

/// A way to cut a stream: every packet in exactly one segment, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// At least one segment.
    pub segments: Vec<Planned>,
}

/// One segment of a [`Plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Index of its first packet in decode order.
    pub first_packet: usize,
    /// Frames that it shows.
    pub frames: u64,
}

/// Indices, in decode order, of the packets that a segment may start with.
///
/// A container's keyframe mark is not enough: in an open group of pictures, frames that are shown
/// before the keyframe follow it in the file and need the group before. A keyframe is clean when
/// everything before it is shown before it and everything after it is shown after it.
pub fn cut_points(packets: &Packets) -> Vec<usize> {
    let list = &packets.packets;
    let mut earliest_after = vec![i64::MAX; list.len() + 1];
    for (index, packet) in list.iter().enumerate().rev() {
        // An unknown time could be any: nothing before it is clean.
        let pts = packet.pts.unwrap_or(i64::MIN);
        earliest_after[index] = earliest_after[index + 1].min(pts);
    }
    let mut latest_before = i64::MIN;
    let mut cuts = Vec::new();
    for (index, packet) in list.iter().enumerate() {
        let Some(pts) = packet.pts else { break };
        if packet.key && !packet.hidden && latest_before < pts && earliest_after[index + 1] > pts {
            cuts.push(index);
        }
        latest_before = latest_before.max(pts);
    }
    cuts
}

/// As [`plan_segments_at`], without a preference.
pub fn plan_segments(packets: &Packets, time_base: TimeBase, target: Duration, limit: u32) -> Plan {
    let starts = starts(packets, time_base, target, limit, |places| {
        Ok::<_, std::convert::Infallible>(places[0])
    });
    match starts {
        Ok(starts) => plan(packets, &starts),
    }
}

/// Groups a stream into segments of at least `target`, cut at clean keyframes, at most `limit`
/// of them (at least 1). A tail shorter than half the target joins the segment before it.
///
/// `prefer` is asked where there is a choice: for one of the packets that would make a segment of up
/// to one and a half times the target, ascending; `None` takes the first.
///
/// # Errors
/// Those of `prefer`.
pub fn plan_segments_at<E>(
    packets: &Packets,
    time_base: TimeBase,
    target: Duration,
    limit: u32,
    mut prefer: impl FnMut(&[usize]) -> Result<Option<usize>, E>,
) -> Result<Plan, E> {
    let starts = starts(packets, time_base, target, limit, |places| {
        if places.len() == 1 {
            return Ok(places[0]);
        }
        Ok(prefer(places)?.filter(|place| places.contains(place)).unwrap_or(places[0]))
    })?;
    Ok(plan(packets, &starts))
}

/// The first packets of segments. `choose` gets at least one place.
fn starts<E>(
    packets: &Packets,
    time_base: TimeBase,
    target: Duration,
    limit: u32,
    mut choose: impl FnMut(&[usize]) -> Result<usize, E>,
) -> Result<Vec<usize>, E> {
    let list = &packets.packets;
    let start = list.iter().filter(|p| !p.hidden).filter_map(|p| p.pts).min().unwrap_or(0);
    let end = packets.end().unwrap_or(start);
    let whole = time_base.seconds(end - start);
    let target = target.as_secs_f64().max(whole / f64::from(limit.max(1)));
    let time = |place: usize| list[place].pts.unwrap_or(start);
    let mut places = cut_points(packets);
    places.retain(|&place| place > 0 && time(place) > start);
    let mut places = places.as_slice();
    let (mut starts, mut segment_start) = (vec![0], start);
    loop {
        let length = |place: usize| time_base.seconds(time(place) - segment_start);
        let first = places.partition_point(|&place| length(place) < target);
        places = &places[first..];
        if places.is_empty() {
            break;
        }
        let choice = places.partition_point(|&place| length(place) <= 1.5 * target).max(1);
        let chosen = choose(&places[..choice])?;
        starts.push(chosen);
        segment_start = time(chosen);
    }
    if starts.len() > 1 && time_base.seconds(end - segment_start) < target / 2.0 {
        starts.pop();
    }
    Ok(starts)
}

fn plan(packets: &Packets, starts: &[usize]) -> Plan {
    let list = &packets.packets;
    let ends = starts.iter().skip(1).copied().chain([list.len()]);
    let segments = starts.iter().zip(ends).map(|(&first_packet, end)| Planned {
        first_packet,
        frames: list[first_packet..end].iter().filter(|p| !p.hidden).count() as u64,
    });
    Plan { segments: segments.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::Packet;

    /// Keyframes are positive in `order`'s second place.
    fn stream(order: &[(i64, bool)]) -> Packets {
        let packet = |&(pts, key)| Packet { duration: 1, key, ..Packet::at(pts) };
        Packets::from(order.iter().map(packet).collect::<Vec<_>>())
    }

    const SECOND: TimeBase = TimeBase { num: 1, den: 1 };

    #[test]
    fn a_keyframe_with_leading_pictures_is_no_cut() {
        let closed = [(0, true), (2, false), (1, false), (3, true), (4, false)];
        assert_eq!(cut_points(&stream(&closed)), [0, 3]);
        // Picture 3 is shown before keyframe 4 and stored after it.
        let open = [(0, true), (2, false), (1, false), (4, true), (3, false), (5, false)];
        assert_eq!(cut_points(&stream(&open)), [0]);
        // A picture that is shown after the keyframe but stored before it.
        let late = [(0, true), (5, false), (4, true), (6, false)];
        assert_eq!(cut_points(&stream(&late)), [0]);
    }

    #[test]
    fn streams_without_times_have_no_cuts_after_the_gap() {
        let mut packets = stream(&[(0, true), (1, true), (2, true)]);
        packets.packets[1].pts = None;
        assert!(cut_points(&packets).is_empty());
    }

    #[test]
    fn segments_reach_the_target_and_short_tails_are_merged() {
        let order: Vec<(i64, bool)> = (0..25).map(|n| (n, n % 2 == 0)).collect();
        let packets = stream(&order);
        let frames = |target, limit| {
            let plan = plan_segments(&packets, SECOND, Duration::from_secs(target), limit);
            plan.segments.iter().map(|s| s.frames).collect::<Vec<_>>()
        };
        assert_eq!(frames(10, 100), [10, 10, 5]);
        assert_eq!(frames(8, 100), [8, 8, 9]);
        assert_eq!(frames(7, 100), [8, 8, 9]);
        assert_eq!(frames(1, 2), [14, 11]);
        assert_eq!(frames(100, 100), [25]);
    }

    #[test]
    fn a_preferred_place_is_taken_where_there_is_a_choice() {
        let order: Vec<(i64, bool)> = (0..60).map(|n| (n, n % 3 == 0)).collect();
        let packets = stream(&order);
        let mut asked = Vec::new();
        let plan = plan_segments_at(
            &packets,
            SECOND,
            Duration::from_secs(10),
            100,
            |places: &[usize]| {
                asked.push(places.to_vec());
                Ok::<_, ()>(places.iter().copied().find(|place| [15, 27].contains(place)))
            },
        );
        let frames: Vec<u64> = plan.unwrap().segments.iter().map(|s| s.frames).collect();
        // From 15 on, then from 27, from where nothing is preferred.
        assert_eq!(frames, [15, 12, 12, 12, 9]);
        assert_eq!(asked, [[12, 15], [27, 30], [39, 42], [51, 54]]);
    }
}
