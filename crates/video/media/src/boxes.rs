//! The boxes of an MP4's `moov` (ISO/IEC 14496-12), as a tree that can be changed and written back.
//!
//! Only what leads to a track's sample entry is opened; every other box stays a row of bytes. A
//! header that moves by its own growth would leave every chunk offset wrong, so [`rewrite`]
//! corrects them, in 64 bits where 32 no longer suffice.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// The largest `moov` that is read: some 100 bytes per frame of a 12-hour film.
const MOST_BYTES: u64 = 1 << 30;
/// Boxes of one level, and levels.
const MOST_CHILDREN: usize = 1 << 16;
const MOST_LEVELS: u32 = 12;

/// Boxes that hold nothing but boxes.
const CONTAINERS: [&[u8; 4]; 5] = [b"moov", b"trak", b"mdia", b"minf", b"stbl"];
/// Sample entries of video, whose boxes follow 78 bytes of fields.
const VIDEO_ENTRIES: [&[u8; 4]; 7] =
    [b"avc1", b"avc3", b"hvc1", b"hev1", b"av01", b"vp09", b"mp4v"];

/// One box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: [u8; 4],
    /// What precedes the children: everything, for a box that is not opened.
    pub(crate) head: Vec<u8>,
    pub(crate) children: Vec<Node>,
}

impl Node {
    /// A box of plain bytes.
    pub(crate) fn leaf(kind: &[u8; 4], body: Vec<u8>) -> Self {
        Self { kind: *kind, head: body, children: Vec::new() }
    }

    /// A box of boxes.
    pub(crate) fn of(kind: &[u8; 4], children: Vec<Node>) -> Self {
        Self { kind: *kind, head: Vec::new(), children }
    }

    /// The first child of a kind.
    pub(crate) fn child(&self, kind: &[u8; 4]) -> Option<&Node> {
        self.children.iter().find(|child| child.kind == *kind)
    }

    /// Every descendant along `path`, writable.
    fn each(&mut self, path: &[&[u8; 4]], then: &mut impl FnMut(&mut Node)) {
        let Some((first, rest)) = path.split_first() else { return then(self) };
        for child in self.children.iter_mut().filter(|child| child.kind == **first) {
            child.each(rest, then);
        }
    }

    fn bytes(&self) -> u64 {
        8 + self.head.len() as u64 + self.children.iter().map(Node::bytes).sum::<u64>()
    }

    fn write(&self, out: &mut Vec<u8>) {
        // `MOST_BYTES` and what is added to it fit 32 bits.
        out.extend((self.bytes() as u32).to_be_bytes());
        out.extend(self.kind);
        out.extend(&self.head);
        self.children.iter().for_each(|child| child.write(out));
    }
}

/// Reads boxes until `bytes` ends; `None` when sizes do not add up or limits are exceeded.
fn parse(mut bytes: &[u8], level: u32) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    while !bytes.is_empty() {
        let size = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let kind: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
        // Sizes of 64 bits and "to the end" do not occur below `moov`.
        if size < 8 || size > bytes.len() || nodes.len() == MOST_CHILDREN || level > MOST_LEVELS {
            return None;
        }
        let (this, rest) = bytes.split_at(size);
        let body = &this[8..];
        let fields = if CONTAINERS.contains(&&kind) {
            Some(0)
        } else if kind == *b"stsd" {
            Some(8)
        } else if VIDEO_ENTRIES.contains(&&kind) {
            Some(78)
        } else {
            None
        };
        nodes.push(match fields {
            Some(fields) => Node {
                kind,
                head: body.get(..fields)?.to_vec(),
                children: parse(&body[fields..], level + 1)?,
            },
            None => Node::leaf(&kind, body.to_vec()),
        });
        bytes = rest;
    }
    Some(nodes)
}

/// A box at the top of a file.
#[derive(Debug, Clone, Copy)]
struct Top {
    kind: [u8; 4],
    start: u64,
    size: u64,
}

/// Changes the `moov` of the file at `from` and writes the result to `to`.
///
/// # Errors
/// `Input` when it is not an unfragmented MP4 or `change` finds no place in it (`None`); `Space`;
/// `Io`.
pub(crate) fn rewrite(
    from: &Path,
    to: &Path,
    change: impl FnOnce(&mut Node) -> Option<()>,
) -> Result<()> {
    let mut source = File::open(from).map_err(|e| Error::io("open", from, e))?;
    let (tops, _, bytes) = header(from, &mut source, change)?;
    let mut out = File::create(to).map_err(|e| Error::io("create", to, e))?;
    let copied = tops.iter().try_for_each(|top| {
        if top.kind == *b"moov" {
            return out.write_all(&bytes);
        }
        source.seek(SeekFrom::Start(top.start))?;
        std::io::copy(&mut Read::by_ref(&mut source).take(top.size), &mut out).map(|_| ())
    });
    copied.map_err(|e| Error::io("write", to, e))
}

