//! What an MP4's headers say that ffprobe does not tell: encryption, edits, a second view and
//! whether the last box is whole.
//!
//! Boxes (ISO/IEC 14496-12) are walked by their sizes; only small ones are read. What does not add
//! up ends the walk, for then ffprobe has more to say about the file than this module.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{Error, Result};

/// Boxes looked at, of all levels.
const MOST_BOXES: u32 = 1 << 18;
/// The largest box that is read.
const MOST_BYTES: u64 = 1 << 20;
/// What an MP4 may begin with.
const FIRST: [&[u8; 4]; 9] =
    [b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx"];
/// Boxes that lead to what matters.
const PARENTS: [&[u8; 4]; 6] = [b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl"];
/// Bytes of a video sample entry before its boxes, its own header included.
const VIDEO_ENTRY: usize = 86;

/// One row of an edit list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Length in units of the movie.
    pub(crate) duration: u64,
    /// Where it begins in the track, in units of the track; `None` shows nothing.
    pub(crate) media_time: Option<i64>,
    /// Whether it is played at its own speed.
    pub(crate) normal_speed: bool,
}

/// One track.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Track {
    /// `vide`, `soun` and so on.
    pub(crate) handler: [u8; 4],
    /// Units per second.
    pub(crate) timescale: u32,
    /// Length in these units; 0 when unknown.
    pub(crate) duration: u64,
    /// In the order in which they are played.
    pub(crate) edits: Vec<Edit>,
    /// The scheme by which its samples are encrypted.
    pub(crate) encrypted: Option<String>,
    /// A second view is coded beside the one that ordinary decoders see (MV-HEVC).
    pub(crate) second_view: bool,
    /// The pictures hold two views, as `st3d` says.
    pub(crate) shared: bool,
}

/// The headers of an MP4.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Movie {
    /// Units per second of edits.
    pub(crate) timescale: u32,
    /// In file order, which is that of ffmpeg's streams.
    pub(crate) tracks: Vec<Track>,
    /// Pictures and sound come in fragments.
    pub(crate) fragmented: bool,
    /// The file ends inside a box.
    pub(crate) torn: bool,
}

impl Movie {
    /// The headers of the file at `path`; `None` when it is no MP4.
    ///
    /// # Errors
    /// `Io` when it cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let failed = |e| Error::io("read", path, e);
        let mut file = File::open(path).map_err(failed)?;
        let end = file.metadata().map_err(failed)?.len();
        let mut start = [0; 8];
        if file.read_exact(&mut start).is_err() || !FIRST.iter().any(|kind| start[4..] == kind[..])
        {
            return Ok(None);
        }
        let mut walk = Walk { file, boxes: 0, movie: Self::default() };
        walk.level(0, end, true).map_err(failed)?;
        Ok(Some(walk.movie))
    }

    /// The track that ffmpeg calls stream `index`, when it is of the kind that `handler` says.
    pub(crate) fn track(&self, index: u32, handler: &[u8; 4]) -> Option<&Track> {
        self.tracks.get(index as usize).filter(|track| track.handler == *handler)
    }

    /// The scheme by which the first video track is encrypted.
    pub(crate) fn encrypted(&self) -> Option<&str> {
        self.tracks.iter().find(|track| track.handler == *b"vide")?.encrypted.as_deref()
    }
}

struct Walk {
    file: File,
    boxes: u32,
    movie: Movie,
}

