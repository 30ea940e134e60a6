//! Holes as the background around them, running on along its own edges.
//!
//! Every sample of a hole is a mean of the background's border in the rows around it, each by how near it
//! is (inverse distances: Shepard, "A two-dimensional interpolation function", 1968). An edge that crosses
//! the border goes on behind it: distance is counted from where its direction leads, which is measured
//! beside each hole as the one in which the picture changes least (Bigun and Granlund, 1987). Only the
//! surface beside the hole counts: neither foreground nor another background glows into it.

use parallax_frame::Frame;
use rayon::prelude::*;

use crate::Plane;
use crate::samples::Samples;
use crate::synthesis::occlusion_fill::{Side, holes, patch};

/// Rows to either side that count.
const ROWS: usize = 10;
/// How fast the guess grows worse with distance from the background: rows of blur per column.
const BLUR: f32 = 0.4;
/// The window beside a hole in which directions are measured: columns, and rows to either side.
const WINDOW: (usize, usize) = (8, 5);
/// The steepest direction that is followed, in rows per column.
const STEEPEST: f32 = 1.5;
/// Squared slope of brightness, in code values of 8 bits per sample, that counts as flat.
const FLAT: f32 = 16.0;
/// Disparity, in pixels, by which samples of one surface differ at most.
const SURFACE_PX: f32 = 1.0;

/// Fills the holes of `frame`; `near`, at luma size, is -inf there and else the disparity.
pub(crate) fn run_on(frame: &mut Frame, near: &Plane) {
    let format = frame.format().clone();
    let luma = Samples::of(frame, 0);
    let slopes: Vec<Vec<Slope>> =
        (0..near.height()).into_par_iter().map(|y| slopes(near, &luma, y)).collect();
    for index in 0..format.pixels.chroma().planes() {
        let shape = format.plane(index);
        let shifts = if index == 0 { (0, 0) } else { format.pixels.chroma().shifts() };
        let samples = Samples::of(frame, index);
        let borders: Vec<Vec<Border>> = (0..shape.height)
            .into_par_iter()
            .map(|y| borders(near, &samples, &slopes[y << shifts.1], y, shifts))
            .collect();
        let patches: Vec<Vec<(usize, f32)>> = (0..shape.height)
            .into_par_iter()
            .map(|y| filled(&borders, &samples, near, y, shifts))
            .collect();
        patch(frame, index, patches);
    }
}

/// The direction of the background beside the hole that ends before column `end`, in rows per column to
/// the right.
#[derive(Debug, Clone, Copy)]
struct Slope {
    end: usize,
    slope: f32,
}

fn slopes(near: &Plane, luma: &Samples<'_>, y: usize) -> Vec<Slope> {
    let slope = |(hole, side): (std::ops::Range<usize>, Option<Side>)| {
        let edge = if side == Some(Side::Left) { hole.start - 1 } else { hole.end };
        Some(Slope { end: hole.end, slope: slope(near, luma, (edge, y), side?) })
    };
    holes(near.row(y)).filter_map(slope).collect()
}

/// In which direction the background at `edge` changes least, in rows per column to the right.
fn slope(near: &Plane, luma: &Samples<'_>, (edge, y): (usize, usize), side: Side) -> f32 {
    let (width, height) = (near.width(), near.height());
    let depth = near.at(edge, y);
    let same = |x: usize, y: usize| (near.at(x, y) - depth).abs() <= SURFACE_PX;
    let (mut mixed, mut down) = (0.0f32, 0.0f32);
    for row in y.saturating_sub(WINDOW.1).max(1)..(y + WINDOW.1 + 1).min(height - 1) {
        for k in 1..WINDOW.0 {
            let Some(x) = step(edge, k, side, width) else { break };
            if x == 0 || x + 1 == width {
                break;
            }
            let around = [(x - 1, row), (x + 1, row), (x, row - 1), (x, row + 1)];
            if around.iter().any(|&(x, y)| !same(x, y)) {
                continue;
            }
            let [left, right, above, below] = around.map(|(x, y)| luma.at(x, y));
            let (gx, gy) = (right - left, below - above);
            mixed += gx * gy;
            down += gy * gy;
        }
    }
    let flat = FLAT * luma.scale * luma.scale * (WINDOW.0 * (2 * WINDOW.1 + 1)) as f32;
    (-mixed / (down + flat)).clamp(-STEEPEST, STEEPEST)
}

