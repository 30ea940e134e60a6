//! What ffmpeg says while it decodes: which pictures it cannot vouch for, and what each is like.
//!
//! `-debug_ts` names every picture as it leaves the decoder and `showinfo` as it leaves the
//! filters, both before the picture itself is written. So whoever has read a picture can wait for
//! its line, and has then heard everything that was said of it.

use std::sync::mpsc::Sender;

use crate::child::Line;

/// What a picture is like by itself, upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Width and height.
    pub(super) size: (u32, u32),
    /// Sample aspect ratio; nothing over something when it says none.
    pub(super) aspect: (u32, u32),
}

/// Something about a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It cannot be vouched for.
    Bad(i64),
    /// It is on its way.
    Coming {
        pts: i64,
        look: Look,
        /// Something was wrong with it or with what came before it.
        doubtful: bool,
        /// A decoder painted over damage.
        concealed: bool,
    },
}

/// Reads the lines in order.
#[derive(Debug)]
pub(super) struct Log {
    said: Sender<Said>,
    /// Decoding happens before the next packet is read, so that an error belongs to the last one.
    in_step: bool,
    packet: Option<i64>,
    corrupt: bool,
    doubtful: bool,
    concealed: bool,
}

impl Log {
    /// `in_step` says that one thread reads and decodes, as up to ffmpeg 5.
    pub(super) fn new(said: Sender<Said>, in_step: bool) -> Self {
        let (packet, corrupt, doubtful, concealed) = (None, false, false, false);
        Self { said, in_step, packet, corrupt, doubtful, concealed }
    }

    pub(super) fn read(&mut self, line: &str) -> Line {
        // Parts of a line may stand before it: some of ffmpeg's code logs without ends of lines.
        if let Some((_, rest)) = line.split_once("demuxer+ffmpeg -> ") {
            if rest.contains("type:video") {
                self.packet = number_after(rest, "pkt_pts:");
            }
            return Line::Noise;
        }
        if let Some((_, rest)) = line.split_once("decoder -> ") {
            // `frame_pts:` up to ffmpeg 6.0, then `pts:`.
            if let Some(pts) = number_after(rest, "pts:")
                && std::mem::take(&mut self.corrupt)
            {
                self.tell(Said::Bad(pts));
            }
            return Line::Progress;
        }
        if let Some(coming) = self.coming(line) {
            self.tell(coming);
            return Line::Noise;
        }
        if line.contains("corrupt decoded frame") {
            (self.corrupt, self.doubtful) = (true, true);
            return Line::Noise;
        }
        if is_concealed(line) {
            (self.concealed, self.doubtful) = (true, true);
        }
        if ["[info]", "[warning]", "[verbose]"].iter().any(|level| line.contains(level)) {
            return Line::Noise;
        }
        self.doubtful = true;
        if line.contains("Error while decoding stream")
            && self.in_step
            && let Some(pts) = self.packet
        {
            self.tell(Said::Bad(pts));
        }
        Line::Words
    }

    fn coming(&self, line: &str) -> Option<Said> {
        let (_, rest) = line.split_once("Parsed_showinfo")?;
        let pts = number_after(rest, " pts:")?;
        let size = rest.split_once(" s:")?.1.split_whitespace().next()?;
        let pair = |text: &str, between: char| {
            let (first, second) = text.split_once(between)?;
            Some((first.parse().ok()?, second.parse().ok()?))
        };
        let aspect = rest.split_once(" sar:").and_then(|(_, sar)| sar.split_whitespace().next());
        let aspect = aspect.and_then(|sar| pair(sar, '/')).unwrap_or((0, 1));
        let look = Look { size: pair(size, 'x')?, aspect };
        let (doubtful, concealed) = (self.doubtful, self.concealed);
        Some(Said::Coming { pts, look, doubtful, concealed })
    }

    fn tell(&self, said: Said) {
        // The decoder may be gone already.
        let _ = self.said.send(said);
    }
}

/// Whether a decoder says that it paints over damage. ffmpeg's own mark of such frames is lost in a
/// race when several threads decode, so that `-xerror` alone sees only some of them.
pub(super) fn is_concealed(line: &str) -> bool {
    line.contains("] concealing ")
        || line.contains("[error]") && line.contains("error while decoding")
}

/// The number after `name` and blanks.
fn number_after(text: &str, name: &str) -> Option<i64> {
    let (_, rest) = text.split_once(name)?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn heard(in_step: bool, lines: &[&str]) -> Vec<Said> {
        let (send, said) = channel();
        let mut log = Log::new(send, in_step);
        lines.iter().for_each(|line| {
            log.read(line);
        });
        drop(log);
        said.iter().collect()
    }

    const SHOWN: &str = "[Parsed_showinfo_0 @ 0x1] [info] n:  36 pts: 257520 pts_time:2.86133 pos: \
                         96820 fmt:yuv420p sar:16/11 s:320x240 i:P iskey:1 type:I ";

    #[test]
    fn a_corrupt_picture_is_the_next_that_leaves_the_decoder() {
        let old = "[info] decoder -> ist_index:0 type:video frame_pts:7 frame_pts_time:0.7 x:1";
        let new = "[vist#0:0/h264 @ 0x2] [dec:h264 @ 0x3] [info] decoder -> pts:8 pts_time:0.8";
        let corrupt = "[warning] film.ts: corrupt decoded frame in stream 0";
        assert_eq!(heard(true, &[old, corrupt, new, old]), [Said::Bad(8)]);
        assert_eq!(heard(true, &[corrupt, old, new]), [Said::Bad(7)]);
    }

    #[test]
    fn a_packet_that_fails_is_the_last_that_was_read() {
        let lines = [
            "[info] demuxer+ffmpeg -> ist_index:0 type:video pkt_pts:30 pkt_pts_time:0.3",
            "[info] demuxer+ffmpeg -> ist_index:1 type:audio pkt_pts:99 pkt_pts_time:0.99",
            "[error] Error while decoding stream #0:0: Invalid data found",
        ];
        assert_eq!(heard(true, &lines), [Said::Bad(30)]);
        assert_eq!(heard(false, &lines), []);
    }

    #[test]
    fn a_coming_picture_is_in_doubt_once_anything_went_wrong() {
        let coming = |doubtful, concealed| Said::Coming {
            pts: 257_520,
            look: Look { size: (320, 240), aspect: (16, 11) },
            doubtful,
            concealed,
        };
        let fault = "[h264 @ 0x1] [error] error while decoding MB 2 0";
        assert_eq!(heard(true, &[SHOWN, fault, SHOWN]), [coming(false, false), coming(true, true)]);
        let harmless = "[mpegts @ 0x1] [warning] Packet corrupt (stream = 0, dts = 257520).";
        let garbled = format!("half a line {SHOWN}");
        assert_eq!(heard(true, &[harmless, &garbled]), [coming(false, false)]);
    }
}
