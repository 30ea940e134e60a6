//! Scaled dot-product attention without a mask.
//!
//! On the CPU the score matrix never exists whole: a block of queries meets all keys, or many of them in
//! blocks with a running maximum and sum (Rabe and Staats, arXiv:2112.05682). Queries, keys and values are
//! read where the projections left them, so neither heads nor frames are ever transposed.

use candle_core::{Result, Shape, Tensor};
use candle_nn::ops::softmax_last_dim;
use rayon::prelude::*;

use super::f32_op::{F32Op, apply1, apply3, is_cpu_f32};
use super::gemm::{Mat, Old, Sizes, Threads, product};
use super::packed::Rows;
use super::rowwise::{LONGEST, Operands, Tokens, rowwise};
use super::{TEMPORARY, simd};

const QUERIES: usize = 128;
const KEYS: usize = 256;

/// Attention among the tokens of each sequence.
///
/// `q` (N, S, heads x D), `k` and `v` (N, T, heads x D), scaled by `1 / sqrt(D)`; gives (N, S, heads x D).
///
/// # Example
/// ```
/// use candle_core::{Device, Tensor};
/// use parallax_nn::ops::attention;
///
/// // One head of two channels; each query is far more like one of the keys, and takes that one's value.
/// let rows = |values: &[f32]| Tensor::from_slice(values, (1, 2, 2), &Device::Cpu);
/// let (q, v) = (rows(&[90.0, 0.0, 0.0, 90.0])?, rows(&[1.0, 2.0, 3.0, 4.0])?);
/// let k = rows(&[0.0, 1.0, 1.0, 0.0])?;
/// assert_eq!(attention(&q, &k, &v, 1)?.to_vec3::<f32>()?, [[[3.0, 4.0], [1.0, 2.0]]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    if is_cpu_f32(q) {
        let op = Streaming { sequences: Sequences::Rows, heads };
        return apply3(&op, q, k, v);
    }
    scored(q, k, v, heads, TEMPORARY)
}

/// Attention among the tokens of each sequence, from one product's output.
///
/// `qkv` (N, S, 3 x heads x D): queries, then keys, then values; gives (N, S, heads x D). Equals
/// [`attention`] on the three parts, which are read in place.
pub fn self_attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    if is_cpu_f32(qkv) {
        return apply1(&Fused { heads }, qkv);
    }
    let inner = qkv.dim(2)? / 3;
    let part = |i: usize| qkv.narrow(2, i * inner, inner)?.contiguous();
    scored(&part(0)?, &part(1)?, &part(2)?, heads, TEMPORARY)
}

/// [`attention`] by score matrices of at most `limit` elements, or of one query each.
fn scored(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, limit: usize) -> Result<Tensor> {
    let (n, s, inner) = q.dims3()?;
    // (N, S, heads D) -> (N, heads, S, D)
    let split = |t: &Tensor| -> Result<Tensor> {
        let (n, s, _) = t.dims3()?;
        t.reshape((n, s, heads, inner / heads))?.transpose(1, 2)?.contiguous()
    };
    let (q, k, v) = (split(q)?, split(k)?, split(v)?);
    let q = (q * (heads as f64 / inner as f64).sqrt())?;
    let k = k.transpose(2, 3)?;
    let row = heads * k.dim(3)?;
    let queries = (limit / row).clamp(1, s);
    let step = (limit / (row * queries)).clamp(1, n);
    let mut parts = Vec::new();
    for i in (0..n).step_by(step) {
        let cut = |t: &Tensor| t.narrow(0, i, step.min(n - i))?.contiguous();
        let (q, k, v) = (cut(&q)?, cut(&k)?, cut(&v)?);
        let rows = (0..s)
            .step_by(queries)
            .map(|j| {
                let q = q.narrow(2, j, queries.min(s - j))?.contiguous()?;
                softmax_last_dim(&q.matmul(&k)?)?.matmul(&v)
            })
            .collect::<Result<Vec<_>>>()?;
        parts.push(Tensor::cat(&rows, 2)?);
    }
    Tensor::cat(&parts, 0)?.transpose(1, 2)?.reshape((n, s, inner))
}

