//! What is odd about a stream's packets, mended before anything is made of them.
//!
//! Recordings begin anywhere, end anywhere and are joined without care. Here the list of packets
//! becomes one that a film can be made of: pictures that cannot be decoded at the beginning are
//! left out, a clock that jumps is continued, two pictures at one time are moved apart, and a torn
//! end is cut off. All of it is counted as damage, so that it is told; what follows sees frames at
//! strictly ascending times.

mod clock;
mod lost;
mod transport;

use std::collections::HashSet;

use tokio_util::sync::CancellationToken;

use crate::child;
use crate::damage::{Damage, DamageKind, Damaged, refused};
use crate::error::{Error, Result};
use crate::media::Media;
use crate::movie::Movie;
use crate::packets::{Packet, Packets};
use crate::probe::check_seconds;
use crate::programs::{Tools, file_url};

/// Packets decoded beyond the leading ones: as far as decoders put pictures in another order.
const REORDERED: usize = 20;

/// Mends what `packets` of the file that `media` describes need; `said` is what the demuxer said
/// at the file's end.
///
/// # Errors
/// `Input` when something is damaged and `tools` refuse that, or when nothing is left; `Io`;
/// `Tool`; `Cancelled`.
pub(crate) fn survey(
    tools: &Tools,
    media: &Media,
    packets: Vec<Packet>,
    said: &str,
    cancel: &CancellationToken,
) -> Result<Packets> {
    let movie = if media.is_mp4() { Movie::read(&media.path)? } else { None };
    let mut packets = Packets::from(packets);
    cut_end(tools, media, movie.as_ref(), said, &mut packets)?;
    let edits = movie.as_ref().and_then(|movie| movie.track(media.video.index, b"vide"));
    let edits = edits.map_or(0, |track| track.edits.len());
    if edits < 2 {
        clock::continue_clock(tools, media, &mut packets, cancel)?;
    }
    leave_out_lead_in(tools, media, &mut packets, cancel)?;
    lost::tell_lost(tools, media, said, &mut packets)?;
    if edits > 0 {
        hide_before_the_edit(&mut packets);
    }
    if media.video.field_order.is_none() {
        move_apart(media, &mut packets);
    }
    check_length(tools, media, &packets)?;
    Ok(packets)
}

impl Packets {
    /// Notes `count` of `kind` at the time of the packet with stored time `pts`, in seconds of the
    /// film.
    fn note(&mut self, media: &Media, kind: DamageKind, count: u64, pts: Option<i64>) {
        let unit = media.video.time_base;
        let seconds = pts.map(|pts| unit.seconds(pts) - media.start_us as f64 / 1_000_000.0);
        let mut found = Damage::default();
        found.note_many(kind, count, seconds.map(|s| s.max(0.0)));
        self.damage.merge(&found);
    }
}

/// Refuses a film that is too long by its mended clock: what a container says of a clock that jumps
/// is no length.
fn check_length(tools: &Tools, media: &Media, packets: &Packets) -> Result<()> {
    let first = packets.packets.iter().filter_map(|packet| packet.pts).min();
    let Some((first, end)) = first.zip(packets.end()) else { return Ok(()) };
    check_seconds(tools, &media.path, media.video.time_base.seconds(end.saturating_sub(first)))
}

/// Cuts a torn end off, or refuses it. ffprobe ends well on most of these, so this looks at the
/// count that the headers promise (MP4), at the boxes (fragmented MP4), at the last packets
/// (MPEG-TS, whose packets have one length) and at what the demuxers say when they run into the end.
fn cut_end(
    tools: &Tools,
    media: &Media,
    movie: Option<&Movie>,
    said: &str,
    packets: &mut Packets,
) -> Result<()> {
    let found = packets.packets.len() as u64;
    let promised = media.video.frames.filter(|&promised| promised > found);
    let torn_packet =
        media.container == "mpegts" && !transport::ends_whole(&media.path, media.bytes)?;
    let partial = said.contains("partial file");
    let torn_box = movie.is_some_and(|movie| movie.fragmented && movie.torn);
    let signs = ["partial file", "File ended prematurely", "truncating packet"];
    let cut_short = signs.iter().any(|sign| said.contains(sign));
    let what = match promised {
        Some(promised) if media.is_mp4() && (partial || said.contains("truncat")) => {
            format!("truncated: {found} of {promised} frames are there")
        }
        _ if torn_packet => format!("truncated inside a transport packet, after {found} frames"),
        _ if torn_box => format!("truncated inside a fragment, after {found} frames"),
        _ if cut_short => format!("truncated after {found} frames: {said}"),
        _ => return Ok(()),
    };
    if tools.damaged == Damaged::Refuse {
        return Err(refused(&media.path, what));
    }
    if torn_packet || partial {
        // The last picture is as torn as the packet that it came in.
        packets.packets.pop();
    }
    packets.cut = true;
    let last = packets.packets.iter().filter_map(|packet| packet.pts).max();
    packets.note(media, DamageKind::CutShort, 1, last);
    if packets.packets.is_empty() {
        return Err(Error::input(&media.path, "truncated before its first picture is whole"));
    }
    Ok(())
}

