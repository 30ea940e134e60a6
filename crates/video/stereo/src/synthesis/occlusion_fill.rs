//! Holes take the background of their row: its mirror image or its last sample.
//!
//! The hole is filled in the inverse map, not in the picture: its samples point at the mirror
//! image of the background beside it, so every plane is filled alike and texture continues instead
//! of streaking. [`soften`] then blurs vertically, more with distance from the background, where a
//! mirror is least believable. Nothing outside holes is touched, and nothing is invented: that is
//! what the diffusion engine is for.

use std::ops::Range;

use parallax_frame::Frame;
use rayon::prelude::*;

use crate::matrix::neutral_black;
use crate::samples::{get, set};
use crate::{Plane, Warp};

/// Background samples nearest to the edge that are not mirrored: they are mixed with foreground.
pub(crate) const FRINGE: usize = 1;

/// The widest vertical blur, in rows to either side.
const MAX_BLUR: usize = 6;

/// Points every unclaimed sample at the background beside its hole: the side with the smaller
/// disparity, or the only side at a border of the frame.
pub(crate) fn mirror(warp: &mut Warp) {
    fill_with(warp, mirror_left, mirror_right);
}

/// As [`mirror`], with the background's last sample instead of its mirror image.
pub(crate) fn stretch(warp: &mut Warp) {
    fill_with(warp, stretch_left, stretch_right);
}

fn fill_with(warp: &mut Warp, left: FillSpan, right: FillSpan) {
    let width = warp.source.width();
    warp.source
        .data_mut()
        .par_chunks_mut(width)
        .zip(warp.near.data_mut().par_chunks_mut(width))
        .for_each(|(source, near)| fill_row(source, near, left, right));
}

/// Fills the columns from the first up to the second, from one side.
type FillSpan = fn(&mut [f32], &mut [f32], usize, usize);

fn fill_row(source: &mut [f32], near: &mut [f32], from_left: FillSpan, from_right: FillSpan) {
    let mut from = 0;
    while let Some((hole, side)) = next_hole(near, from) {
        from = hole.end;
        match side {
            // Everything left the frame: show the edge that left last.
            None => near.fill(0.0),
            Some(Side::Left) => from_left(source, near, hole.start, hole.end),
            Some(Side::Right) => from_right(source, near, hole.start, hole.end),
        }
    }
}

/// On which side of a hole the background is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// The holes of a row and where their background is: the side with the smaller disparity, the only side
/// at a border of the frame, and none in a row that is all hole.
pub(crate) fn holes(near: &[f32]) -> impl Iterator<Item = (Range<usize>, Option<Side>)> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        let next = next_hole(near, from)?;
        from = next.0.end;
        Some(next)
    })
}

fn next_hole(near: &[f32], from: usize) -> Option<(Range<usize>, Option<Side>)> {
    let open = |d: &f32| *d == f32::NEG_INFINITY;
    let start = from + near.get(from..)?.iter().position(open)?;
    let end = near[start..].iter().position(|d| !open(d)).map_or(near.len(), |k| start + k);
    let left = start.checked_sub(1).map(|x| near[x]);
    let side = match (left, near.get(end).copied()) {
        (None, None) => None,
        (Some(l), Some(r)) if r > l => Some(Side::Left),
        (Some(_), None) => Some(Side::Left),
        (_, Some(_)) => Some(Side::Right),
    };
    Some((start..end, side))
}

/// Fills `start..end` from the surface that begins at `end`.
fn mirror_right(source: &mut [f32], near: &mut [f32], start: usize, end: usize) {
    let depth = near[end];
    let room = near.len() - end;
    let extent = extent(room, end + 1 - start + FRINGE, |k| near[end + k], depth);
    for t in start..end {
        source[t] = source[end + reflect(end - t - 1 + FRINGE, extent)];
        near[t] = depth;
    }
}

/// Fills `start..end` from the surface that ends just before `start`.
fn mirror_left(source: &mut [f32], near: &mut [f32], start: usize, end: usize) {
    let depth = near[start - 1];
    let extent = extent(start, end + 1 - start + FRINGE, |k| near[start - 1 - k], depth);
    for t in start..end {
        source[t] = source[start - 1 - reflect(t - start + FRINGE, extent)];
        near[t] = depth;
    }
}

/// Fills `start..end` with the first sample of the surface at `end` that is not mixed.
fn stretch_right(source: &mut [f32], near: &mut [f32], start: usize, end: usize) {
    let from = (end + FRINGE).min(near.len() - 1);
    let (column, depth) = (source[from], near[end]);
    source[start..end].fill(column);
    near[start..end].fill(depth);
}

/// Fills `start..end` with the last sample of the surface before `start` that is not mixed.
fn stretch_left(source: &mut [f32], near: &mut [f32], start: usize, end: usize) {
    let from = (start - 1).saturating_sub(FRINGE);
    let (column, depth) = (source[from], near[start - 1]);
    source[start..end].fill(column);
    near[start..end].fill(depth);
}

/// How many samples beside a hole belong to the surface at `depth`, at most `wanted`.
pub(crate) fn extent(room: usize, wanted: usize, near: impl Fn(usize) -> f32, depth: f32) -> usize {
    let mut last = depth;
    for k in 1..room.min(wanted) {
        let d = near(k);
        // Surfaces may slope, so compare with the neighbour; a jump is another surface.
        if (d - last).abs() > 1.0 {
            return k;
        }
        last = d;
    }
    room.min(wanted)
}

/// Bounces `k` to and fro inside `0..extent`.
fn reflect(k: usize, extent: usize) -> usize {
    if extent < 2 {
        return 0;
    }
    let period = 2 * (extent - 1);
    let k = k % period;
    if k < extent { k } else { period - k }
}

