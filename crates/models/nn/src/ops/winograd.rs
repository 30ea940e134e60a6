//! 3x3 convolution by Winograd's minimal filtering (Lavin and Gray, arXiv:1509.09308), channels last.
//!
//! Sixteen outputs at a time, F(4x4, 3x3): a quarter of the products. The points are 0, infinity, and plus and
//! minus the roots of a half and of two, whose transforms lose no more than a direct sum does; those of
//! whole numbers that are commonly taken lose six times as much. The products over channels are 36, one
//! for each place of the transformed tiles.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::packed::{Packed, Product, Rows};

/// Outputs and inputs along a side of a tile, and the places of a transformed one.
const OUT: usize = 4;
const IN: usize = 6;
const PLACES: usize = IN * IN;
/// Tiles that are transformed together: with the filters of 64 channels they fit in a second-level cache.
const TILES: usize = 24;
/// Floats between the tiles of one place and the next beyond their own, or all places would want the same
/// lines of the nearest cache.
const APART: usize = 16;

/// The points' absolute values.
const A: f32 = std::f32::consts::FRAC_1_SQRT_2;
const B: f32 = std::f32::consts::SQRT_2;

/// Transformed filters.
#[derive(Debug)]
pub(super) struct Filters {
    places: Vec<Packed>,
    inputs: usize,
    outputs: usize,
}

impl Filters {
    /// Of weights (out, in, 3, 3).
    pub(super) fn new(weights: &[f32], (outputs, inputs): (usize, usize)) -> Self {
        let rows = filter_rows();
        let mut places = vec![vec![0f32; outputs * inputs]; PLACES];
        for (at, kernel) in weights.chunks_exact(9).enumerate() {
            for (place, values) in places.iter_mut().enumerate() {
                let (down, across) = (rows[place / IN], rows[place % IN]);
                let sum = |y: usize| {
                    (0..3).map(|x| across[x] * f64::from(kernel[3 * y + x])).sum::<f64>()
                };
                values[at] = (0..3).map(|y| down[y] * sum(y)).sum::<f64>() as f32;
            }
        }
        let pack = |values: Vec<f32>| {
            Packed::of_outputs(Rows { data: &values, stride: inputs }, (outputs, inputs))
        };
        Self { places: places.into_iter().map(pack).collect(), inputs, outputs }
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }
}

/// The transform of filters: powers of each point over the product of its differences from the others.
fn filter_rows() -> [[f64; 3]; IN] {
    let (a, b) = (0.5f64.sqrt(), 2f64.sqrt());
    let points = [0.0, a, -a, b, -b];
    let mut rows = [[0.0, 0.0, 1.0]; IN];
    for (i, row) in rows.iter_mut().take(points.len()).enumerate() {
        let others = points.iter().enumerate().filter(|(j, _)| *j != i);
        let scale: f64 = others.map(|(_, other)| points[i] - other).product();
        *row = [1.0, points[i], points[i] * points[i]].map(|power| power / scale);
    }
    rows
}

/// What surrounds a convolution.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) bias: &'a [f32],
    /// Whether the input's negative parts count as nothing, and the output's.
    pub(super) relu: [bool; 2],
    /// Maps of the output's shape that are added to it at last.
    pub(super) added: [Option<&'a [f32]>; 2],
    /// What makes one number of all channels of a pixel, in place of them: weights, and what is added.
    pub(super) reduce: Option<(&'a [f32], f32)>,
}

/// Images (N, H, W, C).
#[derive(Clone, Copy)]
pub(super) struct Images<'a> {
    pub(super) data: &'a [f32],
    pub(super) height: usize,
    pub(super) width: usize,
}

/// To (N, H, W, C'), or (N, H, W, 1).
pub(super) fn convolved(filters: &Filters, x: Images<'_>, around: Around<'_>) -> Vec<f32> {
    let Images { data, height, width } = x;
    let image = height * width;
    let channels = if around.reduce.is_some() { 1 } else { filters.outputs };
    let images = data.len() / (image * filters.inputs);
    let mut y = vec![0f32; images * image * channels];
    let mut work = Vec::new();
    for (i, y) in y.chunks_mut(image * channels).enumerate() {
        work.extend(y.chunks_mut(OUT * width * channels).enumerate().map(|(row, y)| (i, row, y)));
    }
    work.into_par_iter().for_each_init(Scratch::default, |scratch, (i, row, y)| {
        scratch.reserve(filters);
        let at = i * image;
        let data = &data[at * filters.inputs..][..image * filters.inputs];
        let x = Images { data, ..x };
        let start = (at + row * OUT * width) * channels;
        Arch::new().dispatch(TileRow { filters, x, around, row, start, y, scratch });
    });
    y
}

