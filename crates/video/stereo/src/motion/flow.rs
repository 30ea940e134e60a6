//! Motion between two working pictures, on a grid of overlapping blocks.
//!
//! Coarse-to-fine block matching with a parabola for the fraction: crude beside a variational flow,
//! but exact enough to tell what moves from what does not, and a millisecond or two per frame.

use rayon::prelude::*;

use crate::Plane;

/// Side of a matched block.
const BLOCK: usize = 8;
/// Distance between blocks.
pub(crate) const STRIDE: usize = 4;
/// Samples repeated around each level, and so the farthest a block may reach outside.
const MARGIN: usize = 16;
const LEVELS: usize = 3;
/// Radius of the full search on the coarsest level.
const COARSE_RADIUS: i32 = 4;
/// Cost per sample of departure from the prediction, in luma per block sample.
const RIGIDITY: f32 = 0.002;

/// A picture and its halvings, each with repeated borders.
#[derive(Debug, Clone)]
pub(crate) struct Pyramid {
    levels: Vec<Padded>,
}

#[derive(Debug, Clone)]
struct Padded {
    width: usize,
    height: usize,
    stride: usize,
    data: Vec<f32>,
}

impl Padded {
    fn of(plane: &Plane) -> Self {
        let (width, height) = (plane.width(), plane.height());
        let stride = width + 2 * MARGIN + BLOCK;
        let rows = height + 2 * MARGIN + BLOCK;
        let mut data = Vec::with_capacity(stride * rows);
        for y in 0..rows {
            let row = plane.row(y.saturating_sub(MARGIN).min(height - 1));
            data.extend(std::iter::repeat_n(row[0], MARGIN));
            data.extend_from_slice(row);
            data.extend(std::iter::repeat_n(row[width - 1], MARGIN + BLOCK));
        }
        Self { width, height, stride, data }
    }

    /// Eight samples from column `x` of row `y`, which reach at most `MARGIN` outside.
    #[inline]
    fn eight(&self, x: i32, y: i32) -> &[f32] {
        let start = (y + MARGIN as i32) as usize * self.stride + (x + MARGIN as i32) as usize;
        &self.data[start..start + BLOCK]
    }
}

impl Pyramid {
    /// Columns and rows of the working picture.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.levels[0].width, self.levels[0].height)
    }

    pub(crate) fn of(plane: &Plane) -> Self {
        let mut levels = vec![Padded::of(plane)];
        let mut current = halve(plane);
        for _ in 1..LEVELS {
            levels.push(Padded::of(&current));
            current = halve(&current);
        }
        Self { levels }
    }
}

fn halve(plane: &Plane) -> Plane {
    let (w, h) = (plane.width(), plane.height());
    Plane::from_fn(w.div_ceil(2), h.div_ceil(2), |x, y| {
        let (x0, y0) = (2 * x, 2 * y);
        let (x1, y1) = ((x0 + 1).min(w - 1), (y0 + 1).min(h - 1));
        0.25 * (plane.at(x0, y0) + plane.at(x1, y0) + plane.at(x0, y1) + plane.at(x1, y1))
    })
}

/// Where one block of the current picture was in the previous one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Motion {
    /// Offset from here to there, in working samples.
    pub(crate) dx: f32,
    pub(crate) dy: f32,
    /// Mean absolute luma difference of the match.
    pub(crate) error: f32,
    /// Mean absolute luma gradient of the block: without any, the offset means nothing.
    pub(crate) texture: f32,
    /// Luma gradient along the block's weakest direction: without any, the offset is known across
    /// an edge only.
    pub(crate) corner: f32,
}

/// Motion of every block, row-major; block `(i, j)` is centred on sample `(4i + 2, 4j + 2)`.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    pub(crate) blocks: Vec<Motion>,
}

impl Flow {
    pub(crate) fn between(current: &Pyramid, previous: &Pyramid) -> Self {
        let coarsest = LEVELS - 1;
        let dominant = dominant(&current.levels[coarsest], &previous.levels[coarsest]);
        let mut flow: Option<Flow> = None;
        for level in (0..LEVELS).rev() {
            let (a, b) = (&current.levels[level], &previous.levels[level]);
            let (columns, rows) = (a.width.div_ceil(STRIDE), a.height.div_ceil(STRIDE));
            let coarse = flow.take();
            let search = |index: usize| match &coarse {
                None => full_search(a, b, index % columns, index / columns, dominant),
                Some(coarse) => refine(a, b, index % columns, index / columns, coarse, level == 0),
            };
            let blocks = (0..columns * rows).into_par_iter().with_min_len(64).map(search).collect();
            flow = Some(Flow { columns, rows, blocks }.median());
        }
        // There is at least one level.
        flow.unwrap_or(Flow { columns: 0, rows: 0, blocks: Vec::new() })
    }

