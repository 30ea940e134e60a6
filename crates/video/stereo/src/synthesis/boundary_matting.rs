//! Edges of what is near, laid over what is behind them in the new view.
//!
//! A pixel at the edge of something near has a colour between those of both surfaces, and an edge seldom
//! lands on a border of pixels. The map carries such a pixel whole, with the old background in it, and
//! puts the edge on the next border. Here the two samples at each depth edge are taken apart instead: by
//! how much of each is foreground, which their colours say between those of the clean samples on either
//! side. The foreground's part is then composed over what the eye shows there, the background in its new
//! place or what fills a hole (C = a F + (1 - a) B, Porter and Duff, "Compositing digital images", 1984).
//!
//! A row knows only the edges that cross it, and only those where depth steps from one surface to another:
//! at blurred or guessed ones nothing changes.

use parallax_frame::{Chroma, Frame};
use rayon::prelude::*;

use crate::samples::{Samples, get, set};
use crate::simd::{BLOCK, over};
use crate::{Plane, Warp};

/// Disparity, in pixels, by which neighbouring samples of one surface differ at most.
const SURFACE_PX: f32 = 1.0;
/// Samples of the foreground that must follow each other. Of two, both may be mixed; what comes of them is
/// still nearer to the truth than whole pixels are.
const WITHIN: usize = 2;
/// Samples of the background that must follow each other.
const BEYOND: usize = 2;
/// Difference of colours, in code values of 8 bits, under which they do not say how much of each there is.
const VISIBLE: f32 = 8.0;
/// Samples that are carried: two clean ones, the last, the first beyond, and the background's clean one.
const CARRIED: usize = 5;
/// Which of them is the last of the foreground.
const LAST: usize = 2;

/// Where a surface ends before something farther, in one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Edge {
    /// The surface's last sample.
    last: usize,
    /// Whether it ends to the right.
    rightward: bool,
    /// Disparity of the surface there.
    disparity: f32,
}

/// The edges of every row of `disparity`.
pub(crate) fn edges(disparity: &Plane) -> Vec<Vec<Edge>> {
    let rows = disparity.data().par_chunks(disparity.width());
    rows.map(|row| {
        over(
            #[inline(always)]
            || in_row(row),
        )
    })
    .collect()
}

#[inline(always)]
fn in_row(row: &[f32]) -> Vec<Edge> {
    let mut out = Vec::new();
    for from in (0..row.len()).step_by(BLOCK) {
        let block = &row[from..row.len().min(from + BLOCK + 1)];
        let steps = |pair: &[f32]| (pair[1] - pair[0]).abs() >= SURFACE_PX;
        // All of them: this vectorises where stopping at the first does not.
        if block.windows(2).fold(false, |any, pair| any | steps(pair)) {
            let found = (from..from + block.len() - 1).filter_map(|x| at(row, x));
            out.extend(found);
        }
    }
    out
}

/// The edge between samples `x` and `x + 1`.
fn at(row: &[f32], x: usize) -> Option<Edge> {
    let step = row[x + 1] - row[x];
    if step.abs() < SURFACE_PX {
        return None;
    }
    let rightward = step < 0.0;
    let (before, after) = if rightward { (WITHIN, BEYOND) } else { (BEYOND, WITHIN) };
    let same = |side: &[f32]| side.windows(2).all(|pair| (pair[1] - pair[0]).abs() < SURFACE_PX);
    let left = row.get((x + 1).checked_sub(before)?..=x)?;
    let right = row.get(x + 1..=x + after)?;
    let last = if rightward { x } else { x + 1 };
    (same(left) && same(right)).then(|| Edge { last, rightward, disparity: row[last] })
}

/// Composes the `edges` of `frame` over `eye`, which the map of `warp` has made of it.
pub(crate) fn matte(warp: &Warp, edges: &[Vec<Edge>], frame: &Frame, eye: &mut Frame) {
    let format = frame.format();
    let (chroma, bytes) = (format.pixels.chroma(), format.pixels.sample_bytes());
    let max = f32::from(format.pixels.max_value());
    for index in 0..chroma.planes() {
        let width = format.plane(index).width;
        let layer = Layer::of(frame, index, chroma);
        let rows = eye.plane_mut(index).par_chunks_mut(width * bytes);
        rows.enumerate().for_each(|(y, out)| {
            let luma_row = y << layer.shifts.1;
            let map = (warp.source.row(luma_row), warp.near.row(luma_row));
            for edge in &edges[luma_row] {
                if let Some(landing) = layer.landing(edge, map, width) {
                    layer.compose(&landing, map, y, &mut Out { row: out, wide: bytes == 2, max });
                }
            }
        });
    }
}

