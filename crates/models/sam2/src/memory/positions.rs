//! Codes of places and times by sines (Vaswani et al. 2017, arXiv:1706.03762), as the published classes make them.

use std::f32::consts::TAU;

use candle_core::{Device, Result, Tensor};

const TEMPERATURE: f32 = 10_000.0;
/// Added to the last row's number before it is divided by.
const EPSILON: f32 = 1e-6;

/// The wavelength of a code's number `i` of `of`, over a whole turn.
fn wavelength(i: usize, of: usize) -> f32 {
    TEMPERATURE.powf((2 * (i / 2)) as f32 / of as f32)
}

/// The cells of a square map, (1, side side, width): a half by rows, a half by columns; sines and cosines in turn.
pub(super) fn of_map(side: usize, width: usize, device: &Device) -> Result<Tensor> {
    let half = width / 2;
    let code = |at: usize| {
        // The last row is at a whole turn.
        let at = (at + 1) as f32 / (side as f32 + EPSILON) * TAU;
        (0..half).map(move |i| {
            let angle = at / wavelength(i, half);
            if i % 2 == 0 { angle.sin() } else { angle.cos() }
        })
    };
    let cells = (0..side * side).flat_map(|cell| code(cell / side).chain(code(cell % side)));
    Tensor::from_iter(cells, device)?.reshape((1, side * side, width))
}

/// Times, as shares of the longest one, (n, width): sines, then cosines.
pub(super) fn of_times(shares: &[f32], width: usize, device: &Device) -> Result<Tensor> {
    let half = width / 2;
    let codes = shares.iter().flat_map(|&share| {
        let angles = move || (0..half).map(move |i| share / wavelength(i, half));
        angles().map(f32::sin).chain(angles().map(f32::cos))
    });
    Tensor::from_iter(codes, device)?.reshape((shares.len(), width))
}
