//! Every packet of the main video stream, without decoding: times, keyframes, what is shown.
//!
//! Read as a stream of lines, so that a feature film costs some megabytes (32 bytes a packet).

use tokio_util::sync::CancellationToken;

use crate::child;
use crate::error::{Error, Kind, Result, show_path};
use crate::media::Media;
use crate::packets::{Packet, Packets};
use crate::programs::{Tools, file_url};
use crate::remembered::{Listed, State};
use crate::survey::survey;

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