/// One plane of the source.
struct Layer<'a> {
    /// Its own samples.
    plane: Samples<'a>,
    /// Those whose colours say what is foreground: its own, and of chroma the other's.
    colours: Vec<Samples<'a>>,
    shifts: (u32, u32),
}

/// Where an edge comes to lie, in columns of a plane.
struct Landing {
    /// The surface's last sample, and where it lands.
    last: isize,
    at: f32,
    /// 1 where the surface ends to the right, -1 where to the left.
    outward: isize,
    /// Disparity of the surface, at luma size.
    disparity: f32,
    /// The first column that is looked at and the first beyond the surface, counted outward.
    first: isize,
    beyond: isize,
}

/// A row that is written.
struct Out<'a> {
    row: &'a mut [u8],
    wide: bool,
    max: f32,
}

/// A row of the map: source columns, and disparities of what is seen.
type Map<'a> = (&'a [f32], &'a [f32]);

impl<'a> Layer<'a> {
    fn of(frame: &'a Frame, index: usize, chroma: Chroma) -> Self {
        let together: &[usize] = if index == 0 { &[0] } else { &[1, 2] };
        Self {
            plane: Samples::of(frame, index),
            colours: together.iter().map(|&i| Samples::of(frame, i)).collect(),
            shifts: if index == 0 { (0, 0) } else { chroma.shifts() },
        }
    }

    /// Disparity of what is seen at a column that is counted outward; `None` outside the picture.
    fn seen(&self, near: &[f32], column: isize, outward: isize) -> Option<f32> {
        near.get(usize::try_from(column * outward).ok()? << self.shifts.0).copied()
    }

    /// `None` where the edge is not seen, or nothing is behind it.
    fn landing(&self, edge: &Edge, (_, near): Map<'_>, width: usize) -> Option<Landing> {
        let sx = self.shifts.0;
        let outward = if edge.rightward { 1 } else { -1 };
        // Of a plane with fewer samples, the last that lies on the surface.
        let last = if edge.rightward { edge.last >> sx } else { (edge.last + (1 << sx) - 1) >> sx };
        let at = last as f32 - edge.disparity / (1 << sx) as f32;
        let first = (at * outward as f32).ceil() as isize - LAST as isize;
        let seen = |column| self.seen(near, column, outward);
        let within =
            |column: isize| seen(column).is_some_and(|d| (d - edge.disparity).abs() <= SURFACE_PX);
        let beyond = (first..first + CARRIED as isize).find(|&column| !within(column))?;
        let behind = seen(beyond)?;
        let open = behind == f32::NEG_INFINITY;
        let covered = beyond == first || behind > edge.disparity;
        let carried = last >= LAST && last + LAST < width;
        let last = last as isize;
        (carried && !open && !covered).then_some(Landing {
            last,
            at,
            outward,
            disparity: edge.disparity,
            first,
            beyond,
        })
    }

    fn compose(&self, edge: &Landing, map: Map<'_>, y: usize, out: &mut Out<'_>) {
        let column = |k: usize| (edge.last + (k as isize - LAST as isize) * edge.outward) as usize;
        let columns: [usize; CARRIED] = std::array::from_fn(column);
        let shares = self.shares(columns, y);
        let parts = self.parts(columns, shares, y);
        let behind = get(out.row, (edge.beyond * edge.outward) as usize, out.wide);
        // What the map made of clean samples alone stays.
        let clean = if shares[LAST] < 1.0 { 0.0 } else { 1.0 };
        for column in edge.first.. {
            let Some(seen) = self.seen(map.1, column, edge.outward) else { break };
            let beyond = column >= edge.beyond;
            if beyond && seen > edge.disparity - SURFACE_PX {
                break;
            }
            let t = (column * edge.outward) as usize;
            let k = LAST as f32 + self.position(edge, map.0, t, beyond);
            if k >= (CARRIED - 1) as f32 {
                break;
            }
            if k <= clean {
                continue;
            }
            let (i, f) = (k as usize, k.fract());
            let between = |v: &[f32; CARRIED]| v[i] + (v[i + 1] - v[i]) * f;
            let under = if beyond { get(out.row, t, out.wide) } else { behind };
            let value = between(&parts) + (1.0 - between(&shares)) * under;
            set(out.row, t, out.wide, value.clamp(0.0, out.max));
        }
    }

