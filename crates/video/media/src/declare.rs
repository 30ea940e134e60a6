//! Telling players what a picture holds: marks in the headers of MP4, words for Matroska.
//!
//! `st3d` and `sv3d` are those of Google's Spherical Video V2 specification; the frame packing SEI
//! is that of H.265, D.2.16, written into `hvcC` where a decoder reads it before any picture,
//! because x265 has no option for it.

use std::path::Path;

use crate::boxes::{Node, each_video_entry, rewrite};
use crate::error::{Error, Result};
use crate::stereo_mode::{Declaration, Packing};

impl Declaration {
    /// Its boxes in MP4.
    fn marks(self) -> Vec<Node> {
        let mut marks = Vec::new();
        if let Some(mode) = self.stereo {
            marks.push(Node::leaf(b"st3d", vec![0, 0, 0, 0, mode.st3d()]));
        }
        if self.half_sphere {
            marks.push(sv3d());
        }
        marks
    }
}

/// A half sphere, facing forward.
fn sv3d() -> Node {
    let full = |fields: &[u32]| {
        let mut body = vec![0; 4];
        fields.iter().for_each(|field| body.extend(field.to_be_bytes()));
        body
    };
    let mut source = vec![0; 4];
    source.extend(b"parallax\0");
    // A quarter of the sphere's width is missing on either side, as a fraction of 2^32.
    let quarter = 0x4000_0000;
    Node::of(
        b"sv3d",
        vec![
            Node::leaf(b"svhd", source),
            Node::of(
                b"proj",
                vec![
                    Node::leaf(b"prhd", full(&[0, 0, 0])),
                    Node::leaf(b"equi", full(&[0, 0, quarter, quarter])),
                ],
            ),
        ],
    )
}

/// What is written into the headers of a finished MP4.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    /// What the pictures hold.
    pub(crate) declaration: Declaration,
    /// Tags of the film that the muxer has no words for: names and values.
    pub(crate) tags: Vec<(String, String)>,
    /// Tracks, by their places, that players show only when they are asked to.
    pub(crate) disabled: Vec<usize>,
}

/// Writes `marks` into the MP4 at `path`; nothing when there are none.
///
/// # Errors
/// As [`rewrite`].
pub(crate) fn mark_mp4(path: &Path, marks: &Marks) -> Result<()> {
    let declared = marks.declaration.marks();
    if declared.is_empty() && marks.tags.is_empty() && marks.disabled.is_empty() {
        return Ok(());
    }
    in_place(path, |moov| {
        if !marks.tags.is_empty() {
            moov.children.push(metadata(&marks.tags));
        }
        disable(moov, &marks.disabled);
        if declared.is_empty() {
            return Some(());
        }
        each_video_entry(moov, |entry| {
            entry.children.retain(|child| child.kind != *b"st3d" && child.kind != *b"sv3d");
            let after =
                entry.children.iter().position(|c| c.kind == *b"clap" || c.kind == *b"pasp");
            let at = after.unwrap_or(entry.children.len());
            entry.children.splice(at..at, declared.iter().cloned());
        })
    })
}

/// Clears the flag `track_enabled` (ISO/IEC 14496-12, 8.3.2), the lowest of the flags' three bytes.
fn disable(moov: &mut Node, places: &[usize]) {
    let tracks = moov.children.iter_mut().filter(|node| node.kind == *b"trak");
    for (_, track) in tracks.enumerate().filter(|(place, _)| places.contains(place)) {
        let header = track.children.iter_mut().find(|node| node.kind == *b"tkhd");
        if let Some(flags) = header.and_then(|header| header.head.get_mut(3)) {
            *flags &= !1;
        }
    }
}

/// Tags by names of any kind: a `meta` box with keys, as QuickTime and phones write it (QuickTime
/// File Format, "Metadata"; ISO/IEC 14496-12, 8.11.1).
fn metadata(tags: &[(String, String)]) -> Node {
    let mut handler = vec![0; 8];
    handler.extend(b"mdta");
    handler.extend([0; 13]);
    let mut keys = vec![0; 4];
    keys.extend((tags.len() as u32).to_be_bytes());
    let mut values = Vec::new();
    for (index, (name, value)) in (1u32..).zip(tags) {
        keys.extend((8 + name.len() as u32).to_be_bytes());
        keys.extend(b"mdta");
        keys.extend(name.as_bytes());
        // Type 1 is UTF-8; no country and no language.
        let mut data = vec![0, 0, 0, 1, 0, 0, 0, 0];
        data.extend(value.as_bytes());
        values.push(Node::of(&index.to_be_bytes(), vec![Node::leaf(b"data", data)]));
    }
    let mut meta = Node::of(
        b"meta",
        vec![Node::leaf(b"hdlr", handler), Node::leaf(b"keys", keys), Node::of(b"ilst", values)],
    );
    meta.head = vec![0; 4];
    meta
}