    /// Mean absolute luma difference that the motion leaves.
    pub(crate) fn mean_error(&self) -> f32 {
        self.blocks.iter().map(|b| b.error).sum::<f32>() / self.blocks.len().max(1) as f32
    }

    pub(crate) fn at(&self, column: usize, row: usize) -> Motion {
        self.blocks[row.min(self.rows - 1) * self.columns + column.min(self.columns - 1)]
    }

    /// Mean absolute difference of block `index` when it is taken from the fractional offset
    /// `(dx, dy)` instead; infinite beyond the margin.
    pub(crate) fn error_at(
        &self,
        current: &Pyramid,
        previous: &Pyramid,
        index: usize,
        (dx, dy): (f32, f32),
    ) -> f32 {
        let (a, b) = (&current.levels[0], &previous.levels[0]);
        let (x, y) = corner(index % self.columns, index / self.columns);
        let (left, top) = (dx.floor(), dy.floor());
        let (fx, fy) = (dx - left, dy - top);
        let (bx, by) = (x + left as i32, y + top as i32);
        let margin = MARGIN as i32;
        let inside = |p: i32, size: usize| p >= -margin && p < size as i32 + margin - 1;
        if !inside(bx, b.width) || !inside(by, b.height) {
            return f32::INFINITY;
        }
        let mut sum = 0.0;
        for k in 0..BLOCK as i32 {
            let here = a.eight(x, y + k);
            let (p, q) = (b.eight(bx, by + k), b.eight(bx + 1, by + k));
            let (r, s) = (b.eight(bx, by + k + 1), b.eight(bx + 1, by + k + 1));
            for i in 0..BLOCK {
                let upper = p[i] + (q[i] - p[i]) * fx;
                let lower = r[i] + (s[i] - r[i]) * fx;
                sum += (here[i] - upper - (lower - upper) * fy).abs();
            }
        }
        sum / (BLOCK * BLOCK) as f32
    }

    /// Replaces offsets that stand alone among their neighbours.
    fn median(mut self) -> Self {
        let source = self.blocks.clone();
        let mut xs = Vec::with_capacity(9);
        let mut ys = Vec::with_capacity(9);
        for row in 0..self.rows {
            for column in 0..self.columns {
                xs.clear();
                ys.clear();
                for r in row.saturating_sub(1)..(row + 2).min(self.rows) {
                    for c in column.saturating_sub(1)..(column + 2).min(self.columns) {
                        xs.push(source[r * self.columns + c].dx);
                        ys.push(source[r * self.columns + c].dy);
                    }
                }
                xs.sort_unstable_by(f32::total_cmp);
                ys.sort_unstable_by(f32::total_cmp);
                let block = &mut self.blocks[row * self.columns + column];
                block.dx = xs[xs.len() / 2];
                block.dy = ys[ys.len() / 2];
            }
        }
        self
    }
}

fn corner(column: usize, row: usize) -> (i32, i32) {
    let inset = (BLOCK - STRIDE) as i32 / 2;
    ((column * STRIDE) as i32 - inset, (row * STRIDE) as i32 - inset)
}

/// Mean absolute difference of a block and its candidate; infinite beyond the margin.
fn difference(a: &Padded, b: &Padded, (x, y): (i32, i32), (dx, dy): (i32, i32)) -> f32 {
    let margin = MARGIN as i32;
    let inside = |p: i32, size: usize| p >= -margin && p < size as i32 + margin;
    if !inside(x + dx, b.width) || !inside(y + dy, b.height) {
        return f32::INFINITY;
    }
    let mut sums = [0.0f32; BLOCK];
    for k in 0..BLOCK as i32 {
        let (p, q) = (a.eight(x, y + k), b.eight(x + dx, y + dy + k));
        for ((sum, p), q) in sums.iter_mut().zip(p).zip(q) {
            *sum += (p - q).abs();
        }
    }
    sums.iter().sum::<f32>() / (BLOCK * BLOCK) as f32
}

/// Mean absolute gradient, and the gradient left in its weakest direction (root of the structure
/// tensor's smaller eigenvalue).
fn texture(a: &Padded, (x, y): (i32, i32)) -> (f32, f32) {
    let (mut sum, mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0, 0.0);
    for k in 0..BLOCK as i32 - 1 {
        let (p, q) = (a.eight(x, y + k), a.eight(x, y + k + 1));
        for i in 0..BLOCK - 1 {
            let (gx, gy) = (p[i + 1] - p[i], q[i] - p[i]);
            sum += gx.abs() + gy.abs();
            xx += gx * gx;
            xy += gx * gy;
            yy += gy * gy;
        }
    }
    let count = ((BLOCK - 1) * (BLOCK - 1)) as f32;
    let weakest = 0.5 * (xx + yy - ((xx - yy) * (xx - yy) + 4.0 * xy * xy).sqrt());
    (sum / (2.0 * count), (weakest.max(0.0) / count).sqrt())
}