/// The column `k` steps from `x` into the background, if there is one.
fn step(x: usize, k: usize, side: Side, width: usize) -> Option<usize> {
    match side {
        Side::Right => Some(x + k).filter(|&x| x < width),
        Side::Left => x.checked_sub(k),
    }
}

/// A hole in a row of a plane, and its background.
#[derive(Debug)]
struct Border {
    /// Columns of the hole.
    start: usize,
    end: usize,
    side: Side,
    /// Disparity of the background.
    depth: f32,
    /// Rows per column to the right, both of the plane.
    slope: f32,
    /// The background's first column, and its value there.
    edge: usize,
    value: f32,
}

fn borders(
    near: &Plane,
    samples: &Samples<'_>,
    slopes: &[Slope],
    y: usize,
    (sx, sy): (u32, u32),
) -> Vec<Border> {
    let row = near.row(y << sy);
    let below: Vec<f32> = row.iter().step_by(1 << sx).copied().collect();
    let border = |(hole, side): (std::ops::Range<usize>, Option<Side>)| {
        let side = side?;
        let (mut start, mut end) = (hole.start, hole.end);
        let edge = if side == Side::Left { start - 1 } else { end };
        let depth = below[edge];
        let same = |x: usize| (below[x] - depth).abs() <= SURFACE_PX;
        // A sample of less than luma's resolution is mixed with its neighbour.
        let beside = step(edge, 1, side, below.len()).is_some_and(same);
        let inside = start > 0 && end < below.len();
        if sx > 0 && beside && inside {
            (start, end) = if side == Side::Left { (start - 1, end) } else { (start, end + 1) };
        }
        let edge = if side == Side::Left { start - 1 } else { end };
        let found = slopes.get(slopes.partition_point(|slope| slope.end <= hole.start << sx));
        let slope = found.map_or(0.0, |s| s.slope) * (1 << sx) as f32 / (1 << sy) as f32;
        Some(Border { start, end, side, depth, slope, edge, value: samples.at(edge, y) })
    };
    holes(&below).filter_map(border).collect()
}