/// Attention among the frames of each position.
///
/// `q`, `k`, `v` (B F, S, heads x D) with `frames` F; gives the same shape. Equals [`attention`] on the
/// tensors regrouped as (B S, F, heads x D).
pub fn temporal_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    frames: usize,
    heads: usize,
) -> Result<Tensor> {
    let (n, s, inner) = q.dims3()?;
    if is_cpu_f32(q) {
        let op = Streaming { sequences: Sequences::Frames(frames), heads };
        return apply3(&op, q, k, v);
    }
    // (B F, S, C) -> (B S, F, C)
    let regroup = |t: &Tensor| {
        t.reshape((n / frames, frames, s, inner))?.transpose(1, 2)?.reshape((
            n / frames * s,
            frames,
            inner,
        ))
    };
    let y = attention(&regroup(q)?, &regroup(k)?, &regroup(v)?, heads)?;
    // (B S, F, C) -> (B F, S, C)
    y.reshape((n / frames, s, frames, inner))?.transpose(1, 2)?.reshape((n, s, inner))
}

/// Which tokens attend to each other.
#[derive(Clone, Copy)]
enum Sequences {
    /// Those of one row of the batch.
    Rows,
    /// Those at one position of consecutive rows.
    Frames(usize),
}

struct Streaming {
    sequences: Sequences,
    heads: usize,
}

impl Streaming {
    /// Each operand's tokens lie `row_stride` elements apart.
    fn spatial(&self, q: Mat<'_>, k: Mat<'_>, v: Mat<'_>, tokens: Tokens) -> Vec<f32> {
        if tokens.keys <= LONGEST {
            let [q, k, v] = [q, k, v].map(|t| Rows { data: t.data, stride: t.row_stride });
            return rowwise(Operands { q, k, v }, tokens, self.heads);
        }
        self.streamed(q, k, v, tokens)
    }

    /// [`Streaming::spatial`] where keys are many.
    fn streamed(&self, q: Mat<'_>, k: Mat<'_>, v: Mat<'_>, tokens: Tokens) -> Vec<f32> {
        let Tokens { queries: s, keys: t, inner, .. } = tokens;
        let width = inner / self.heads;
        let mut y = vec![0f32; tokens.rows * s * inner];
        // A run of query rows is contiguous for all heads at once: the unit of parallel work.
        let blocks = s.div_ceil(QUERIES);
        let mut work: Vec<(usize, usize, &mut [f32])> = Vec::with_capacity(tokens.rows * blocks);
        for (row, y) in y.chunks_mut(s * inner).enumerate() {
            work.extend(y.chunks_mut(QUERIES * inner).enumerate().map(|(b, y)| (row, b, y)));
        }
        work.into_par_iter().for_each_init(Scratch::default, |scratch, (row, b, y)| {
            let queries = y.len() / inner;
            for head in 0..self.heads {
                let at = head * width;
                scratch.run(
                    Tokens { rows: 1, queries, keys: t, inner: width },
                    q.from(row * s + b * QUERIES, at),
                    k.from(row * t, at),
                    v.from(row * t, at),
                );
                for (y, out) in y.chunks_exact_mut(inner).zip(scratch.out.chunks_exact(width)) {
                    y[at..at + width].copy_from_slice(out);
                }
            }
        });
        y
    }

    fn temporal(&self, q: &[f32], k: &[f32], v: &[f32], tokens: Tokens, frames: usize) -> Vec<f32> {
        let Tokens { rows: n, queries: s, inner, .. } = tokens;
        let width = inner / self.heads;
        let stride = s * inner;
        let one = Tokens { rows: 1, queries: frames, keys: frames, inner: width };
        // Position by position into (B S, F, C), then back in one pass.
        let mut gathered = vec![0f32; q.len()];
        gathered.par_chunks_mut(frames * inner).enumerate().for_each_init(
            Scratch::default,
            |scratch, (i, y)| {
                let (clip, position) = (i / s, i % s);
                for head in 0..self.heads {
                    let at = (clip * frames * s + position) * inner + head * width;
                    let [q, k, v] = [q, k, v].map(|t| Mat::rows(&t[at..], stride));
                    scratch.run(one, q, k, v);
                    for (y, out) in y.chunks_exact_mut(inner).zip(scratch.out.chunks_exact(width)) {
                        y[head * width..(head + 1) * width].copy_from_slice(out);
                    }
                }
            },
        );
        let mut y = vec![0f32; n * s * inner];
        y.par_chunks_mut(inner).enumerate().with_min_len(16).for_each(|(token, y)| {
            let (row, position) = (token / s, token % s);
            let from = ((row / frames * s + position) * frames + row % frames) * inner;
            y.copy_from_slice(&gathered[from..from + inner]);
        });
        y
    }
}

