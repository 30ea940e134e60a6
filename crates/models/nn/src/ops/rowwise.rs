//! Attention of a few queries to all keys at a time, where their scores stay in the second-level cache.
//!
//! The softmax sees whole rows, so nothing is ever rescaled, and the sums over keys stay in registers.

use rayon::prelude::*;

use super::packed::{Packed, Product, Rows};
use super::simd;

/// Queries of a block: whole tiles of the product, whatever their height.
pub(super) const QUERIES: usize = 48;
/// Keys up to which a block's scores take less than a megabyte.
pub(super) const LONGEST: usize = 4096;

/// Scores that are compared or summed beside each other.
const LANES: usize = 16;

/// What attends to what: (rows, queries, inner) to (rows, keys, inner).
#[derive(Clone, Copy)]
pub(super) struct Tokens {
    pub(super) rows: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    /// Heads times the width of one.
    pub(super) inner: usize,
}

/// Queries, keys and values, each head's columns beside the former's.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) q: Rows<'a>,
    pub(super) k: Rows<'a>,
    pub(super) v: Rows<'a>,
}

/// Gives (rows, queries, inner).
pub(super) fn rowwise(of: Operands<'_>, tokens: Tokens, heads: usize) -> Vec<f32> {
    let Tokens { rows, queries, inner, .. } = tokens;
    let mut known = Known::default();
    known.pack(of.k, of.v, tokens, heads);
    let mut y = vec![0f32; rows * queries * inner];
    // A run of query rows is contiguous for all heads at once: the unit of parallel work.
    let mut work = Vec::new();
    for (row, y) in y.chunks_mut(queries * inner).enumerate() {
        work.extend(y.chunks_mut(QUERIES * inner).enumerate().map(|(b, y)| (row, b, y)));
    }
    work.into_par_iter().for_each_init(Scratch::default, |scratch, (row, b, y)| {
        let first = row * queries + b * QUERIES;
        let q = Rows { data: &of.q.data[first * of.q.stride..], ..of.q };
        scratch.attend(q, known.row(row), y);
    });
    y
}

/// Keys and values, packed by row and head.
#[derive(Debug, Default)]
pub(super) struct Known {
    heads: usize,
    packed: Vec<(Packed, Packed)>,
}

impl Known {
    /// Takes those of `tokens` in place of what was known.
    pub(super) fn pack(&mut self, k: Rows<'_>, v: Rows<'_>, tokens: Tokens, heads: usize) {
        let Tokens { rows, keys, inner, .. } = tokens;
        let width = inner / heads;
        let scale = 1.0 / (width as f32).sqrt();
        self.heads = heads;
        self.packed.resize_with(rows * heads, Default::default);
        self.packed.par_iter_mut().enumerate().for_each(|(i, (packed_k, packed_v))| {
            let part = |t: Rows<'_>| (i / heads * keys) * t.stride + i % heads * width;
            let k = Rows { data: &k.data[part(k)..], ..k };
            let v = Rows { data: &v.data[part(v)..], ..v };
            packed_k.fill_outputs(k, (keys, width), scale);
            packed_v.fill_inputs(v, (keys, width));
        });
    }

    /// Those of one row, head by head.
    pub(super) fn row(&self, row: usize) -> &[(Packed, Packed)] {
        &self.packed[row * self.heads..][..self.heads]
    }
}

/// One thread's working memory.
#[derive(Default)]
pub(super) struct Scratch {
    scores: Vec<f32>,
    /// By which each query's sums are divided.
    inverses: Vec<f32>,
}

impl Scratch {
    /// Queries, whose heads lie beside each other as those of `y` do, to what they attend to.
    pub(super) fn attend(&mut self, q: Rows<'_>, known: &[(Packed, Packed)], y: &mut [f32]) {
        let Some((_, v)) = known.first() else { return };
        let (width, inner) = (v.outputs(), v.outputs() * known.len());
        for (column, known) in (0..).step_by(width).zip(known) {
            let q = Rows { data: &q.data[column..], ..q };
            self.attend_by_one(q, known, y, (inner, column));
        }
    }

    /// One head, into columns of `y` from `column` on.
    fn attend_by_one(
        &mut self,
        q: Rows<'_>,
        (k, v): &(Packed, Packed),
        y: &mut [f32],
        (inner, column): (usize, usize),
    ) {
        let (queries, keys) = (y.len() / inner, k.outputs());
        self.scores.resize(queries * keys, 0.0);
        let scores = &mut self.scores[..queries * keys];
        Product { left: q, rows: queries, packed: k, out: scores, stride: keys }.run(|_, _, _| {});
        self.inverses.clear();
        let rows = scores.chunks_exact_mut(keys);
        self.inverses.extend(rows.map(|row| {
            simd::over(
                #[inline(always)]
                || exponents(row),
            )
        }));
        let inverses = &self.inverses;
        Product {
            left: Rows { data: scores, stride: keys },
            rows: queries,
            packed: v,
            out: &mut y[column..],
            stride: inner,
        }
        .run(
            #[inline(always)]
            |row, _, piece| piece.iter_mut().for_each(|value| *value *= inverses[row]),
        );
    }
}

/// Turns scores into weights; gives the inverse of their sum.
#[inline(always)]
fn exponents(row: &mut [f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 2 * LANES];
    let (whole, rest) = row.as_chunks::<{ 2 * LANES }>();
    for chunk in whole {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    let rest = rest.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let highest = lanes.iter().fold(rest, |a, &b| a.max(b));
    let mut total = 0f32;
    let mut lanes = [0f32; LANES];
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    for chunk in whole {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *x = simd::exp(*x - highest);
            *lane += *x;
        }
    }
    for x in rest {
        *x = simd::exp(*x - highest);
        total += *x;
    }
    1.0 / (total + lanes.iter().sum::<f32>())
}