/// The samples of row `y` that lie in holes, and their values.
fn filled(
    borders: &[Vec<Border>],
    samples: &Samples<'_>,
    near: &Plane,
    y: usize,
    (sx, sy): (u32, u32),
) -> Vec<(usize, f32)> {
    let mut out = Vec::new();
    let rows = y.saturating_sub(ROWS)..(y + ROWS + 1).min(borders.len());
    for hole in &borders[y] {
        let same = |depth: f32| (depth - hole.depth).abs() <= SURFACE_PX;
        for x in hole.start..hole.end {
            let (mut sum, mut weights) = (0.0f32, 0.0f32);
            for row in rows.clone() {
                // The last that begins here or before.
                let begun = borders[row].partition_point(|b| b.start <= x);
                let there = borders[row][..begun].last().filter(|b| x < b.end);
                let (edge, value) = match there {
                    Some(b) if b.side == hole.side && same(b.depth) => (b.edge, b.value),
                    // The background itself, above or below the hole.
                    None if same(near.at(x << sx, row << sy)) => (x, samples.at(x, row)),
                    _ => continue,
                };
                let across = edge as f32 - x as f32;
                let down = row as f32 - y as f32 - hole.slope * across;
                let square = down * down + BLUR * BLUR * across * across + 0.25;
                let weight = (square * square).recip();
                sum += weight * value;
                weights += weight;
            }
            if weights > 0.0 {
                out.push((x, sum / weights));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parallax_frame::{Chroma, Colour, PixelFormat, VideoFormat};

    use super::*;

    const NONE: f32 = f32::NEG_INFINITY;

    fn frame(pixels: PixelFormat, luma: impl Fn(usize, usize) -> f32) -> Frame {
        let format = VideoFormat { width: 48, height: 40, pixels, colour: Colour::default() };
        let mut frame = Frame::zeroed(Arc::new(format), 0);
        let values: Vec<f32> = (0..48 * 40).map(|i| luma(i % 48, i / 48)).collect();
        frame.set_plane_f32(0, &values);
        frame
    }

    /// A card to column 16, a hole to column 22, and a wall.
    fn near(wall: impl Fn(usize) -> f32) -> Plane {
        Plane::from_fn(48, 40, |x, y| match x {
            0..16 => 9.0,
            16..22 => NONE,
            _ => wall(y),
        })
    }

    fn filled(frame: &Frame, near: &Plane) -> Plane {
        let mut filled = frame.clone();
        run_on(&mut filled, near);
        let luma = Plane::new(48, 40, filled.plane_f32(0));
        for (x, y) in (0..48 * 40).map(|i| (i % 48, i / 48)) {
            let open = (16..22).contains(&x);
            let kept = luma.at(x, y) == f32::from(frame.plane(0)[y * 48 + x]);
            assert!(open || frame.format().pixels.bits() > 8 || kept, "{x},{y} is no hole");
        }
        luma
    }

    #[test]
    fn an_edge_runs_on_in_its_direction() {
        // Bright above a line that falls by half a row per column.
        let bright = |x: usize, y: usize| (y as f32) < 8.0 + 0.5 * x as f32;
        let wall = |x: usize, y: usize| if bright(x, y) { 180.0 } else { 60.0 };
        let source = frame(PixelFormat::YUV420P, |x, y| if x < 22 { 0.0 } else { wall(x, y) });
        let out = filled(&source, &near(|_| 0.0));
        // In the middle of the hole the line is at row 17.5; drawn straight it would be at row 19.
        let border = (0..40).find(|&y| out.at(19, y) < 120.0).unwrap();
        assert!((17..=18).contains(&border), "{border}");
        assert!((0..40).all(|y| (60.0..=180.0).contains(&out.at(17, y))));
    }

    #[test]
    fn another_background_does_not_glow_into_a_hole() {
        // A box before the wall down to row 19, both beside the same hole.
        let value = |x: usize, y: usize| match x {
            0..22 => 0.0,
            _ if y < 20 => 200.0,
            _ => 50.0,
        };
        let source = frame(PixelFormat::YUV420P, value);
        let out = filled(&source, &near(|y| if y < 20 { 4.0 } else { 0.0 }));
        for y in 0..40 {
            let want = if y < 20 { 200.0 } else { 50.0 };
            assert!((16..22).all(|x| out.at(x, y) == want), "row {y}");
        }
    }

    #[test]
    fn every_plane_of_every_format_is_filled() {
        for (chroma, bits) in [(Chroma::Gray, 8), (Chroma::Yuv422, 10), (Chroma::Yuv420, 12)] {
            let pixels = PixelFormat::new(chroma, bits).unwrap();
            let mut source = frame(pixels, |x, _| if x < 22 { 16.0 } else { 160.0 });
            for index in 1..chroma.planes() {
                let shape = source.format().plane(index);
                let wall = |i: usize| i % shape.width >= 11;
                let values =
                    (0..shape.width * shape.height).map(|i| if wall(i) { 90.0 } else { 7.0 });
                source.set_plane_f32(index, &values.collect::<Vec<_>>());
            }
            run_on(&mut source, &near(|_| 0.0));
            for (index, want) in [160.0, 90.0, 90.0].into_iter().enumerate().take(chroma.planes()) {
                let shape = source.format().plane(index);
                let values = source.plane_f32(index);
                let first = 16 * shape.width / 48;
                let open =
                    values.chunks(shape.width).flat_map(|row| &row[first..22 * shape.width / 48]);
                assert!(open.clone().all(|&v| v == want), "{chroma:?} {bits} {index}");
                assert!(values.chunks(shape.width).all(|row| row[first - 1] < want), "{index}");
            }
        }
    }

    #[test]
    fn without_any_background_nothing_changes() {
        let source = frame(PixelFormat::YUV420P, |x, _| x as f32);
        let mut out = source.clone();
        run_on(&mut out, &Plane::filled(48, 40, NONE));
        assert_eq!(out, source);
    }
}