impl Walk {
    /// Visits the boxes from `start` to `end`.
    fn level(&mut self, mut start: u64, end: u64, top: bool) -> std::io::Result<()> {
        while start + 8 <= end && self.boxes < MOST_BOXES {
            self.boxes += 1;
            let mut head = [0; 16];
            let room = (end - start).min(16) as usize;
            self.file.seek(SeekFrom::Start(start))?;
            self.file.read_exact(&mut head[..room])?;
            let (size, header) = match number(&head[..4]) {
                0 => (end - start, 8),
                1 => (number(&head[8..]), 16),
                size => (size, 8),
            };
            let kind = [head[4], head[5], head[6], head[7]];
            if size < header {
                return Ok(());
            }
            let stop = start.saturating_add(size);
            if stop > end {
                let known = [b"moof", b"mdat", b"moov"].iter().any(|known| kind == **known);
                self.movie.torn |= top && known;
                return Ok(());
            }
            self.visit(kind, start + header, stop)?;
            start = stop;
        }
        Ok(())
    }

    fn visit(&mut self, kind: [u8; 4], start: u64, end: u64) -> std::io::Result<()> {
        match &kind {
            b"moof" => self.movie.fragmented = true,
            b"trak" => self.movie.tracks.push(Track::default()),
            _ => {}
        }
        if PARENTS.iter().any(|parent| kind == **parent) {
            return self.level(start, end, false);
        }
        let wanted = [b"mvhd", b"mdhd", b"hdlr", b"elst", b"stsd"];
        if wanted.iter().any(|wanted| kind == **wanted) && end - start <= MOST_BYTES {
            let mut body = vec![0; (end - start) as usize];
            self.file.seek(SeekFrom::Start(start))?;
            self.file.read_exact(&mut body)?;
            self.movie.note(kind, &body);
        }
        Ok(())
    }
}

impl Movie {
    fn note(&mut self, kind: [u8; 4], body: &[u8]) {
        let long = body.first() == Some(&1);
        let timescale = || number(slice(body, if long { 20 } else { 12 }, 4)) as u32;
        if kind == *b"mvhd" {
            self.timescale = timescale();
        }
        let Some(track) = self.tracks.last_mut() else { return };
        match &kind {
            b"mdhd" => {
                track.timescale = timescale();
                let length = if long { slice(body, 24, 8) } else { slice(body, 16, 4) };
                let unknown = length.iter().all(|&byte| byte == 0xFF);
                track.duration = if unknown { 0 } else { number(length) };
            }
            // QuickTime has a second one, of the data's place.
            b"hdlr" if track.handler == [0; 4] => {
                track.handler.copy_from_slice(slice(body, 8, 4));
            }
            b"elst" => track.edits = edits(body, long),
            b"stsd" => {
                let entry = body.get(8..).unwrap_or_default();
                if matches!(entry.get(4..8), Some(b"encv" | b"enca")) {
                    track.encrypted = Some(scheme(entry));
                }
                for (kind, body) in children(entry.get(VIDEO_ENTRY..).unwrap_or_default()) {
                    track.second_view |= kind == *b"lhvC" || kind == *b"vexu";
                    track.shared |= kind == *b"st3d" && body.get(4).is_some_and(|&mode| mode > 0);
                }
            }
            _ => {}
        }
    }
}

fn edits(body: &[u8], long: bool) -> Vec<Edit> {
    let each = if long { 20 } else { 12 };
    let rows = body.get(8..).unwrap_or_default().chunks_exact(each);
    let edit = |row: &[u8]| {
        let (duration, time, rate) = if long {
            (number(&row[..8]), number(&row[8..16]) as i64, &row[16..])
        } else {
            let time = number(&row[4..8]) as u32;
            (number(&row[..4]), i64::from(time as i32), &row[8..])
        };
        let normal_speed = number(rate) == 0x1_0000;
        Edit { duration, media_time: (time >= 0).then_some(time), normal_speed }
    };
    rows.take(number(slice(body, 4, 4)) as usize).map(edit).collect()
}

/// The four letters after `schm`.
fn scheme(entry: &[u8]) -> String {
    let at = entry.windows(4).position(|four| four == b"schm");
    let name = at.and_then(|at| entry.get(at + 8..at + 12)).unwrap_or(b"unknown");
    let plain = name.iter().all(u8::is_ascii_alphanumeric);
    if plain { String::from_utf8_lossy(name).into_owned() } else { "unknown".to_owned() }
}

