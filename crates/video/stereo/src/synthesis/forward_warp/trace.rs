//! One row of the map, traced from its disparity.
//!
//! Where neighbouring samples land is computed for the whole row first. A segment from `a` to `b` then
//! claims the whole columns in `[a, b)`, so segments of a surface share none and leave none out; the end
//! of a surface adds its last one. On most of a picture segments claim one column each, in order, and
//! blocks of them are treated at once.
//!
//! Of two that claim a column the later one, which comes from further right, wins. It is the nearer one:
//! disparity is the way from where a sample comes from to where it lands.

use crate::simd::{BLOCK, block, counts_up, over};

/// Segments at least this long (in right-eye pixels per source pixel) are depth edges, not
/// surfaces. Two is where bilinear splatting starts to leave samples without any weight.
const TEAR: f32 = 2.0;

/// `near` of a right-eye sample that no source sample claims.
const UNCLAIMED: f32 = f32::NEG_INFINITY;

/// How two neighbouring samples hang together in the right eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Link {
    /// The second lands left of the first: one hides the other.
    Folded,
    /// One surface.
    Joined,
    /// A depth edge that uncovers something.
    Torn,
}

/// The rows of the map that are written.
pub(super) struct Row<'a> {
    /// Source column, 0 to `width - 1`.
    pub(super) source: &'a mut [f32],
    /// Disparity of what is seen; -inf where nothing is.
    pub(super) near: &'a mut [f32],
    /// The mask; holds coverage until the end.
    pub(super) mask: &'a mut [f32],
}

/// Scratch of one width.
pub(super) struct Tracer {
    /// Disparity, limited.
    disparity: Vec<f32>,
    /// Where a sample lands.
    at: Vec<f32>,
    /// The first whole column not left of that, 0 to `width`.
    first: Vec<f32>,
    /// From a sample to the next.
    links: Vec<Link>,
}

impl Tracer {
    pub(super) fn new(width: usize) -> Self {
        Self {
            disparity: vec![0.0; width],
            at: vec![0.0; width],
            first: vec![0.0; width],
            links: vec![Link::Folded; width],
        }
    }

    /// Traces a row of the width of this.
    pub(super) fn trace(&mut self, row: &mut Row<'_>, disparity: &[f32]) {
        over(
            #[inline(always)]
            || {
                self.land(disparity);
                self.claim(row);
                for coverage in row.mask.iter_mut() {
                    *coverage = 1.0 - coverage.min(1.0);
                }
            },
        );
    }

    /// Where all samples land.
    #[inline(always)]
    fn land(&mut self, disparity: &[f32]) {
        let width = disparity.len();
        let limit = width as f32;
        let (ds, ats, firsts) =
            (&mut self.disparity[..width], &mut self.at[..width], &mut self.first[..width]);
        for x in 0..width {
            let d = disparity[x];
            let d = if d.is_nan() { 0.0 } else { d.clamp(-limit, limit) };
            // Columns fit i32, which converts faster than usize.
            let at = x as i32 as f32 - d;
            (ds[x], ats[x], firsts[x]) = (d, at, at.clamp(0.0, limit).ceil());
        }
        for (link, at) in self.links.iter_mut().zip(ats.windows(2)) {
            let stretch = at[1] - at[0];
            *link = if stretch >= TEAR {
                Link::Torn
            } else if stretch > 0.0 {
                Link::Joined
            } else {
                Link::Folded
            };
        }
    }

    /// Lets every surface claim what it covers, from left to right.
    #[inline(always)]
    fn claim(&self, row: &mut Row<'_>) {
        row.near.fill(UNCLAIMED);
        row.mask.fill(0.0);
        let segments = self.at.len() - 1;
        let mut before = Link::Folded;
        let mut x = 0;
        while x < segments {
            if x + BLOCK <= segments
                && self.links[x..x + BLOCK].iter().fold(true, |all, l| all & (*l == Link::Joined))
                && self.block(row, x, before)
            {
                x += BLOCK;
                before = Link::Joined;
                continue;
            }
            let end = segments.min(x + BLOCK);
            while x < end {
                let link = self.links[x];
                self.one(row, x, before, link);
                before = link;
                x += 1;
            }
        }
        self.ends(row, segments, before, Link::Folded);
    }

