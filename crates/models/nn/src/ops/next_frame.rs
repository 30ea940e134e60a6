//! Attention of one frame to those before it, each token to those at its own position.
//!
//! Keys and values are kept as projections without a bias gave them, without positions in time: those change
//! as frames move on, and what they add to keys and values is the same for every token. On the CPU the kept
//! frames are read where they lie, and the sums with their positions never reach memory.

use candle_core::{Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

use super::attention::attention;
use super::f32_op::{F32Op, apply1, elements, is_cpu_f32};
use super::simd;

/// Tokens of a task: as many as lie together in what every frame is read of at a time.
const TOKENS: usize = 16;

/// The frames that one attends to, in their order; it is the last of them itself.
#[derive(Debug, Clone, Copy)]
pub struct Frames<'a> {
    /// (1, S, heads x D) of each frame.
    pub keys: &'a [&'a Tensor],
    /// As many, of the same shape.
    pub values: &'a [&'a Tensor],
    /// What their places among the frames add to keys and to values, (F, heads x D) each.
    pub positions: [&'a Tensor; 2],
}

/// Attention of each token of `q` (1, S, heads x D) to the tokens at its position, scaled by `1 / sqrt(D)`.
///
/// Equals the last frame of [`temporal_attention`](super::temporal_attention) over all of `frames`.
///
/// # Errors
/// When the shapes do not fit each other.
pub fn next_frame_attention(q: &Tensor, frames: Frames<'_>, heads: usize) -> Result<Tensor> {
    let (_, _, inner) = q.dims3()?;
    let Frames { keys, values, positions } = frames;
    let count = keys.len();
    let fits = positions.iter().all(|t| t.dims() == [count, inner])
        && keys.iter().chain(values).all(|t| t.dims() == q.dims());
    if !fits || count == 0 || values.len() != count || !inner.is_multiple_of(heads) {
        bail!("attention of {:?} to {count} frames, {heads} heads", q.dims());
    }
    if is_cpu_f32(q) { in_place(q, frames, heads) } else { regrouped(q, frames, heads) }
}

/// The body of other devices and types.
fn regrouped(q: &Tensor, frames: Frames<'_>, heads: usize) -> Result<Tensor> {
    let placed = |frames: &[&Tensor], positions: &Tensor| {
        // (F, S, C) -> (S, F, C)
        let all = Tensor::cat(frames, 0)?.broadcast_add(&positions.unsqueeze(1)?)?;
        all.transpose(0, 1)?.contiguous()
    };
    let [of_keys, of_values] = frames.positions;
    let keys = placed(frames.keys, of_keys)?;
    let values = placed(frames.values, of_values)?;
    attention(&q.transpose(0, 1)?.contiguous()?, &keys, &values, heads)?.transpose(0, 1)
}

fn in_place(q: &Tensor, frames: Frames<'_>, heads: usize) -> Result<Tensor> {
    let [of_keys, of_values] = frames.positions;
    let all: Vec<&Tensor> = [frames.keys, frames.values, &[of_keys, of_values]].concat();
    let all = all.into_iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
    let stored: Vec<_> = all.iter().map(Tensor::storage_and_layout).collect();
    let read = stored.iter().map(|(storage, layout)| match &**storage {
        Storage::Cpu(storage) => elements(storage, layout),
        _ => bail!("expected a tensor on the processor"),
    });
    let read = read.collect::<Result<Vec<_>>>()?;
    let (keys, rest) = read.split_at(frames.keys.len());
    let (values, positions) = rest.split_at(frames.values.len());
    apply1(&Attend { keys, values, positions: [positions[0], positions[1]], heads }, q)
}

struct Attend<'a> {
    keys: &'a [&'a [f32]],
    values: &'a [&'a [f32]],
    positions: [&'a [f32]; 2],
    heads: usize,
}

impl F32Op<1> for Attend<'_> {
    fn name(&self) -> &'static str {
        "attention to frames before"
    }

    fn compute(&self, [q]: [&[f32]; 1], [shape]: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
        let (_, _, inner) = shape.dims3()?;
        let mut y = vec![0f32; q.len()];
        let tasks = y.par_chunks_mut(TOKENS * inner).enumerate();
        tasks.for_each_init(Vec::new, |weights, (task, y)| {
            let first = task * TOKENS * inner;
            let q = &q[first..][..y.len()];
            simd::over(
                #[inline(always)]
                || {
                    self.weigh(q, first, inner, weights);
                    self.add_up(y, first, inner, weights);
                },
            );
        });
        Ok((y, shape.clone()))
    }
}

