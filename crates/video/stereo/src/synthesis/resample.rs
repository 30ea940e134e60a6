//! Gathering the planes of a frame through a finished map.
//!
//! Luma is interpolated with a Catmull-Rom cubic, because a linear half-pixel shift would leave one
//! eye visibly softer than the other. Chroma follows the luma map at its own resolution: its
//! samples sit on even luma columns (the siting of every common codec), so they take the map there
//! and average the luma rows they span, which is what subsampling a 4:4:4 warp would give.

use parallax_frame::Frame;
use rayon::prelude::*;

use crate::simd::over;
use crate::synthesis::forward_warp::gather;
use crate::{Plane, Warp};

impl Warp {
    /// The right eye of `frame`, which keeps its time and format. Samples whose map entry is the
    /// identity come out bit-exact.
    ///
    /// # Panics
    /// When the frame's luma has another size than the warp.
    pub fn frame(&self, frame: &Frame) -> Frame {
        let format = frame.format();
        let (width, height) = (format.width as usize, format.height as usize);
        assert_eq!((self.source.width(), self.source.height()), (width, height), "frame size");
        let mut out = Frame::zeroed(format.clone(), frame.pts);
        let samples = Samples {
            bytes: format.pixels.sample_bytes(),
            max: f32::from(format.pixels.max_value()),
        };
        let row = width * samples.bytes;
        let (luma, chroma) = out.data_mut().split_at_mut(row * height);
        luma.par_chunks_mut(row).zip(frame.plane(0).par_chunks(row)).enumerate().for_each_init(
            Default::default,
            |scratch, (y, (out, source))| {
                samples.full(self.source.row(y), scratch, [(source, out)]);
            },
        );
        if chroma.is_empty() {
            return out;
        }
        let row = format.plane(1).width * samples.bytes;
        let (sx, sy) = format.pixels.chroma().shifts();
        let (cb, cr) = chroma.split_at_mut(chroma.len() / 2);
        let outs = cb.par_chunks_mut(row).zip(cr.par_chunks_mut(row));
        let sources = frame.plane(1).par_chunks(row).zip(frame.plane(2).par_chunks(row));
        outs.zip(sources).enumerate().for_each_init(
            Default::default,
            |scratch, (y, ((cb, cr), (from_cb, from_cr)))| {
                let rows = [(from_cb, cb), (from_cr, cr)];
                let top = self.source.row(y << sy);
                let below = self.source.row(((y + 1) << sy).min(height) - 1);
                if (sx, sy) == (0, 0) {
                    samples.full(top, scratch, rows);
                } else {
                    samples.subsampled([top, below], sx, scratch, rows);
                }
            },
        );
        out
    }
}

/// How samples are kept.
#[derive(Clone, Copy)]
struct Samples {
    /// 1, or 2 of which the lower comes first.
    bytes: usize,
    /// The greatest value.
    max: f32,
}

/// Rows in f32 while they are resampled.
struct Scratch<const P: usize> {
    samples: [Vec<f32>; P],
    values: [Vec<f32>; P],
    below: [Vec<f32>; P],
    columns: [Vec<f32>; 2],
}

impl<const P: usize> Default for Scratch<P> {
    fn default() -> Self {
        let empty = || std::array::from_fn(|_| Vec::new());
        Self { samples: empty(), values: empty(), below: empty(), columns: Default::default() }
    }
}

/// A row of every plane, and where it goes.
type Rows<'a, const P: usize> = [(&'a [u8], &'a mut [u8]); P];

impl Samples {
    /// Resamples rows of which every sample has its entry in the map.
    fn full<const P: usize>(self, source: &[f32], scratch: &mut Scratch<P>, rows: Rows<'_, P>) {
        over(
            #[inline(always)]
            || {
                scratch.load(self, &rows);
                gather(source, 1, pairs(&scratch.samples, &mut scratch.values), cubic);
                self.store(&scratch.values, rows);
            },
        );
    }

    /// Resamples rows of which every sample has two entries, those at each `1 << shift`th column of the
    /// first and the last luma row that it spans.
    fn subsampled<const P: usize>(
        self,
        sources: [&[f32]; 2],
        shift: u32,
        scratch: &mut Scratch<P>,
        rows: Rows<'_, P>,
    ) {
        over(
            #[inline(always)]
            || {
                scratch.load(self, &rows);
                for (columns, source) in scratch.columns.iter_mut().zip(sources) {
                    every(source, shift, columns);
                }
                let [top, below] = &scratch.columns;
                gather(top, 0, pairs(&scratch.samples, &mut scratch.values), linear);
                gather(below, 0, pairs(&scratch.samples, &mut scratch.below), linear);
                for (values, below) in scratch.values.iter_mut().zip(&scratch.below) {
                    for (value, below) in values.iter_mut().zip(below) {
                        *value = 0.5 * (*value + below);
                    }
                }
                self.store(&scratch.values, rows);
            },
        );
    }

