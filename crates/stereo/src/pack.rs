//! Two eyes into one picture.

use std::f32::consts::PI;
use std::sync::Arc;

use parallax_frame::Frame;
use rayon::prelude::*;

use crate::{Error, Layout, StereoPair, anaglyph, output_format};

/// Packs `pair` as `layout`, in the format that [`output_format`] gives, at the left eye's time.
/// Full side by side copies the samples of both eyes untouched.
///
/// # Errors
/// `Unsupported` when the eyes differ in format, or for an anaglyph in a colour matrix that is not
/// a matrix of R'G'B'.
pub fn compose(pair: &StereoPair, layout: Layout) -> Result<Frame, Error> {
    if pair.left.format() != pair.right.format() {
        return Err(Error::Unsupported("left and right eye differ in format".to_owned()));
    }
    let (format, _) = output_format(layout, pair.left.format());
    let mut out = Frame::zeroed(Arc::new(format), pair.left.pts);
    match layout {
        Layout::Anaglyph => anaglyph::compose(pair, &mut out)?,
        Layout::FullSbs => side_by_side(pair, &mut out),
        Layout::HalfSbs => half_side_by_side(pair, &mut out),
    }
    Ok(out)
}

fn side_by_side(pair: &StereoPair, out: &mut Frame) {
    let format = out.format().clone();
    let bytes = format.pixels.sample_bytes();
    for index in 0..format.pixels.chroma().planes() {
        let source = pair.left.format().plane(index);
        let row_bytes = source.width * bytes;
        let (left, right) = (pair.left.plane(index), pair.right.plane(index));
        let half = format.plane(index).width / 2 * bytes;
        out.plane_mut(index).par_chunks_mut(2 * half).enumerate().for_each(|(y, row)| {
            let start = y.min(source.height - 1) * row_bytes;
            let (a, b) = row.split_at_mut(half);
            copy_padded(a, &left[start..start + row_bytes], bytes);
            copy_padded(b, &right[start..start + row_bytes], bytes);
        });
    }
}

/// Copies a row and repeats its last sample to the end of `out`.
fn copy_padded(out: &mut [u8], row: &[u8], bytes: usize) {
    let (body, rest) = out.split_at_mut(row.len());
    body.copy_from_slice(row);
    for sample in rest.chunks_exact_mut(bytes) {
        sample.copy_from_slice(&row[row.len() - bytes..]);
    }
}

/// Taps of the 2:1 reduction: Lanczos with three lobes at half the sampling rate.
const TAPS: usize = 12;

/// Lanczos-3 weights for output samples that lie `offset` samples after every second input sample;
/// tap `k` weighs the input `k - 5` samples after it.
fn reduction(offset: f32) -> [f32; TAPS] {
    let mut taps = [0.0; TAPS];
    for (k, tap) in taps.iter_mut().enumerate() {
        let x = (k as f32 - 5.0 - offset) / 2.0;
        *tap = match x {
            0.0 => 1.0,
            x if x.abs() >= 3.0 => 0.0,
            x => 3.0 * (PI * x).sin() * (PI * x / 3.0).sin() / (PI * x * PI * x),
        };
    }
    let sum: f32 = taps.iter().sum();
    taps.map(|tap| tap / sum)
}

fn half_side_by_side(pair: &StereoPair, out: &mut Frame) {
    let format = out.format().clone();
    let bytes = format.pixels.sample_bytes();
    let max = f32::from(format.pixels.max_value());
    for index in 0..format.pixels.chroma().planes() {
        let source = pair.left.format().plane(index);
        let row_bytes = source.width * bytes;
        // Luma halves between its samples. Subsampled chroma sits on even luma columns, before and
        // after, so it moves by half a luma sample, a quarter of its own.
        let chroma = index > 0 && format.pixels.chroma().shifts().0 == 1;
        let taps = reduction(if chroma { 0.25 } else { 0.5 });
        let half = format.plane(index).width / 2 * bytes;
        let (left, right) = (pair.left.plane(index), pair.right.plane(index));
        out.plane_mut(index).par_chunks_mut(2 * half).enumerate().for_each_init(
            Vec::new,
            |padded, (y, row)| {
                let start = y.min(source.height - 1) * row_bytes;
                let (a, b) = row.split_at_mut(half);
                halve(a, &left[start..start + row_bytes], bytes, max, &taps, padded);
                halve(b, &right[start..start + row_bytes], bytes, max, &taps, padded);
            },
        );
    }
}

fn halve(
    out: &mut [u8],
    row: &[u8],
    bytes: usize,
    max: f32,
    taps: &[f32; TAPS],
    padded: &mut Vec<f32>,
) {
    let value = |b: &[u8]| match *b {
        [v] => f32::from(v),
        [low, high] => f32::from(u16::from_le_bytes([low, high])),
        _ => 0.0,
    };
    let first = value(&row[..bytes]);
    let last = value(&row[row.len() - bytes..]);
    padded.clear();
    padded.resize(5, first);
    padded.extend(row.chunks_exact(bytes).map(value));
    padded.resize(2 * (out.len() / bytes) + TAPS, last);
    for (window, sample) in padded.windows(TAPS).step_by(2).zip(out.chunks_exact_mut(bytes)) {
        let sum: f32 = window.iter().zip(taps).map(|(v, t)| v * t).sum();
        let code = (sum.clamp(0.0, max) + 0.5) as u16;
        sample.copy_from_slice(&code.to_le_bytes()[..bytes]);
    }
}