/// Changes the `moov` of the file at `path` where it is, by a change that keeps its length.
///
/// # Errors
/// As [`rewrite`].
pub(crate) fn patch(path: &Path, change: impl FnOnce(&mut Node) -> Option<()>) -> Result<()> {
    let file = File::options().read(true).write(true).open(path);
    let mut file = file.map_err(|e| Error::io("open", path, e))?;
    let (_, moov, bytes) = header(path, &mut file, change)?;
    if bytes.len() as u64 != moov.size {
        return Err(Error::input(path, "a change of its header that does not keep its length"));
    }
    file.seek(SeekFrom::Start(moov.start))
        .and_then(|_| file.write_all(&bytes))
        .map_err(|e| Error::io("write", path, e))
}

/// The boxes of `file`, which is the one at `from`, its `moov` and the bytes of that after `change`.
fn header(
    from: &Path,
    file: &mut File,
    change: impl FnOnce(&mut Node) -> Option<()>,
) -> Result<(Vec<Top>, Top, Vec<u8>)> {
    let tops = tops(file).map_err(|e| Error::io("read", from, e))?;
    let refuse = |what: &str| Error::input(from, format!("not an MP4 to write marks into: {what}"));
    let tops = tops.ok_or_else(|| refuse("its boxes do not add up"))?;
    let moov = *tops.iter().find(|top| top.kind == *b"moov").ok_or_else(|| refuse("no moov"))?;
    if moov.size > MOST_BYTES || tops.iter().any(|top| top.kind == *b"moof") {
        return Err(refuse("it is fragmented or its moov is too large"));
    }
    let mut bytes = vec![0; moov.size as usize];
    file.seek(SeekFrom::Start(moov.start))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(|e| Error::io("read", from, e))?;
    let bytes = changed(&bytes, moov.start, change).ok_or_else(|| refuse("no video track"))?;
    Ok((tops, moov, bytes))
}

/// The boxes of a file; `None` when they do not add up to it.
fn tops(file: &mut File) -> std::io::Result<Option<Vec<Top>>> {
    let end = file.metadata()?.len();
    let (mut start, mut tops) = (0, Vec::new());
    while start < end {
        let mut head = [0; 16];
        file.seek(SeekFrom::Start(start))?;
        let room = (end - start).min(16) as usize;
        file.read_exact(&mut head[..room])?;
        let short = u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        let size = match short {
            0 => end - start,
            1 => u64::from_be_bytes([
                head[8], head[9], head[10], head[11], head[12], head[13], head[14], head[15],
            ]),
            size => size,
        };
        if size < 8 || size > end - start || tops.len() == MOST_CHILDREN {
            return Ok(None);
        }
        tops.push(Top { kind: [head[4], head[5], head[6], head[7]], start, size });
        start += size;
    }
    Ok(Some(tops))
}

/// Has the sample entries of the first video track in `moov` changed; `None` when there is none.
pub(crate) fn each_video_entry(moov: &mut Node, mut change: impl FnMut(&mut Node)) -> Option<()> {
    video_track(moov)?.each(&[b"mdia", b"minf", b"stbl", b"stsd"], &mut |stsd| {
        stsd.children
            .iter_mut()
            .filter(|entry| VIDEO_ENTRIES.contains(&&entry.kind))
            .for_each(&mut change);
    });
    Some(())
}

/// Has the header of the first video track in `moov` changed; `None` when there is none.
pub(crate) fn each_video_header(moov: &mut Node, mut change: impl FnMut(&mut Node)) -> Option<()> {
    video_track(moov)?.each(&[b"tkhd"], &mut change);
    Some(())
}

fn video_track(moov: &mut Node) -> Option<&mut Node> {
    moov.children.iter_mut().find(|node| node.kind == *b"trak" && is_video(node))
}

/// The bytes of the `moov` in `bytes`, which starts at `start`, after `change`.
fn changed(
    bytes: &[u8],
    start: u64,
    change: impl FnOnce(&mut Node) -> Option<()>,
) -> Option<Vec<u8>> {
    let mut nodes = parse(bytes, 0)?;
    let [moov] = nodes.as_mut_slice() else { return None };
    let before = moov.bytes();
    change(moov)?;
    // Longer offsets make the header longer, which may make further offsets too long.
    for _ in 0..64 {
        let growth = moov.bytes() as i64 - before as i64;
        let mut too_long = false;
        each_table(moov, |table| {
            if table.kind == *b"stco" && offsets(table).any(|o| moved(o, start, growth) > MAX32) {
                let values: Vec<u64> = offsets(table).collect();
                *table = offset_table(*b"co64", &values);
                too_long = true;
            }
        });
        if too_long {
            continue;
        }
        each_table(moov, |table| {
            let values: Vec<u64> = offsets(table).map(|o| moved(o, start, growth)).collect();
            *table = offset_table(table.kind, &values);
        });
        let mut out = Vec::with_capacity(bytes.len() + 1024);
        moov.write(&mut out);
        return Some(out);
    }
    None
}