/// The kinds and bodies of the boxes in `bytes`.
fn children(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let size = (number(bytes.get(..4)?) as usize).clamp(8, bytes.len().max(8));
        let kind = bytes.get(4..8)?;
        let kind = [kind[0], kind[1], kind[2], kind[3]];
        let (this, rest) = bytes.split_at_checked(size)?;
        bytes = rest;
        Some((kind, &this[8..]))
    })
}

/// `length` bytes from `at`; zeros where there are none.
fn slice(body: &[u8], at: usize, length: usize) -> &[u8] {
    body.get(at..at + length).unwrap_or(&[0; 8][..length])
}

/// Up to eight bytes as a big-endian number.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut out = ((body.len() + 8) as u32).to_be_bytes().to_vec();
        out.extend(kind);
        out.extend(body);
        out
    }

    fn of(bytes: &[u8]) -> Option<Movie> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Movie::read(file.path()).unwrap()
    }

    /// A film of one track with two edits, encrypted.
    fn film() -> Vec<u8> {
        let mut header = vec![0; 12];
        header.extend(600u32.to_be_bytes());
        let mut elst = vec![0, 0, 0, 0, 0, 0, 0, 2];
        for (duration, time) in [(300u32, -1i32), (1200, 90)] {
            elst.extend(duration.to_be_bytes());
            elst.extend(time.to_be_bytes());
            elst.extend([0, 1, 0, 0]);
        }
        let schm = boxed(b"schm", b"\0\0\0\0cbcs\0\x01\0\0");
        let mut entry = vec![0; 78];
        entry.extend(boxed(b"sinf", &schm));
        let stsd = [vec![0, 0, 0, 0, 0, 0, 0, 1], boxed(b"encv", &entry)].concat();
        let hdlr = boxed(b"hdlr", b"\0\0\0\0\0\0\0\0vide\0\0\0\0");
        let stbl = boxed(b"stbl", &boxed(b"stsd", &stsd));
        let mdia = [boxed(b"mdhd", &header), hdlr, boxed(b"minf", &stbl)].concat();
        let edts = boxed(b"edts", &boxed(b"elst", &elst));
        let trak = [edts, boxed(b"mdia", &mdia)].concat();
        let moov = [boxed(b"mvhd", &header), boxed(b"trak", &trak)].concat();
        [boxed(b"ftyp", b"isom"), boxed(b"moov", &moov)].concat()
    }

    #[test]
    fn tracks_edits_and_schemes_are_read() {
        let movie = of(&film()).unwrap();
        assert_eq!((movie.timescale, movie.encrypted()), (600, Some("cbcs")));
        let track = &movie.tracks[0];
        let edit = |duration, media_time| Edit { duration, media_time, normal_speed: true };
        assert_eq!(track.edits, [edit(300, None), edit(1200, Some(90))]);
        assert!(track.handler == *b"vide" && !movie.torn && !movie.fragmented);
        assert_eq!(of(b"\x1A\x45\xDF\xA3 no MP4 at all"), None);
    }

    #[test]
    fn a_box_that_the_file_does_not_hold_is_torn() {
        let whole = [film(), boxed(b"moof", &[0; 9]), boxed(b"mdat", &[0; 90])].concat();
        let movie = of(&whole).unwrap();
        assert!(movie.fragmented && !movie.torn);
        assert!(of(&whole[..whole.len() - 1]).unwrap().torn);
    }

    proptest! {
        #[test]
        fn damaged_headers_end_the_walk(
            at in 0usize..400, with in any::<u8>(), cut in 0usize..400,
        ) {
            let mut bytes = film();
            let at = at.min(bytes.len() - 1);
            bytes[at] = with;
            bytes.truncate(cut.max(8));
            let _ = of(&bytes);
        }
    }
}
