//! A picture's file taken apart: the picture alone, which the programs are given, and its notes.
//!
//! Decoders complain about odd notes as they do about damage, so that a sound picture would be refused for
//! them. They get none.

use std::path::Path;

use img_parts::jpeg::{Jpeg, JpegSegment, markers};
use img_parts::png::Png;
use img_parts::{Bytes, DynImage, ImageEXIF, ImageICC};

use super::exif;
use crate::error::{Error, Result};

/// What a picture's file holds.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The file without notes.
    pub(super) bare: Bytes,
    /// What the camera noted, as it stands there.
    pub(super) exif: Option<Bytes>,
    /// The profile of its colours.
    pub(super) icc: Option<Bytes>,
    /// What is there and cannot be read, or is left out, a sentence each.
    pub(super) lost: Vec<String>,
}

/// Takes the file at `path` apart, which holds `bytes`.
///
/// # Errors
/// `Input` when it is cut short, or holds several pictures.
pub(super) fn apart(path: &Path, bytes: Vec<u8>) -> Result<Parts> {
    let (bytes, more) = first_picture(bytes.into());
    let picture = DynImage::from_bytes(bytes.clone());
    let picture = picture.map_err(|e| Error::input(path, format!("damaged or cut short: {e}")))?;
    let Some(picture) = picture else { return Ok(Parts { bare: bytes, ..Parts::default() }) };
    let (exif, icc) = (picture.exif(), picture.icc_profile());
    let mut lost = Vec::new();
    if more {
        // An index of small and auxiliary pictures tells them from pictures of equal rank.
        let indexed = matches!(&picture, DynImage::Jpeg(jpeg) if has(jpeg, b"MPF\0"));
        if !indexed {
            let what = "several JPEGs in one file, as of something that moves; make a film of them, or take \
                        them apart";
            return Err(Error::input(path, what));
        }
        lost.push("of several pictures in the file the first is taken".to_owned());
    }
    let (has_exif, has_icc) = match &picture {
        DynImage::Jpeg(jpeg) => (exif.is_some(), has(jpeg, b"ICC_PROFILE\0")),
        DynImage::Png(png) => {
            still(path, png)?;
            (exif.is_some(), png.chunk_by_type(*b"iCCP").is_some())
        }
        DynImage::WebP(webp) => (webp.has_chunk(*b"EXIF"), webp.has_chunk(*b"ICCP")),
    };
    if has_exif && exif.as_ref().is_none_or(|notes| exif::upright(notes).is_none()) {
        lost.push("what the camera noted is left out: it cannot be read".to_owned());
    }
    if has_icc && icc.is_none() {
        lost.push("the ICC profile is left out: it cannot be read".to_owned());
    }
    Ok(Parts { bare: bare(picture), exif, icc, lost })
}

/// Refuses what moves.
fn still(path: &Path, png: &Png) -> Result<()> {
    let before = png.chunks().iter().take_while(|chunk| chunk.kind() != *b"IDAT");
    if before.into_iter().any(|chunk| chunk.kind() == *b"acTL") {
        let what =
            "a PNG that moves (APNG); make a film of it first, or a PNG of one of its pictures";
        return Err(Error::input(path, what));
    }
    Ok(())
}

/// The file without what decodes no samples.
fn bare(mut picture: DynImage) -> Bytes {
    match &mut picture {
        DynImage::Jpeg(jpeg) => jpeg.segments_mut().retain(decodes),
        // Chunks that every decoder must know begin with a capital.
        DynImage::Png(png) => png
            .chunks_mut()
            .retain(|chunk| chunk.kind()[0].is_ascii_uppercase() || chunk.kind() == *b"tRNS"),
        DynImage::WebP(webp) => {
            for id in [*b"EXIF", *b"XMP ", *b"ICCP"] {
                webp.remove_chunks_by_id(id);
            }
        }
    }
    picture.encoder().bytes()
}

/// Whether the decoder needs the segment: of what programs noted, that which tells the colours.
fn decodes(segment: &JpegSegment) -> bool {
    let body = segment.contents();
    match segment.marker() {
        markers::APP0 => body.starts_with(b"JFIF\0") && body.len() >= 14,
        markers::APP14 => body.starts_with(b"Adobe") && body.len() >= 12,
        marker => !(markers::APP0..=markers::APP15).contains(&marker),
    }
}

fn has(jpeg: &Jpeg, head: &[u8]) -> bool {
    jpeg.segments_by_marker(markers::APP2).any(|segment| segment.contents().starts_with(head))
}

/// A JPEG without what stands behind its end, and whether that is another one; other files as they are.
fn first_picture(bytes: Bytes) -> (Bytes, bool) {
    if !bytes.starts_with(b"\xFF\xD8") {
        return (bytes, false);
    }
    match end_of_jpeg(&bytes) {
        Some(end) => (bytes.slice(..end), bytes[end..].starts_with(b"\xFF\xD8\xFF")),
        None => (bytes, false),
    }
}

/// Where the first JPEG in `bytes` ends; `None` when it does not.
fn end_of_jpeg(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    loop {
        // Samples that look like a marker are followed by a zero; before one, its first byte may be repeated.
        at += bytes.get(at..)?.iter().position(|&byte| byte == markers::P)?;
        while *bytes.get(at)? == markers::P {
            at += 1;
        }
        let marker = bytes[at];
        at += 1;
        match marker {
            markers::EOI => return Some(at),
            0 | 1 | markers::RST0..=markers::SOI => {}
            _ => at += usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A JPEG by its form: a segment with something in it that looks like its end, and samples.
    const JPEG: &[u8] =
        b"\xFF\xD8\xFF\xE1\0\x06\xFF\xD9ab\xFF\xDA\0\x02x\xFF\0\xFF\xD0y\xFF\xFF\xD9";

    #[test]
    fn the_end_of_a_jpeg_is_no_sample_and_stands_in_no_segment() {
        assert_eq!(end_of_jpeg(JPEG), Some(JPEG.len()));
        for length in 2..JPEG.len() {
            assert_eq!(end_of_jpeg(&JPEG[..length]), None, "{length}");
        }
        let followed = |rest: &[u8]| first_picture([JPEG, rest].concat().into());
        assert_eq!(followed(b"a film"), (JPEG.into(), false));
        assert_eq!(followed(JPEG), (JPEG.into(), true));
    }

    #[test]
    fn what_is_indexed_is_left_out_and_what_is_not_is_refused() {
        let path = Path::new("a.jpg");
        let refused = apart(path, JPEG.repeat(2)).unwrap_err();
        assert!(refused.to_string().contains("several JPEGs in one file"), "{refused}");
        let index = b"\xFF\xE2\0\x06MPF\0";
        let parts = apart(path, [&JPEG[..2], index, &JPEG[2..], JPEG].concat()).unwrap();
        assert_eq!(parts.bare, [&JPEG[..2], &JPEG[10..]].concat(), "without what is noted");
        assert_eq!(parts.lost, ["of several pictures in the file the first is taken"]);
    }
}