const MAX32: u64 = u32::MAX as u64;

/// Where a chunk is after a header that started at `start` has grown.
fn moved(offset: u64, start: u64, growth: i64) -> u64 {
    if offset > start { offset.saturating_add_signed(growth) } else { offset }
}

fn is_video(track: &Node) -> bool {
    let handler = track.child(b"mdia").and_then(|mdia| mdia.child(b"hdlr"));
    handler.is_some_and(|hdlr| hdlr.head.get(8..12) == Some(b"vide".as_slice()))
}

fn each_table(moov: &mut Node, mut then: impl FnMut(&mut Node)) {
    for kind in [b"stco", b"co64"] {
        moov.each(&[b"trak", b"mdia", b"minf", b"stbl", kind], &mut then);
    }
}

/// The entries of a chunk offset box, whose kind tells their length.
fn offsets(table: &Node) -> impl Iterator<Item = u64> + '_ {
    let each = if table.kind == *b"co64" { 8 } else { 4 };
    let entries = table.head.get(8..).unwrap_or_default().chunks_exact(each);
    entries.map(|entry| entry.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn offset_table(kind: [u8; 4], values: &[u64]) -> Node {
    let mut body = vec![0; 4];
    body.extend((values.len() as u32).to_be_bytes());
    for value in values {
        let bytes = value.to_be_bytes();
        body.extend(if kind == *b"co64" { &bytes[..] } else { &bytes[4..] });
    }
    Node::leaf(&kind, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A film of one video track with chunks at `chunks`.
    fn film(chunks: &[u64]) -> Vec<u8> {
        let mut entry = Node::of(
            b"avc1",
            vec![Node::leaf(b"avcC", vec![1; 7]), Node::leaf(b"pasp", vec![0; 8])],
        );
        entry.head = vec![0; 78];
        let mut stsd = Node::of(b"stsd", vec![entry]);
        stsd.head = vec![0, 0, 0, 0, 0, 0, 0, 1];
        let stbl = Node::of(b"stbl", vec![stsd, offset_table(*b"stco", chunks)]);
        let mut hdlr = vec![0; 8];
        hdlr.extend(b"vide");
        let mdia = vec![Node::leaf(b"hdlr", hdlr), Node::of(b"minf", vec![stbl])];
        let trak = Node::of(b"trak", vec![Node::of(b"mdia", mdia)]);
        let mut out = Vec::new();
        Node::of(b"moov", vec![trak]).write(&mut out);
        out
    }

    fn chunks(moov: &[u8]) -> (Vec<u64>, [u8; 4]) {
        let mut nodes = parse(moov, 0).unwrap();
        let mut found = (Vec::new(), [0; 4]);
        each_table(&mut nodes[0], |table| found = (offsets(table).collect(), table.kind));
        found
    }

    #[test]
    fn chunks_behind_a_grown_header_move_and_those_before_it_stay() {
        let mark = |entry: &mut Node| entry.children.push(Node::leaf(b"st3d", vec![0; 5]));
        let add = |moov: &mut Node| each_video_entry(moov, mark);
        let out = changed(&film(&[10, 5000, 9000]), 32, add).unwrap();
        assert_eq!(out.len(), film(&[1, 2, 3]).len() + 13);
        assert_eq!(chunks(&out), (vec![10, 5013, 9013], *b"stco"));
    }

    #[test]
    fn offsets_that_no_longer_fit_get_64_bits() {
        let mark = |entry: &mut Node| entry.children.push(Node::leaf(b"st3d", vec![0; 5]));
        let add = |moov: &mut Node| each_video_entry(moov, mark);
        let out = changed(&film(&[5000, MAX32 - 3]), 32, add).unwrap();
        // Thirteen bytes of mark and four more for each of two offsets.
        assert_eq!(chunks(&out), (vec![5021, MAX32 - 3 + 21], *b"co64"));
    }

    #[test]
    fn without_a_change_the_header_is_the_same() {
        assert_eq!(changed(&film(&[5000]), 32, |_| Some(())).unwrap(), film(&[5000]));
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let mut node = Node::of(b"stbl", Vec::new());
        for _ in 0..20 {
            node = Node::of(b"stbl", vec![node]);
        }
        let mut bytes = Vec::new();
        node.write(&mut bytes);
        assert_eq!(parse(&bytes, 0), None);
    }

    proptest! {
        #[test]
        fn damaged_headers_are_refused_or_read_without_panic(
            at in 0usize..200, with in any::<u8>(), cut in 0usize..250,
        ) {
            let mut bytes = film(&[1, 2, 3]);
            let at = at.min(bytes.len() - 1);
            bytes[at] = with;
            bytes.truncate(cut.max(8));
            let _ = changed(&bytes, 0, |_| Some(()));
        }
    }
}