    #[inline(always)]
    fn store<const P: usize>(self, values: &[Vec<f32>; P], rows: Rows<'_, P>) {
        let max = self.max;
        // Through i32, which vectorises; the limits have made it fit. So do two limits, but not `clamp`,
        // which looks whether they are in order.
        let round = move |v: &f32| (v.max(0.0).min(max) + 0.5) as i32;
        for ((_, out), values) in rows.into_iter().zip(values) {
            if self.bytes == 2 {
                let (pairs, _) = out.as_chunks_mut::<2>();
                for (out, v) in pairs.iter_mut().zip(values) {
                    *out = (round(v) as u16).to_le_bytes();
                }
            } else {
                for (out, v) in out.iter_mut().zip(values) {
                    *out = round(v) as u8;
                }
            }
        }
    }
}

impl<const P: usize> Scratch<P> {
    #[inline(always)]
    fn load(&mut self, kept: Samples, rows: &Rows<'_, P>) {
        for (samples, (row, _)) in self.samples.iter_mut().zip(rows) {
            samples.clear();
            if kept.bytes == 2 {
                let (pairs, _) = row.as_chunks::<2>();
                samples.extend(pairs.iter().map(|&pair| f32::from(u16::from_le_bytes(pair))));
            } else {
                samples.extend(row.iter().map(|&v| f32::from(v)));
            }
        }
        for outs in [&mut self.values, &mut self.below] {
            for (out, samples) in outs.iter_mut().zip(&self.samples) {
                out.resize(samples.len(), 0.0);
            }
        }
    }
}

#[inline(always)]
fn pairs<'a, const P: usize>(
    samples: &'a [Vec<f32>; P],
    outs: &'a mut [Vec<f32>; P],
) -> [(&'a [f32], &'a mut [f32]); P] {
    let mut samples = samples.iter();
    outs.each_mut().map(|out| (samples.next().map_or(&[][..], |s| s), out.as_mut_slice()))
}

/// The entries at each `1 << shift`th column, in columns of a plane that has only those.
#[inline(always)]
fn every(source: &[f32], shift: u32, columns: &mut Vec<f32>) {
    let scale = 1.0 / (1 << shift) as f32;
    columns.clear();
    if shift == 1 {
        let (pairs, rest) = source.as_chunks::<2>();
        columns.extend(pairs.iter().map(|pair| pair[0] * scale));
        columns.extend(rest.first().map(|column| column * scale));
    } else {
        columns.extend(source.iter().step_by(1 << shift).map(|column| column * scale));
    }
}

/// Catmull-Rom between the second and the third of four samples; exact at the second.
#[inline(always)]
fn cubic(p: [f32; 4], f: f32) -> f32 {
    let slope = p[2] - p[0];
    let square = 2.0 * p[0] - 5.0 * p[1] + 4.0 * p[2] - p[3];
    let cube = 3.0 * (p[1] - p[2]) + p[3] - p[0];
    p[1] + 0.5 * f * (slope + f * (square + f * cube))
}

#[inline(always)]
fn linear([a, b]: [f32; 2], f: f32) -> f32 {
    a + (b - a) * f
}

/// `plane` at another size, bilinearly between sample centres, borders repeated.
pub(crate) fn resize(plane: &Plane, width: usize, height: usize) -> Plane {
    let taps = |size: usize, out: usize, i: usize| {
        let at = ((i as f32 + 0.5) * size as f32 / out as f32 - 0.5).clamp(0.0, (size - 1) as f32);
        let low = at as usize;
        (low, (low + 1).min(size - 1), at - low as f32)
    };
    let columns: Vec<_> = (0..width).map(|x| taps(plane.width(), width, x)).collect();
    let mut out = Plane::filled(width, height, 0.0);
    out.data_mut().par_chunks_mut(width).enumerate().for_each_init(
        || vec![0.0f32; plane.width()],
        |mixed, (y, row)| {
            let (top, bottom, f) = taps(plane.height(), height, y);
            for ((m, &a), &b) in mixed.iter_mut().zip(plane.row(top)).zip(plane.row(bottom)) {
                *m = a + (b - a) * f;
            }
            for (out, &(low, high, f)) in row.iter_mut().zip(&columns) {
                *out = mixed[low] + (mixed[high] - mixed[low]) * f;
            }
        },
    );
    out
}