/// One thread's transformed tiles, before and after the products.
#[derive(Default)]
struct Scratch {
    tiles: Vec<f32>,
    products: Vec<f32>,
}

impl Scratch {
    fn reserve(&mut self, filters: &Filters) {
        self.tiles.resize(PLACES * place(filters.inputs), 0.0);
        self.products.resize(PLACES * place(filters.outputs), 0.0);
    }
}

/// Floats from one place's tiles to the next one's.
fn place(channels: usize) -> usize {
    TILES * channels + APART
}

/// A row of tiles.
struct TileRow<'a> {
    filters: &'a Filters,
    x: Images<'a>,
    around: Around<'a>,
    row: usize,
    /// Where `y` begins among all results.
    start: usize,
    y: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl WithSimd for TileRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let across = self.x.width.div_ceil(OUT);
        for first in (0..across).step_by(TILES) {
            let count = TILES.min(across - first);
            self.transform(simd, first, count);
            let Scratch { tiles, products } = &mut *self.scratch;
            let Filters { inputs, outputs, ref places } = *self.filters;
            let tiles = tiles.chunks_exact(place(inputs));
            let products = products.chunks_exact_mut(place(outputs));
            for ((tiles, out), packed) in tiles.zip(products).zip(places) {
                let left = Rows { data: tiles, stride: inputs };
                Product { left, rows: count, packed, out, stride: outputs }
                    .with(simd, |_, _, _| {});
            }
            match self.around.reduce {
                Some((weights, shift)) => self.reduced(simd, (first, count), weights, shift),
                None => self.gather(simd, first, count),
            }
        }
    }
}