/// Makes every sample black of which `near` (at luma size) says that no source sample claims it.
pub(crate) fn blacken(frame: &mut Frame, near: &Plane) {
    let format = frame.format().clone();
    let wide = format.pixels.sample_bytes() == 2;
    let (black, grey) = neutral_black(&format);
    for index in 0..format.pixels.chroma().planes() {
        let width = format.plane(index).width;
        let (sx, sy) = if index == 0 { (0, 0) } else { format.pixels.chroma().shifts() };
        let value = if index == 0 { black } else { grey } as u16;
        for (i, unit) in frame.plane_mut(index).chunks_exact_mut(1 + usize::from(wide)).enumerate()
        {
            if near.at((i % width) << sx, (i / width) << sy) == f32::NEG_INFINITY {
                unit.copy_from_slice(&value.to_le_bytes()[..1 + usize::from(wide)]);
            }
        }
    }
}

/// Vertically blurs what lies in the holes of `mask` (at luma size), with a radius that grows with
/// the distance from the hole's right end, mixing hole samples only.
pub(crate) fn soften(frame: &mut Frame, mask: &Plane) {
    let format = frame.format().clone();
    let wide = format.pixels.sample_bytes() == 2;
    for index in 0..format.pixels.chroma().planes() {
        let shape = format.plane(index);
        let shifts = if index == 0 { (0, 0) } else { format.pixels.chroma().shifts() };
        let plane = frame.plane(index);
        let patches: Vec<Vec<(usize, f32)>> = (0..shape.height)
            .into_par_iter()
            .map(|y| soften_row(plane, wide, (shape.width, shape.height), y, mask, shifts))
            .collect();
        patch(frame, index, patches);
    }
}

/// Overwrites samples of plane `index`: of every row some columns, by means of code values, which need no
/// clamp.
pub(crate) fn patch(frame: &mut Frame, index: usize, rows: Vec<Vec<(usize, f32)>>) {
    let wide = frame.format().pixels.sample_bytes() == 2;
    let width = frame.format().plane(index).width;
    let plane = frame.plane_mut(index);
    for (y, row) in rows.into_iter().enumerate() {
        for (x, value) in row {
            set(plane, y * width + x, wide, value);
        }
    }
}

fn soften_row(
    plane: &[u8],
    wide: bool,
    (width, height): (usize, usize),
    y: usize,
    mask: &Plane,
    shifts: (u32, u32),
) -> Vec<(usize, f32)> {
    let hole = |x: usize, y: usize| mask.at(x << shifts.0, y << shifts.1) > 0.5;
    let sample = |i: usize| get(plane, i, wide);
    let mut patch = Vec::new();
    let mut depth = 0;
    for x in (0..width).rev() {
        if !hole(x, y) {
            depth = 0;
            continue;
        }
        depth += 1;
        let radius = (depth / 2).min(MAX_BLUR);
        let (mut sum, mut count) = (0.0, 0.0);
        for row in y.saturating_sub(radius)..=(y + radius).min(height - 1) {
            if hole(x, row) {
                sum += sample(row * width + x);
                count += 1.0;
            }
        }
        patch.push((x, sum / count));
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(disparity: &[f32]) -> Warp {
        let plane = Plane::new(disparity.len(), 1, disparity.to_vec());
        let mut warp = Warp::new(disparity.len(), 1);
        warp.splat(&plane);
        mirror(&mut warp);
        warp
    }

    #[test]
    fn the_hole_mirrors_the_side_with_the_smaller_disparity() {
        // A card of disparity 4 over columns 4 to 7 uncovers columns 4 to 7 of the right eye.
        let mut disparity = [0.0; 16];
        disparity[4..8].fill(4.0);
        let warp = filled(&disparity);
        assert_eq!(warp.source.data()[..4], [4.0, 5.0, 6.0, 7.0]);
        // The sample next to the edge is skipped: it may be mixed with the card.
        assert_eq!(warp.source.data()[4..8], [12.0, 11.0, 10.0, 9.0]);
        assert_eq!(warp.source.data()[8..], [8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0]);
    }

    #[test]
    fn stretching_repeats_the_background_beside_the_hole() {
        let mut disparity = [0.0; 16];
        disparity[4..8].fill(4.0);
        let mut warp = Warp::new(16, 1);
        warp.splat(&Plane::new(16, 1, disparity.to_vec()));
        stretch(&mut warp);
        assert_eq!(warp.source.data()[4..8], [9.0; 4]);
        assert_eq!(warp.source.data()[..4], [4.0, 5.0, 6.0, 7.0]);
    }

    #[test]
    fn borders_are_filled_from_inside() {
        assert_eq!(filled(&[2.0; 6]).source.data(), [2.0, 3.0, 4.0, 5.0, 4.0, 3.0]);
        assert_eq!(filled(&[-2.0; 6]).source.data(), [2.0, 1.0, 0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_narrow_background_does_not_reach_into_the_next_foreground() {
        // Two cards with two columns of wall between them: the hole repeats those two only.
        let mut disparity = [0.0; 24];
        disparity[6..10].fill(5.0);
        disparity[17..22].fill(5.0);
        let warp = filled(&disparity);
        for t in 6..10 {
            let from = warp.source.data()[t];
            assert!(from == 10.0 || from == 11.0, "column {t} comes from {from}");
        }
    }

    #[test]
    fn reflection_stays_inside() {
        let seen: Vec<usize> = (0..8).map(|k| reflect(k, 3)).collect();
        assert_eq!(seen, [0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!(reflect(5, 1), 0);
    }
}
