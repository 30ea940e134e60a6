//! Gathering rows through a row of the map.
//!
//! Neighbours mostly come from neighbours, and blocks that do are gathered at once.

use crate::simd::{BLOCK, block, counts_up};

/// Computes every sample of the outs by `mix`, from `N` neighbours in the row of samples beside it and the
/// distance, 0 to 1, from the one at or left of where `columns` says that it comes from (at least 0 and
/// under 2^24). `before` of the neighbours are left of that one; beyond either end of a row, the sample
/// there is repeated. To be called inside [`crate::simd::over`].
///
/// # Panics
/// When an out is shorter than `columns`.
#[inline(always)]
pub(crate) fn gather<const N: usize, const P: usize>(
    columns: &[f32],
    before: usize,
    mut rows: [(&[f32], &mut [f32]); P],
    mix: impl Fn([f32; N], f32) -> f32,
) {
    let blocks = columns.len() / BLOCK * BLOCK;
    for b in (0..blocks).step_by(BLOCK) {
        let columns = block(columns, b);
        let left = columns.map(f32::floor);
        // Columns fit i32, to which f32 converts faster than to usize.
        let from = left[0] as i32 as usize;
        // Wraps where there is nothing left of it, and is outside then.
        let from = if counts_up(&left) { from.wrapping_sub(before) } else { usize::MAX };
        for (samples, out) in &mut rows {
            let out = &mut out[b..b + BLOCK];
            let window = samples.get(from..).and_then(|samples| samples.get(..BLOCK + N - 1));
            if let Some(window) = window {
                let mixed: [f32; BLOCK] = std::array::from_fn(|k| {
                    mix(std::array::from_fn(|j| window[k + j]), columns[k] - left[k])
                });
                out.copy_from_slice(&mixed);
            } else {
                for (out, &column) in out.iter_mut().zip(&columns) {
                    *out = single(samples, column, before, &mix);
                }
            }
        }
    }
    for (samples, out) in &mut rows {
        for (out, &column) in out[blocks..].iter_mut().zip(&columns[blocks..]) {
            *out = single(samples, column, before, &mix);
        }
    }
}

#[inline(always)]
fn single<const N: usize>(
    samples: &[f32],
    column: f32,
    before: usize,
    mix: &impl Fn([f32; N], f32) -> f32,
) -> f32 {
    let at = column as i32;
    let tap = |j: usize| samples[(at as usize + j).saturating_sub(before).min(samples.len() - 1)];
    mix(std::array::from_fn(tap), column - at as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_and_single_samples_are_gathered_alike(
            columns in prop::collection::vec(0.0f32..39.0, 1..60),
            start in 0usize..30, half in any::<bool>(),
        ) {
            // Some at random, then some that count up.
            let shift = if half { 0.5 } else { 0.0 };
            let counted = (start..39).map(|x| x as f32 + shift);
            let columns: Vec<f32> = columns.into_iter().chain(counted).collect();
            let samples: Vec<f32> = (0..40).map(|x| ((x * 31) % 17) as f32).collect();
            let twice: Vec<f32> = samples.iter().map(|v| v * 2.0).collect();
            let mut outs = [vec![f32::NAN; columns.len()], vec![f32::NAN; columns.len()]];
            let [one, two] = &mut outs;
            let rows: [(&[f32], &mut [f32]); 2] = [(&samples, one), (&twice, two)];
            gather(&columns, 1, rows, |p: [f32; 4], f| p[0] * 8.0 + p[1] + p[2] * f - p[3]);
            for (&column, (one, two)) in columns.iter().zip(outs[0].iter().zip(&outs[1])) {
                let (i, f) = (column as i64, column.fract());
                let at = |k: i64| samples[(i + k).clamp(0, 39) as usize];
                let want = at(-1) * 8.0 + at(0) + at(1) * f - at(2);
                prop_assert_eq!((*one, *two), (want, want * 2.0));
            }
        }
    }
}