/// Leaves out the pictures at the beginning that refer to pictures before it.
///
/// They are in doubt where they come before the first keyframe, in the file or on the screen; a
/// decoder decides, for in a closed group they are whole.
fn leave_out_lead_in(
    tools: &Tools,
    media: &Media,
    packets: &mut Packets,
    cancel: &CancellationToken,
) -> Result<()> {
    if tools.film.is_some() {
        // Every frame of a part is due: what cannot be read of it is damage.
        return Ok(());
    }
    let list = &packets.packets;
    let Some(first) = list.iter().position(|packet| packet.key) else { return Ok(()) };
    let Some(start) = list[first].pts.filter(|_| !list[0].hidden) else { return Ok(()) };
    let next = list[first + 1..].iter().position(|packet| packet.key);
    let next = next.map_or(list.len(), |next| first + 1 + next);
    let leads = |(place, packet): (usize, &Packet)| {
        let leads = place < first || place < next && packet.pts.is_some_and(|pts| pts < start);
        leads.then_some(place)
    };
    let leading: Vec<usize> = list.iter().enumerate().filter_map(leads).collect();
    let Some(&last) = leading.last() else { return Ok(()) };
    let (whole, complained) = decodable(tools, media, last.max(first) + REORDERED, cancel)?;
    // Where the keyframe cannot be read either, it is not what came before that is missing.
    if list[first].stored.is_none_or(|pts| !whole.contains(&pts)) {
        return Ok(());
    }
    let lost: HashSet<usize> = leading
        .into_iter()
        // What a decoder complains about it may have painted over.
        .filter(|&place| complained || list[place].stored.is_none_or(|pts| !whole.contains(&pts)))
        .collect();
    if lost.is_empty() || lost.len() == list.len() {
        return Ok(());
    }
    if tools.damaged == Damaged::Refuse {
        let count = lost.len();
        let what = format!(
            "begins with {count} pictures that cannot be decoded without those before the beginning"
        );
        return Err(refused(&media.path, what));
    }
    let at = list.iter().enumerate().filter(|(place, _)| !lost.contains(place));
    let at = at.filter_map(|(_, packet)| packet.pts).min();
    packets.note(media, DamageKind::LeadIn, lost.len() as u64, at);
    // Only what comes before the first keyframe in the file can be cut off without decoding.
    packets.gaps = lost.iter().any(|&place| place >= first) || lost.len() != first;
    packets.skipped = if packets.gaps { 0 } else { first };
    let mut place = 0;
    packets.packets.retain(|_| {
        place += 1;
        !lost.contains(&(place - 1))
    });
    Ok(())
}

/// Presentation times of the pictures that come out of the first `count` packets, and whether the
/// decoder complained.
fn decodable(
    tools: &Tools,
    media: &Media,
    count: usize,
    cancel: &CancellationToken,
) -> Result<(HashSet<i64>, bool)> {
    let mut command = tools.ffprobe();
    tools.guard(&mut command);
    command.arg("-select_streams").arg(media.video.index.to_string());
    command.arg("-read_intervals").arg(format!("%+#{count}"));
    command.args(["-show_frames", "-show_entries", "frame=pts", "-of", "compact=p=0", "-i"]);
    command.arg(file_url(&media.path));
    let mut times = HashSet::new();
    let ended = child::run(&mut command, cancel, Some(tools.limits.probe_time), |line| {
        let pts = line.split('|').find_map(|field| field.strip_prefix("pts="));
        times.extend(pts.and_then(|pts| pts.parse::<i64>().ok()));
        Ok(())
    })?;
    Ok((times, !ended.words().is_empty()))
}

/// Hides what an MP4's edit list puts before the beginning: ffmpeg marks such packets only where
/// the edit begins at a keyframe.
fn hide_before_the_edit(packets: &mut Packets) {
    let mut times: Vec<i64> =
        packets.packets.iter().filter(|p| !p.hidden).filter_map(|p| p.pts).collect();
    times.sort_unstable();
    let before = times.partition_point(|&pts| pts < 0);
    let Some(&first) = times.get(before) else { return };
    // A picture that is still on the screen when the edit begins is the first that is shown.
    let kept = if first > 0 && before > 0 { times[before - 1] } else { first };
    for packet in packets.packets.iter_mut().filter(|packet| !packet.hidden) {
        packet.hidden = packet.pts.is_some_and(|pts| pts < kept);
        packets.gaps |= packet.hidden;
    }
}

/// Moves pictures that do not come after the one before them by as little as possible.
fn move_apart(media: &Media, packets: &mut Packets) {
    let list = &packets.packets;
    let mut order: Vec<usize> = (0..list.len()).filter(|&place| !list[place].hidden).collect();
    if order.iter().any(|&place| list[place].pts.is_none()) {
        return;
    }
    order.sort_by_key(|&place| list[place].pts);
    let (mut last, mut moved, mut first) = (i64::MIN, 0, None);
    for place in order {
        let packet = &mut packets.packets[place];
        let Some(pts) = packet.pts else { continue };
        last = pts.max(last.saturating_add(1));
        if last > pts {
            moved += 1;
            first = first.or(packet.pts);
            packet.pts = Some(last);
        }
    }
    if moved > 0 {
        packets.note(media, DamageKind::DoubleTime, moved, first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(times: &[i64]) -> Packets {
        let packet = |&pts: &i64| Packet { key: pts == 0, ..Packet::at(pts) };
        Packets::from(times.iter().map(packet).collect::<Vec<_>>())
    }

    #[test]
    fn what_lies_before_an_edit_is_hidden_but_for_what_reaches_into_it() {
        let mut on_time = packets(&[-6, 0, -3, 3]);
        hide_before_the_edit(&mut on_time);
        assert_eq!(on_time.frame_times(), Some(vec![0, 3]));
        let mut between = packets(&[-5, 1, -2, 4]);
        hide_before_the_edit(&mut between);
        assert_eq!(between.frame_times(), Some(vec![-2, 1, 4]));
        let mut never = packets(&[-5, -2]);
        hide_before_the_edit(&mut never);
        assert_eq!(never.shown(), 2);
    }
}
