//! A minimal Matroska stream of raw pictures: how frames with exact times reach an encoder.
//!
//! Raw video on a pipe has no times, y4m has a constant rate only. Here the unit is 1 ns, so that
//! the tick of any time base coarser than that comes back exactly after rounding. Elements are
//! from RFC 9559; one cluster holds one frame, so that nothing is buffered.

use parallax_frame::{Chroma, FrameRate, PixelFormat, VideoFormat};

/// Units of the written times per second.
pub(crate) const UNITS_PER_SECOND: u64 = 1_000_000_000;

/// The bytes before the first frame.
pub(crate) fn header(format: &VideoFormat, rate: FrameRate) -> Vec<u8> {
    let mut out = Vec::new();
    let ebml = [
        uint(&[0x42, 0x86], 1),
        uint(&[0x42, 0xF7], 1),
        uint(&[0x42, 0xF2], 4),
        uint(&[0x42, 0xF3], 8),
        element(&[0x42, 0x82], b"matroska"),
        uint(&[0x42, 0x87], 4),
        uint(&[0x42, 0x85], 2),
    ];
    out.extend(element(&[0x1A, 0x45, 0xDF, 0xA3], &ebml.concat()));
    // Segment of unknown size.
    out.extend([0x18, 0x53, 0x80, 0x67, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    let info = [
        uint(&[0x2A, 0xD7, 0xB1], 1),
        element(&[0x4D, 0x80], b"parallax"),
        element(&[0x57, 0x41], b"parallax"),
    ];
    out.extend(element(&[0x15, 0x49, 0xA9, 0x66], &info.concat()));
    let video = [
        uint(&[0xB0], u64::from(format.width)),
        uint(&[0xBA], u64::from(format.height)),
        element(&[0x2E, 0xB5, 0x24], &four_cc(format.pixels)),
    ];
    let frame_ns = u64::from(rate.den) * UNITS_PER_SECOND / u64::from(rate.num);
    let track = [
        uint(&[0xD7], 1),
        uint(&[0x73, 0xC5], 1),
        uint(&[0x83], 1),
        element(&[0x86], b"V_UNCOMPRESSED"),
        uint(&[0x23, 0xE3, 0x83], frame_ns.max(1)),
        element(&[0xE0], &video.concat()),
    ];
    let entry = element(&[0xAE], &track.concat());
    out.extend(element(&[0x16, 0x54, 0xAE, 0x6B], &entry));
    out
}

/// The bytes before the samples of a frame of `frame_bytes` at `time_ns` nanoseconds.
pub(crate) fn frame_header(time_ns: u64, frame_bytes: usize) -> Vec<u8> {
    let time = uint(&[0xE7], time_ns);
    // Track 1, time relative to the cluster 0, keyframe.
    let block_start = [0x81, 0, 0, 0x80];
    let block_bytes = (block_start.len() + frame_bytes) as u64;
    let mut block = vec![0xA3];
    block.extend(size(block_bytes));
    block.extend(block_start);
    let mut out = vec![0x1F, 0x43, 0xB6, 0x75];
    out.extend(size((time.len() + block.len() + frame_bytes) as u64));
    out.extend(time);
    out.extend(block);
    out
}

/// The code by which ffmpeg's raw video decoder knows a planar format (its `raw.c`).
fn four_cc(pixels: PixelFormat) -> [u8; 4] {
    let bits = pixels.bits();
    match (pixels.chroma(), bits) {
        (Chroma::Gray, 8) => *b"Y800",
        (Chroma::Yuv420, 8) => *b"I420",
        (Chroma::Yuv422, 8) => *b"Y42B",
        (Chroma::Yuv444, 8) => *b"444P",
        (Chroma::Gray, _) => [b'Y', b'1', 0, bits],
        (Chroma::Yuv420, _) => [b'Y', b'3', 11, bits],
        (Chroma::Yuv422, _) => [b'Y', b'3', 10, bits],
        (Chroma::Yuv444, _) => [b'Y', b'3', 0, bits],
    }
}

fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = id.to_vec();
    out.extend(size(body.len() as u64));
    out.extend(body);
    out
}

fn uint(id: &[u8], value: u64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

/// A length in the eight-byte form, which any length below 2^56 fits.
fn size(bytes: u64) -> [u8; 8] {
    let mut out = bytes.to_be_bytes();
    out[0] = 0x01;
    out
}