impl Attend<'_> {
    /// Weights (tokens, heads, frames) of the tokens from element `first` on.
    #[inline(always)]
    fn weigh(&self, q: &[f32], first: usize, inner: usize, weights: &mut Vec<f32>) {
        let (frames, width) = (self.keys.len(), inner / self.heads);
        let scale = 1.0 / (width as f32).sqrt();
        weights.clear();
        weights.resize(q.len() / width * frames, 0.0);
        for (frame, keys) in self.keys.iter().enumerate() {
            let positions = &self.positions[0][frame * inner..][..inner];
            for (at, q) in (0..).step_by(width).zip(q.chunks_exact(width)) {
                let k = &keys[first + at..][..width];
                let position = &positions[at % inner..][..width];
                weights[at / width * frames + frame] = scale * dot(q, k, position);
            }
        }
        for row in weights.chunks_exact_mut(frames) {
            softmax(row);
        }
    }

    /// The values by their weights.
    #[inline(always)]
    fn add_up(&self, y: &mut [f32], first: usize, inner: usize, weights: &[f32]) {
        let (frames, width) = (self.values.len(), inner / self.heads);
        for (frame, values) in self.values.iter().enumerate() {
            let positions = &self.positions[1][frame * inner..][..inner];
            for (at, y) in (0..).step_by(width).zip(y.chunks_exact_mut(width)) {
                let weight = weights[at / width * frames + frame];
                let v = &values[first + at..][..width];
                let position = &positions[at % inner..][..width];
                for ((y, v), position) in y.iter_mut().zip(v).zip(position) {
                    *y += weight * (v + position);
                }
            }
        }
    }
}

/// `q` times the sum of `k` and `position`.
#[inline(always)]
fn dot(q: &[f32], k: &[f32], position: &[f32]) -> f32 {
    let (q, q_rest) = q.as_chunks::<8>();
    let (k, k_rest) = k.as_chunks::<8>();
    let (position, position_rest) = position.as_chunks::<8>();
    let mut lanes = [0f32; 8];
    for ((q, k), position) in q.iter().zip(k).zip(position) {
        for i in 0..8 {
            lanes[i] += q[i] * (k[i] + position[i]);
        }
    }
    let mut total: f32 = lanes.iter().sum();
    for ((q, k), position) in q_rest.iter().zip(k_rest).zip(position_rest) {
        total += q * (k + position);
    }
    total
}

#[inline(always)]
fn softmax(row: &mut [f32]) {
    let mut highest = f32::NEG_INFINITY;
    for &score in &*row {
        highest = highest.max(score);
    }
    let mut total = 0.0;
    for weight in row.iter_mut() {
        *weight = simd::exp(*weight - highest);
        total += *weight;
    }
    let inverse = 1.0 / total;
    for weight in row {
        *weight *= inverse;
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use parallax_test_networks::{assert_close, random};

    use super::*;
    use crate::ops::temporal_attention;

    #[test]
    fn it_is_the_last_frame_of_attention_over_all() {
        // A head narrower than a vector, one with a rest, and more tokens than a task has.
        for (frames, tokens, heads, width) in [(1, 3, 2, 4), (5, 21, 3, 11), (32, 40, 8, 8)] {
            let inner = heads * width;
            let all = || random((frames, tokens, inner)).unwrap();
            let (queries, keys, values) = ((all() * 3.0).unwrap(), all(), all());
            let positions = [0; 2].map(|_| random((frames, inner)).unwrap());
            let placed = |t: &Tensor, i: usize| {
                t.broadcast_add(&positions[i].unsqueeze(1).unwrap()).unwrap()
            };
            let (k, v) = (placed(&keys, 0), placed(&values, 1));
            let want = temporal_attention(&queries, &k, &v, frames, heads).unwrap();
            let last = |t: &Tensor| t.narrow(0, frames - 1, 1).unwrap();
            let each = |t: &Tensor| -> Vec<Tensor> {
                (0..frames).map(|i| t.narrow(0, i, 1).unwrap()).collect()
            };
            let (keys, values) = (each(&keys), each(&values));
            let (keys, values): (Vec<_>, Vec<_>) = (keys.iter().collect(), values.iter().collect());
            let of =
                Frames { keys: &keys, values: &values, positions: [&positions[0], &positions[1]] };
            let q = last(&queries);
            let name = format!("{frames} frames");
            let got = next_frame_attention(&q, of, heads).unwrap();
            assert_close(&name, &got, &last(&want), 1e-5, 1e-5);
            let got = regrouped(&q, of, heads).unwrap();
            assert_close(&name, &got, &last(&want), 1e-5, 1e-5);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
        let (frame, other) = (zeros(&[1, 3, 4]), zeros(&[1, 2, 4]));
        let (two, one) = (zeros(&[2, 4]), zeros(&[1, 4]));
        let of = |keys: &[&Tensor], values: &[&Tensor], positions: [&Tensor; 2]| {
            next_frame_attention(&frame, Frames { keys, values, positions }, 2)
        };
        of(&[&frame, &frame], &[&frame, &frame], [&two, &two]).unwrap();
        for (keys, values, positions) in [
            (vec![], vec![], [&two, &two]),
            (vec![&frame, &frame], vec![&frame], [&two, &two]),
            (vec![&frame, &other], vec![&frame, &frame], [&two, &two]),
            (vec![&frame, &frame], vec![&frame, &frame], [&two, &one]),
        ] {
            assert!(of(&keys, &values, positions).is_err(), "{keys:?}");
        }
    }
}