/// Declares the packing of the H.265 stream in the MP4 at `path`.
///
/// # Errors
/// As [`rewrite`].
pub(crate) fn frame_packing(path: &Path, packing: Packing) -> Result<()> {
    let unit = packing_sei(packing);
    in_place(path, |moov| {
        each_video_entry(moov, |entry| {
            if let Some(config) = entry.children.iter_mut().find(|child| child.kind == *b"hvcC") {
                add_sei(&mut config.head, &unit);
            }
        })
    })
}

/// Adds an array of one prefix SEI unit to an `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15,
/// 8.3.3.1), whose number of arrays is its 23rd byte.
fn add_sei(config: &mut Vec<u8>, unit: &[u8]) {
    const PREFIX_SEI: u8 = 39;
    let Some(count) = config.get_mut(22) else { return };
    *count = count.saturating_add(1);
    config.push(0x80 | PREFIX_SEI);
    config.extend(1u16.to_be_bytes());
    config.extend((unit.len() as u16).to_be_bytes());
    config.extend(unit);
}

/// A prefix SEI unit with a frame packing arrangement, valid from here on.
fn packing_sei(packing: Packing) -> Vec<u8> {
    let mut bits = Bits::default();
    // Id 0 as Exp-Golomb, not cancelled.
    bits.push(1, 1);
    bits.push(0, 1);
    bits.push(u32::from(packing.arrangement()), 7);
    // No quincunx sampling; the first view is the left one.
    bits.push(0, 1);
    bits.push(1, 6);
    // Not flipped (two), fields as usual (two), independent views (two).
    bits.push(0, 6);
    // Both grid positions of both views at the origin, then a reserved byte.
    bits.push(0, 24);
    // It persists; the upsampled aspect ratio is not meant.
    bits.push(1, 1);
    bits.push(0, 1);
    let payload = bits.finish();
    let mut unit = vec![39 << 1, 1, 45, payload.len() as u8];
    unit.extend(payload);
    unit.push(0x80);
    escaped(&unit)
}

/// Bits in order of significance.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << (7 - self.used % 8);
            }
            self.used += 1;
        }
    }

    /// The bytes; a payload that ends inside one gets a stop bit (H.265, 7.3.5).
    fn finish(mut self) -> Vec<u8> {
        if !self.used.is_multiple_of(8) {
            self.push(1, 1);
        }
        self.bytes
    }
}

/// With emulation prevention: no three bytes that could be taken for the start of a unit.
fn escaped(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len() + 4);
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

fn in_place(path: &Path, change: impl FnOnce(&mut Node) -> Option<()>) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".marked");
    let beside = Path::new(&beside);
    let done = rewrite(path, beside, change)
        .and_then(|()| std::fs::rename(beside, path).map_err(|e| Error::io("rename to", path, e)));
    if done.is_err() {
        let _ = std::fs::remove_file(beside);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packing_message_is_the_standards() {
        // 1 0 0000011 0 000001 000000 | 24 zeros | 1 0, then the unit's trailing bits.
        let unit = packing_sei(Packing::SideBySide);
        assert_eq!(unit[..4], [0x4e, 0x01, 0x2d, 0x06]);
        let raw: Vec<u8> = {
            let mut out = Vec::new();
            let mut zeros = 0;
            for &byte in &unit[4..] {
                if zeros >= 2 && byte == 3 {
                    zeros = 0;
                    continue;
                }
                zeros = if byte == 0 { zeros + 1 } else { 0 };
                out.push(byte);
            }
            out
        };
        let bits: String = raw.iter().map(|byte| format!("{byte:08b}")).collect();
        assert!(bits.starts_with("1000000110000001000000"), "{bits}");
        assert_eq!(&bits[22..46], "0".repeat(24));
        assert_eq!(&bits[46..], "1010000000");
    }

    #[test]
    fn zeros_in_a_row_are_broken_up() {
        assert_eq!(escaped(&[0, 0, 0, 0, 0, 1]), [0, 0, 3, 0, 0, 3, 0, 1]);
        assert_eq!(escaped(&[0, 0, 4]), [0, 0, 4]);
    }
}