    /// Where column `t` is in the source, counted outward from the surface's last sample.
    fn position(&self, edge: &Landing, source: &[f32], t: usize, beyond: bool) -> f32 {
        let outward = edge.outward as f32;
        let from = source[t << self.shifts.0] / (1 << self.shifts.0) as f32;
        let on = (from - edge.last as f32) * outward;
        // The map ends at the last sample; beyond, the surface would go on as it is there.
        if beyond || on >= 0.0 { (t as f32 - edge.at) * outward } else { on }
    }

    /// What the foreground's share gives to each sample at `columns`.
    fn parts(&self, columns: [usize; CARRIED], shares: [f32; CARRIED], y: usize) -> [f32; CARRIED] {
        let [before, clean, last, _, background] = columns.map(|x| self.plane.at(x, y));
        // The background's sample may have another colour than what the last one is mixed with, so the
        // foreground in that is at most between what it shows and what the clean one does.
        let unmixed = (last - (1.0 - shares[LAST]) * background) / shares[LAST].max(f32::EPSILON);
        let foreground = unmixed.clamp(last.min(clean), last.max(clean));
        [before, clean, shares[LAST] * foreground, shares[LAST + 1] * clean, 0.0]
    }

    /// How much of each sample at `columns` is foreground, 0 to 1.
    fn shares(&self, columns: [usize; CARRIED], y: usize) -> [f32; CARRIED] {
        let [_, clean, last, first, background] = columns;
        let (mut whole, mut along) = (0.0, [0.0; 2]);
        for plane in &self.colours {
            let behind = plane.at(background, y);
            let differs = |x: usize| (plane.at(x, y) - behind) / plane.scale;
            whole += differs(clean) * differs(clean);
            along[0] += differs(last) * differs(clean);
            along[1] += differs(first) * differs(clean);
        }
        if whole < VISIBLE * VISIBLE {
            return [1.0, 1.0, 1.0, 0.0, 0.0];
        }
        let [of_last, of_first] = along.map(|along| (along / whole).clamp(0.0, 1.0));
        // Depth is that of pixels' centres, so more than half of the last one is on the surface. Where
        // samples are fewer, they have no depth of their own.
        if self.shifts.0 == 0 {
            return [1.0, 1.0, of_last.max(0.5), of_first.min(0.5), 0.0];
        }
        [1.0, 1.0, of_last, of_first.min(of_last), 0.0]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parallax_frame::{Colour, PixelFormat, VideoFormat};
    use proptest::prelude::*;

    use super::*;
    use crate::synthesis::edge_halo::trim;
    use crate::synthesis::occlusion_fill::stretch;

    const WIDTH: usize = 64;
    const CARD: std::ops::Range<usize> = 24..40;

    /// A grey frame of one row.
    fn grey(bits: u8, value: impl Fn(usize) -> f32) -> Frame {
        let format = Arc::new(VideoFormat {
            width: WIDTH as u32,
            height: 1,
            pixels: PixelFormat::new(Chroma::Gray, bits).unwrap(),
            colour: Colour::default(),
        });
        let mut frame = Frame::zeroed(format, 0);
        frame.set_plane_f32(0, &(0..WIDTH).map(value).collect::<Vec<_>>());
        frame
    }

    fn card(disparity: f32) -> Plane {
        Plane::from_fn(WIDTH, 1, |x, _| if CARD.contains(&x) { disparity } else { 0.0 })
    }

    fn eye(frame: &Frame, disparity: &Plane) -> Vec<f32> {
        eye_with(&edges(disparity), frame, disparity)
    }

    fn eye_with(edges: &[Vec<Edge>], frame: &Frame, disparity: &Plane) -> Vec<f32> {
        let mut warp = Warp::new(WIDTH, 1);
        warp.splat(disparity);
        trim(&mut warp, frame);
        stretch(&mut warp);
        let mut eye = warp.frame(frame);
        matte(&warp, edges, frame, &mut eye);
        eye.plane_f32(0)
    }

    #[test]
    fn a_mixed_sample_mixes_with_what_is_behind_it_in_the_new_view() {
        // Walls of 40 and 120 left of a card of 200, whose first sample is 60 % card over the second wall.
        let frame = grey(8, |x| match x {
            0..20 => 40.0,
            20..24 => 120.0,
            24 => 0.6 * 200.0 + 0.4 * 120.0,
            25..40 => 200.0,
            _ => 100.0,
        });
        let row = eye(&frame, &card(8.0));
        assert_eq!(row[15..18], [40.0, 136.0, 200.0]);
    }

    #[test]
    fn an_edge_between_pixels_covers_a_part_of_one() {
        let frame = grey(8, |x| if CARD.contains(&x) { 200.0 } else { 100.0 });
        let row = eye(&frame, &card(4.25));
        assert_eq!(row[18..21], [100.0, 125.0, 200.0]);
        assert_eq!(row[34..37], [200.0, 175.0, 100.0]);
    }

    #[test]
    fn only_steps_between_surfaces_are_edges() {
        let found = |row: &[f32]| over(|| in_row(row));
        let step: Vec<f32> = [[5.0; 8], [2.0; 8]].concat();
        assert_eq!(found(&step), [Edge { last: 7, rightward: true, disparity: 5.0 }]);
        let back: Vec<f32> = step.iter().rev().copied().collect();
        assert_eq!(found(&back), [Edge { last: 8, rightward: false, disparity: 5.0 }]);
        // A slope, a blurred step, a line of one sample.
        let slope: Vec<f32> = (0..16).map(|x| x as f32 * 0.9).collect();
        let blurred = [[5.0; 6].as_slice(), &[4.0, 3.0, 2.0], &[1.0; 6]].concat();
        let line = [[0.0; 6].as_slice(), &[4.0; 1], &[0.0; 6]].concat();
        for none in [slope, blurred, line, vec![3.0], Vec::new()] {
            assert_eq!(found(&none), [], "{none:?}");
        }
    }

    #[test]
    fn an_edge_beside_something_nearer_stays_as_it_is() {
        // A nearer card comes to lie right before the left edge of the other, whose first sample is mixed.
        let value = |x: usize| match x {
            24 => 150.0,
            25..40 => 200.0,
            44..56 => 20.0,
            _ => 100.0,
        };
        let disparity = Plane::from_fn(WIDTH, 1, |x, _| match x {
            24..40 => 2.0,
            44..56 => 34.0,
            _ => 0.0,
        });
        let row = eye(&grey(8, value), &disparity);
        assert_eq!(row[9..24], [&[100.0][..], &[20.0; 12], &[150.0, 200.0]].concat());
    }

    #[test]
    fn open_holes_stay_open() {
        let frame = grey(8, |x| if CARD.contains(&x) { 200.0 } else { 100.0 });
        let disparity = card(4.25);
        let mut warp = Warp::new(WIDTH, 1);
        warp.splat(&disparity);
        let before = warp.frame(&frame);
        let mut eye = before.clone();
        matte(&warp, &edges(&disparity), &frame, &mut eye);
        assert_eq!(eye.plane(0)[30..], before.plane(0)[30..]);
        assert_ne!(eye, before);
    }

    #[test]
    fn edges_of_wide_and_narrow_things_are_nearer_to_the_truth_than_whole_pixels() {
        for width in [2.0f32, 3.0, 4.5, 8.0] {
            let (mut with, mut without) = (0.0f32, 0.0f32);
            for (n, m) in (0..10).flat_map(|n| (0..17).map(move |m| (n as f32, m as f32))) {
                let (left, disparity) = (24.0 + n / 10.0, 4.0 + m / 17.0);
                let covered = |x: usize, moved: f32| {
                    let (from, to) = (left - moved, left - moved + width);
                    (to.min(x as f32 + 1.0) - from.max(x as f32)).clamp(0.0, 1.0)
                };
                let frame = grey(12, |x| (1000.0 + 2000.0 * covered(x, 0.0)).round());
                let centre = |x: usize| (left..left + width).contains(&(x as f32 + 0.5));
                let disparities =
                    Plane::from_fn(WIDTH, 1, |x, _| if centre(x) { disparity } else { 0.0 });
                let error = |edges: &[Vec<Edge>]| {
                    let row = eye_with(edges, &frame, &disparities).into_iter().enumerate();
                    let off = |(x, v): (usize, f32)| (v - 1000.0) / 2000.0 - covered(x, disparity);
                    row.map(|column| off(column).powi(2)).sum::<f32>()
                };
                with += error(&edges(&disparities));
                without += error(&[Vec::new()]);
            }
            assert!(with < 0.6 * without, "{width}: {with} instead of {without}");
        }
    }

    #[test]
    fn subsampled_chroma_has_edges_of_its_own() {
        let format = Arc::new(VideoFormat {
            width: WIDTH as u32,
            height: 2,
            pixels: PixelFormat::YUV420P,
            colour: Colour::default(),
        });
        let mut frame = Frame::zeroed(format, 0);
        // Chroma lies on even columns, spread over its neighbours: the card's first is half wall.
        let cb = |x: usize| match x {
            12 | 20 => 120.0,
            13..20 => 200.0,
            _ => 40.0,
        };
        frame.set_plane_f32(1, &(0..WIDTH / 2).map(cb).collect::<Vec<_>>());
        frame.set_plane_f32(2, &[128.0; WIDTH / 2]);
        for step in 0..8 {
            let shift = 5.0 + step as f32 / 4.0;
            let disparity =
                Plane::from_fn(WIDTH, 2, |x, _| if CARD.contains(&x) { shift } else { 0.0 });
            let mut warp = Warp::new(WIDTH, 2);
            warp.splat(&disparity);
            trim(&mut warp, &frame);
            stretch(&mut warp);
            let mut eye = warp.frame(&frame);
            matte(&warp, &edges(&disparity), &frame, &mut eye);
            let covered = eye.plane_f32(1).iter().map(|v| (v - 40.0) / 160.0).sum::<f32>();
            assert!((covered - 8.0).abs() < 0.25, "{covered} by {shift}");
            assert_eq!(eye.plane(2), frame.plane(2));
        }
    }

    proptest! {
        #[test]
        fn no_pattern_gives_colours_that_were_not_there(
            values in prop::collection::vec(0u16..256, WIDTH), disparity in 2.0f32..12.0,
        ) {
            let frame = grey(8, |x| f32::from(values[x]));
            let disparity = card(disparity);
            let carried = eye_with(&[Vec::new()], &frame, &disparity);
            for (t, made) in eye(&frame, &disparity).into_iter().enumerate() {
                // What is composed comes from where the column does, from beside it, or was there.
                let there = values[t..(t + 15).min(WIDTH)].iter().map(|&v| f32::from(v));
                let beside = carried[t.saturating_sub(3)..(t + 4).min(WIDTH)].iter().copied();
                let (least, most) = there
                    .chain(beside)
                    .fold((f32::MAX, f32::MIN), |(least, most), v| (least.min(v), most.max(v)));
                prop_assert!((least..=most).contains(&made), "{} at {}", made, t);
            }
        }

        #[test]
        fn a_card_keeps_its_area_to_a_tenth_of_a_pixel(
            left in 20.0f32..24.0, right in 36.0f32..40.0, disparity in 3.0f32..12.0,
            colours in (0u16..4096, 0u16..4096),
        ) {
            let (near, far) = (f32::from(colours.0), f32::from(colours.1));
            prop_assume!((far - near).abs() > 200.0);
            let covered = |x: usize| (right.min(x as f32 + 1.0) - left.max(x as f32)).clamp(0.0, 1.0);
            let frame = grey(12, |x| (far + covered(x) * (near - far)).round());
            let disparity =
                Plane::from_fn(WIDTH, 1, |x, _| if covered(x) >= 0.5 { disparity } else { 0.0 });
            let area: f32 = eye(&frame, &disparity).iter().map(|v| (v - far) / (near - far)).sum();
            // A sample with a tenth of foreground stays among the background too; code values are whole.
            let off = (area - (right - left)).abs();
            prop_assert!(off < 0.1 + 8.0 / (near - far).abs(), "{} of {}", area, right - left);
        }
    }
}