    /// Claims for the segments from `x` on, when they claim one column each, in order.
    #[inline(always)]
    fn block(&self, row: &mut Row<'_>, x: usize, before: Link) -> bool {
        let first = block(&self.first, x);
        if !counts_up(&first) || self.first[x + BLOCK] != first[0] + BLOCK as f32 {
            return false;
        }
        if before != Link::Joined {
            self.ends(row, x, before, Link::Joined);
        }
        let (from, to) = (block(&self.at, x), block(&self.at, x + 1));
        let (d_from, d_to) = (block(&self.disparity, x), block(&self.disparity, x + 1));
        let mut columns = [0.0; BLOCK];
        let mut nearest = [0.0; BLOCK];
        for k in 0..BLOCK {
            (columns[k], nearest[k]) =
                between(x + k, first[k], (from[k], to[k]), (d_from[k], d_to[k]));
        }
        let begin = first[0] as i32 as usize;
        let claimed = begin..begin + BLOCK;
        row.source[claimed.clone()].copy_from_slice(&columns);
        row.near[claimed.clone()].copy_from_slice(&nearest);
        row.mask[claimed].fill(1.0);
        true
    }

    /// Claims for sample `x` and the segment that begins there.
    #[inline(always)]
    fn one(&self, row: &mut Row<'_>, x: usize, before: Link, link: Link) {
        let (joined_before, joined) = (before == Link::Joined, link == Link::Joined);
        // A sample torn on both sides lies on a blurred depth edge, belongs to neither surface
        // and would float in the hole.
        if !(joined_before && joined || before == Link::Torn && link == Link::Torn) {
            self.ends(row, x, before, link);
        }
        if !joined {
            return;
        }
        let [at, first, d] = [&self.at, &self.first, &self.disparity].map(|v| (v[x], v[x + 1]));
        for t in first.0 as i32 as usize..first.1 as i32 as usize {
            let (column, disparity) = between(x, t as i32 as f32, at, d);
            (row.source[t], row.near[t], row.mask[t]) = (column, disparity, 1.0);
        }
    }

    /// Lets sample `x`, where it ends a surface, cover bilinearly the fraction of a pixel beyond; at half
    /// a pixel it claims it, so that a surface keeps its width wherever it lands.
    fn ends(&self, row: &mut Row<'_>, x: usize, before: Link, after: Link) {
        let (at, d) = (self.at[x], self.disparity[x]);
        let width = row.near.len() as i32 as f32;
        if at <= -1.0 || at >= width {
            return;
        }
        let base = at.floor();
        let fraction = at - base;
        if fraction == 0.0 {
            // A segment that begins here claims it.
            if after != Link::Joined {
                cover(row, base, 1.0, true, d, x);
            }
            return;
        }
        if before != Link::Joined {
            cover(row, base, 1.0 - fraction, fraction < 0.5, d, x);
        }
        if after != Link::Joined {
            cover(row, base + 1.0, fraction, fraction >= 0.5, d, x);
        }
    }
}

/// Source column and disparity of column `t` on the segment that begins at sample `x`.
#[inline(always)]
fn between(x: usize, t: f32, at: (f32, f32), d: (f32, f32)) -> (f32, f32) {
    let along = ((t - at.0) / (at.1 - at.0)).min(1.0);
    (x as i32 as f32 + along, d.0 + (d.1 - d.0) * along)
}

fn cover(row: &mut Row<'_>, at: f32, coverage: f32, claims: bool, d: f32, x: usize) {
    if at < 0.0 || at >= row.near.len() as f32 {
        return;
    }
    let t = at as usize;
    row.mask[t] += coverage;
    if claims {
        row.near[t] = d;
    }
    if claims || row.near[t] == UNCLAIMED {
        row.source[t] = x as f32;
    }
}