impl F32Op<3> for Streaming {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn compute(
        &self,
        [q, k, v]: [&[f32]; 3],
        [l1, l2, l3]: [&Shape; 3],
    ) -> Result<(Vec<f32>, Shape)> {
        let (n, s, inner) = l1.dims3()?;
        let (kn, t, kinner) = l2.dims3()?;
        if l2.dims() != l3.dims() || kn != n || kinner != inner || inner % self.heads != 0 || t == 0
        {
            candle_core::bail!(
                "attention of {:?}, {:?}, {:?}, {} heads",
                l1.dims(),
                l2.dims(),
                l3.dims(),
                self.heads
            );
        }
        let tokens = Tokens { rows: n, queries: s, keys: t, inner };
        let y = match self.sequences {
            Sequences::Rows => {
                let [q, k, v] = [q, k, v].map(|operand| Mat::rows(operand, inner));
                self.spatial(q, k, v, tokens)
            }
            Sequences::Frames(frames) => {
                if s != t || n % frames != 0 {
                    candle_core::bail!("attention over {frames} frames of {:?}", l1.dims());
                }
                self.temporal(q, k, v, tokens, frames)
            }
        };
        Ok((y, l1.clone()))
    }
}

/// Queries, keys and values side by side.
struct Fused {
    heads: usize,
}

impl F32Op<1> for Fused {
    fn name(&self) -> &'static str {
        "self-attention"
    }

    fn compute(&self, [qkv]: [&[f32]; 1], [shape]: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
        let (n, s, all) = shape.dims3()?;
        if s == 0 || !all.is_multiple_of(3 * self.heads) {
            candle_core::bail!("self-attention of {:?}, {} heads", shape.dims(), self.heads);
        }
        let inner = all / 3;
        let part = |i: usize| Mat::rows(&qkv[i * inner..], all);
        let tokens = Tokens { rows: n, queries: s, keys: s, inner };
        let op = Streaming { sequences: Sequences::Rows, heads: self.heads };
        Ok((op.spatial(part(0), part(1), part(2), tokens), Shape::from((n, s, inner))))
    }
}

/// One thread's working memory, and the result (queries, width) of the last run.
#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    maximum: Vec<f32>,
    total: Vec<f32>,
    out: Vec<f32>,
}

impl Scratch {
    /// One head of one row.
    fn run(&mut self, one: Tokens, q: Mat<'_>, k: Mat<'_>, v: Mat<'_>) {
        let Tokens { queries, keys, inner: width, .. } = one;
        let scale = 1.0 / (width as f32).sqrt();
        self.maximum.clear();
        self.maximum.resize(queries, f32::NEG_INFINITY);
        self.total.clear();
        self.total.resize(queries, 0.0);
        self.out.clear();
        self.out.resize(queries * width, 0.0);
        self.scores.resize(queries * KEYS.min(keys), 0.0);
        for start in (0..keys).step_by(KEYS) {
            let count = KEYS.min(keys - start);
            let k_block = Mat::cols(&k.data[start * k.row_stride..], k.row_stride);
            let v_block = Mat::rows(&v.data[start * v.row_stride..], v.row_stride);
            let scores = &mut self.scores[..queries * count];
            product(
                Sizes { m: queries, n: count, k: width },
                scores,
                count,
                q,
                k_block,
                Old::Overwrite,
                Threads::One,
            );
            let rows = scores.chunks_exact_mut(count).zip(self.out.chunks_exact_mut(width));
            let running = self.maximum.iter_mut().zip(&mut self.total);
            simd::over(
                #[inline(always)]
                || {
                    for ((row, out), (max, total)) in rows.zip(running) {
                        fold(row, out, max, total, scale);
                    }
                },
            );
            product(
                Sizes { m: queries, n: width, k: count },
                &mut self.out,
                width,
                Mat::rows(scores, count),
                v_block,
                Old::Add,
                Threads::One,
            );
        }
        for (out, total) in self.out.chunks_exact_mut(width).zip(&self.total) {
            let inverse = 1.0 / total;
            out.iter_mut().for_each(|o| *o *= inverse);
        }
    }
}

/// Turn one row of scores into weights against the new running maximum, and rescale what came before.
#[inline(always)]
fn fold(row: &mut [f32], out: &mut [f32], maximum: &mut f32, total: &mut f32, scale: f32) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut chunks = row.chunks_exact(16);
    for c in &mut chunks {
        for (l, &x) in lanes.iter_mut().zip(c) {
            *l = if x > *l { x } else { *l };
        }
    }
    let tail = chunks.remainder().iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let highest = lanes.iter().fold(tail, |a, &b| a.max(b)) * scale;
    let new = maximum.max(highest);
    if new > *maximum {
        // exp clamps at a normal number, so the first block is told apart by its empty total.
        let keep = if *total == 0.0 { 0.0 } else { simd::exp(*maximum - new) };
        for o in out.iter_mut() {
            *o *= keep;
        }
        *total *= keep;
        *maximum = new;
    }
    for x in row.iter_mut() {
        *x = simd::exp(*x * scale - new);
    }
    *total += simd::sum(row, |x| x) as f32;
}