impl TileRow<'_> {
    /// The tiles `first ..`, transformed.
    #[allow(clippy::needless_range_loop)] // Columns.
    #[inline(always)]
    fn transform<S: Simd>(&mut self, simd: S, first: usize, count: usize) {
        let channels = self.filters.inputs;
        let relu = self.around.relu[0];
        let (zero, apart) = (simd.splat_f32s(0.0), place(channels));
        for tile in 0..count {
            for c in (0..channels).step_by(S::F32_LANES) {
                let mut d = [[zero; IN]; IN];
                for (i, d) in d.iter_mut().enumerate() {
                    let y = (self.row * OUT + i).wrapping_sub(1);
                    if y >= self.x.height {
                        continue;
                    }
                    for (j, d) in d.iter_mut().enumerate() {
                        let x = ((first + tile) * OUT + j).wrapping_sub(1);
                        if x < self.x.width {
                            let at = (y * self.x.width + x) * channels;
                            let value = load(simd, &self.x.data[at..at + channels], c);
                            *d = if relu { simd.max_f32s(value, zero) } else { value };
                        }
                    }
                }
                for j in 0..IN {
                    let column = [d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j]];
                    let column = inward(simd, column);
                    for i in 0..IN {
                        d[i][j] = column[i];
                    }
                }
                for (i, d) in d.iter().enumerate() {
                    for (j, &value) in inward(simd, *d).iter().enumerate() {
                        let at = (i * IN + j) * apart + tile * channels;
                        save(simd, &mut self.scratch.tiles[at..at + channels], c, value);
                    }
                }
            }
        }
    }

    /// The outputs of a tile in channels `c ..`, with the bias, by rows.
    #[allow(clippy::needless_range_loop)] // Columns.
    #[inline(always)]
    fn outputs<S: Simd>(&self, simd: S, tile: usize, c: usize) -> [[S::f32s; OUT]; OUT] {
        let channels = self.filters.outputs;
        let (zero, apart) = (simd.splat_f32s(0.0), place(channels));
        let mut half = [[zero; IN]; OUT];
        for j in 0..IN {
            let mut column = [zero; IN];
            for (i, value) in column.iter_mut().enumerate() {
                let at = (i * IN + j) * apart + tile * channels;
                *value = load(simd, &self.scratch.products[at..at + channels], c);
            }
            let column = outward(simd, column);
            for i in 0..OUT {
                half[i][j] = column[i];
            }
        }
        let bias = load(simd, self.around.bias, c);
        let mut whole = [[zero; OUT]; OUT];
        for (row, half) in whole.iter_mut().zip(half) {
            *row = outward(simd, half);
            for value in row {
                *value = simd.add_f32s(*value, bias);
                if self.around.relu[1] {
                    *value = simd.max_f32s(*value, zero);
                }
            }
        }
        whole
    }

    #[inline(always)]
    fn gather<S: Simd>(&mut self, simd: S, first: usize, count: usize) {
        let (channels, width) = (self.filters.outputs, self.x.width);
        let rows = self.y.len() / (width * channels);
        for tile in 0..count {
            for c in (0..channels).step_by(S::F32_LANES) {
                let values = self.outputs(simd, tile, c);
                for (i, values) in values.iter().enumerate().take(rows) {
                    for (j, &value) in values.iter().enumerate() {
                        let x = (first + tile) * OUT + j;
                        if x >= width {
                            continue;
                        }
                        let at = (i * width + x) * channels;
                        let mut value = value;
                        for added in self.around.added.iter().flatten() {
                            let added = &added[self.start + at..][..channels];
                            value = simd.add_f32s(value, load(simd, added, c));
                        }
                        save(simd, &mut self.y[at..at + channels], c, value);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn reduced<S: Simd>(
        &mut self,
        simd: S,
        (first, count): (usize, usize),
        weights: &[f32],
        shift: f32,
    ) {
        let (channels, width) = (self.filters.outputs, self.x.width);
        for tile in 0..count {
            let mut sums = [[simd.splat_f32s(0.0); OUT]; OUT];
            for c in (0..channels).step_by(S::F32_LANES) {
                let values = self.outputs(simd, tile, c);
                let weights = load(simd, weights, c);
                for i in 0..OUT {
                    for j in 0..OUT {
                        sums[i][j] = simd.mul_add_f32s(values[i][j], weights, sums[i][j]);
                    }
                }
            }
            for (y, sums) in self.y.chunks_exact_mut(width).zip(&sums) {
                let y = &mut y[(first + tile) * OUT..];
                for (y, &sum) in y.iter_mut().zip(sums) {
                    *y = simd.reduce_sum_f32s(sum) + shift;
                }
            }
        }
    }
}

/// The elements of `line` from `at` on, as many as there are of a vector's, and zeros.
#[inline(always)]
fn load<S: Simd>(simd: S, line: &[f32], at: usize) -> S::f32s {
    let line = &line[at..];
    match line.get(..S::F32_LANES) {
        Some(whole) => S::as_simd_f32s(whole).0[0],
        None => simd.partial_load_f32s(line),
    }
}

#[inline(always)]
fn save<S: Simd>(simd: S, line: &mut [f32], at: usize, value: S::f32s) {
    let line = &mut line[at..];
    match line.get_mut(..S::F32_LANES) {
        Some(whole) => S::as_mut_simd_f32s(whole).0[0] = value,
        None => simd.partial_store_f32s(line, value),
    }
}

/// A row or column of a tile of inputs.
#[inline(always)]
fn inward<S: Simd>(simd: S, d: [S::f32s; IN]) -> [S::f32s; IN] {
    let times = |k: f32, x: S::f32s, plus: S::f32s| simd.mul_add_f32s(simd.splat_f32s(k), x, plus);
    let (even_a, even_b) = (times(-2.0, d[2], d[4]), times(-0.5, d[2], d[4]));
    let odd_a = simd.mul_f32s(simd.splat_f32s(A), times(-2.0, d[1], d[3]));
    let odd_b = simd.mul_f32s(simd.splat_f32s(B), times(-0.5, d[1], d[3]));
    [
        times(-2.5, d[2], simd.add_f32s(d[0], d[4])),
        simd.add_f32s(even_a, odd_a),
        simd.sub_f32s(even_a, odd_a),
        simd.add_f32s(even_b, odd_b),
        simd.sub_f32s(even_b, odd_b),
        times(-2.5, d[3], simd.add_f32s(d[1], d[5])),
    ]
}

/// A row or column of a tile's products.
#[inline(always)]
fn outward<S: Simd>(simd: S, m: [S::f32s; IN]) -> [S::f32s; OUT] {
    let times = |k: f32, x: S::f32s| simd.mul_f32s(simd.splat_f32s(k), x);
    let plus = |k: f32, x: S::f32s, y: S::f32s| simd.mul_add_f32s(simd.splat_f32s(k), x, y);
    let (sum_a, sum_b) = (simd.add_f32s(m[1], m[2]), simd.add_f32s(m[3], m[4]));
    let (off_a, off_b) = (simd.sub_f32s(m[1], m[2]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(m[0], simd.add_f32s(sum_a, sum_b)),
        plus(A, off_a, times(B, off_b)),
        plus(0.5, sum_a, times(2.0, sum_b)),
        plus(A * 0.5, off_a, plus(B * 2.0, off_b, m[5])),
    ]
}