/// The offset that serves the whole picture best. Single blocks depart from it only for a reason,
/// so that an edge without texture, which fits anywhere along itself, moves with its surroundings.
fn dominant(a: &Padded, b: &Padded) -> (i32, i32) {
    let (columns, rows) = (a.width.div_ceil(STRIDE), a.height.div_ceil(STRIDE));
    let side = 2 * COARSE_RADIUS + 1;
    let total = |k: i32| {
        let offset = (k % side - COARSE_RADIUS, k / side - COARSE_RADIUS);
        let mut sum = 0.0;
        for row in (0..rows).step_by(2) {
            for column in (row / 2 % 2..columns).step_by(2) {
                sum += difference(a, b, corner(column, row), offset);
            }
        }
        // Still, unless something speaks for motion.
        let still = if offset == (0, 0) { 0.98 } else { 1.0 };
        (sum * still, offset)
    };
    let totals: Vec<_> = (0..side * side).into_par_iter().map(total).collect();
    let best = totals.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or((0, 0), |(_, offset)| offset)
}

fn full_search(a: &Padded, b: &Padded, column: usize, row: usize, dominant: (i32, i32)) -> Motion {
    let at = corner(column, row);
    let mut best = (f32::INFINITY, dominant);
    for dy in -COARSE_RADIUS..=COARSE_RADIUS {
        for dx in -COARSE_RADIUS..=COARSE_RADIUS {
            let (ex, ey) = (dx - dominant.0, dy - dominant.1);
            let cost =
                difference(a, b, at, (dx, dy)) + RIGIDITY * ((ex * ex + ey * ey) as f32).sqrt();
            if cost < best.0 {
                best = (cost, (dx, dy));
            }
        }
    }
    let (dx, dy) = best.1;
    Motion { dx: dx as f32, dy: dy as f32, error: best.0, ..Motion::default() }
}

fn refine(a: &Padded, b: &Padded, column: usize, row: usize, coarse: &Flow, last: bool) -> Motion {
    let at = corner(column, row);
    let parent = coarse.at(column / 2, row / 2);
    let near = |v: f32| (2.0 * v).round() as i32;
    let predicted = (near(parent.dx), near(parent.dy));
    let mut candidates = vec![predicted, (0, 0)];
    for (c, r) in [(-1i32, 0i32), (1, 0), (0, -1), (0, 1)] {
        let column = (column as i32 / 2 + c).max(0) as usize;
        let row = (row as i32 / 2 + r).max(0) as usize;
        let side = coarse.at(column, row);
        candidates.push((near(side.dx), near(side.dy)));
    }
    let cost = |offset: (i32, i32)| {
        let (ex, ey) = (offset.0 - predicted.0, offset.1 - predicted.1);
        difference(a, b, at, offset) + RIGIDITY * ((ex * ex + ey * ey) as f32).sqrt()
    };
    let mut best = (f32::INFINITY, predicted);
    for offset in candidates {
        let cost = cost(offset);
        if cost < best.0 {
            best = (cost, offset);
        }
    }
    let centre = best.1;
    for dy in -1..=1 {
        for dx in -1..=1 {
            let offset = (centre.0 + dx, centre.1 + dy);
            let cost = cost(offset);
            if cost < best.0 {
                best = (cost, offset);
            }
        }
    }
    let (dx, dy) = best.1;
    if !last {
        return Motion { dx: dx as f32, dy: dy as f32, ..Motion::default() };
    }
    let error = difference(a, b, at, (dx, dy));
    let (texture, corner) = texture(a, at);
    let d = |ox: i32, oy: i32| difference(a, b, at, (dx + ox, dy + oy));
    Motion {
        dx: dx as f32 + vertex(d(-1, 0), error, d(1, 0)),
        dy: dy as f32 + vertex(d(0, -1), error, d(0, 1)),
        error,
        texture,
        corner,
    }
}

/// Where the V through three equidistant absolute differences has its point, -0.5 to 0.5.
fn vertex(before: f32, here: f32, after: f32) -> f32 {
    let rise = before.max(after) - here;
    if !rise.is_finite() || rise <= 1e-6 {
        return 0.0;
    }
    ((before - after) / (2.0 * rise)).clamp(-0.5, 0.5)
}