#[cfg(test)]
mod tests {
    use candle_core::{D, Device};

    use super::*;

    fn plain(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Tensor {
        let (n, s, inner) = q.dims3().unwrap();
        let split = |t: &Tensor| {
            let t = t.reshape((n, t.dim(1).unwrap(), heads, inner / heads)).unwrap();
            t.transpose(1, 2).unwrap().contiguous().unwrap()
        };
        let scale = 1.0 / ((inner / heads) as f64).sqrt();
        let scores = (split(q).matmul(&split(k).t().unwrap()).unwrap() * scale).unwrap();
        let y = candle_nn::ops::softmax(&scores, D::Minus1).unwrap().matmul(&split(v)).unwrap();
        y.transpose(1, 2).unwrap().reshape((n, s, inner)).unwrap()
    }

    fn worst(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn streaming_equals_the_whole_score_matrix() {
        let dev = Device::Cpu;
        // Scores of the last reach a thousand, where f32 has steps of 6e-5.
        for (n, s, t, heads, width, size, limit) in [
            (1, 1, 1, 1, 3, 1.0, 2e-5),
            (2, 300, 700, 3, 5, 1.0, 2e-5),
            (1, 130, 257, 2, 64, 6.0, 5e-4),
        ] {
            let q = Tensor::randn(0f32, size, (n, s, heads * width), &dev).unwrap();
            let k = Tensor::randn(0f32, size, (n, t, heads * width), &dev).unwrap();
            let v = Tensor::randn(0f32, 1.0, (n, t, heads * width), &dev).unwrap();
            let got = attention(&q, &k, &v, heads).unwrap();
            let want = plain(&q, &k, &v, heads);
            assert!(worst(&got, &want) < limit);
            // The body of many keys.
            let elements = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let [q1, k1, v1] = [&q, &k, &v].map(elements);
            let inner = heads * width;
            let [q1, k1, v1] = [&q1, &k1, &v1].map(|operand| Mat::rows(operand, inner));
            let op = Streaming { sequences: Sequences::Rows, heads };
            let y = op.streamed(q1, k1, v1, Tokens { rows: n, queries: s, keys: t, inner });
            let got = Tensor::from_vec(y, (n, s, inner), &dev).unwrap();
            assert!(worst(&got, &want) < limit);
            // The body of other devices, some queries at a time.
            for scores in [1, 3 * heads * t, n * s * heads * t] {
                let got = scored(&q, &k, &v, heads, scores).unwrap();
                assert!(worst(&got, &want) < limit, "{scores}");
            }
        }
    }

    #[test]
    fn parts_of_one_product_attend_as_they_do_alone() {
        for (n, s, heads, width) in [(1, 1, 1, 2), (2, 150, 3, 8), (1, 300, 2, 64)] {
            let inner = heads * width;
            let qkv = Tensor::randn(0f32, 1.0, (n, s, 3 * inner), &Device::Cpu).unwrap();
            let [q, k, v] =
                [0, 1, 2].map(|i| qkv.narrow(2, i * inner, inner).unwrap().contiguous().unwrap());
            let want = attention(&q, &k, &v, heads).unwrap();
            assert_eq!(worst(&self_attention(&qkv, heads).unwrap(), &want), 0.0);
        }
    }

    #[test]
    fn temporal_attention_is_attention_regrouped() {
        let dev = Device::Cpu;
        let (clips, frames, s, heads, width) = (2, 5, 7, 3, 4);
        let shape = (clips * frames, s, heads * width);
        let [q, k, v] = [0; 3].map(|_| Tensor::randn(0f32, 1.0, shape, &dev).unwrap());
        let got = temporal_attention(&q, &k, &v, frames, heads).unwrap();
        let regroup = |t: &Tensor| {
            let t = t.reshape((clips, frames, s, heads * width)).unwrap().transpose(1, 2).unwrap();
            t.reshape((clips * s, frames, heads * width)).unwrap()
        };
        let want = plain(&regroup(&q), &regroup(&k), &regroup(&v), heads);
        assert!(worst(&regroup(&got), &want) < 1e-5);
    }
}
