//! Learned positions on grids that they were not learned on.

use candle_core::{DType, Result, Tensor, bail};

use crate::config::Positions;

/// The factor's excess in the authors' code, in patches.
const EXCESS: f64 = 0.1;
/// The coefficient of cubic convolution in PyTorch.
const A: f64 = -0.75;

/// The positions (1, 1 + h w, C) of a grid of `h` x `w` patches, the class token's first, from a `table`
/// (1, 1 + n n, C) for `side` = n.
///
/// Bicubic without antialiasing, taps clamped at the border; the table itself on its own square.
pub fn on_grid(
    table: &Tensor,
    side: usize,
    (h, w): (usize, usize),
    rule: Positions,
) -> Result<Tensor> {
    let (_, rows, channels) = table.dims3()?;
    if rows != side * side + 1 {
        bail!("{rows} positions for a square of {side}");
    }
    if (h, w) == (side, side) {
        return Ok(table.clone());
    }
    let values: Vec<f32> = table.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let (class, square) = values.split_at(channels);
    let (ys, xs) = (taps(side, h, rule), taps(side, w, rule));
    let mut out = Vec::with_capacity((h * w + 1) * channels);
    out.extend_from_slice(class);
    let mut row = vec![0f64; side * channels];
    let mut cell = vec![0f64; channels];
    for y in &ys {
        row.fill(0.0);
        for (at, weight) in y {
            let line = &square[at * side * channels..][..side * channels];
            row.iter_mut().zip(line).for_each(|(r, &v)| *r += weight * f64::from(v));
        }
        for x in &xs {
            cell.fill(0.0);
            for (at, weight) in x {
                let line = &row[at * channels..][..channels];
                cell.iter_mut().zip(line).for_each(|(c, v)| *c += weight * v);
            }
            out.extend(cell.iter().map(|&c| c as f32));
        }
    }
    let out = Tensor::from_vec(out, (1, h * w + 1, channels), table.device())?;
    out.to_dtype(table.dtype())
}

/// Four samples of `input` with their weights for each of `output`.
fn taps(input: usize, output: usize, rule: Positions) -> Vec<[(usize, f64); 4]> {
    let length = match rule {
        Positions::ByFactor => output as f64 + EXCESS,
        Positions::BySize => output as f64,
    };
    let step = input as f64 / length;
    let tap = |i: usize| {
        let at = (i as f64 + 0.5) * step - 0.5;
        let base = at.floor();
        let t = at - base;
        let weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
        let mut index = base as isize - 1;
        weights.map(|weight| {
            let clamped = index.clamp(0, input as isize - 1) as usize;
            index += 1;
            (clamped, weight)
        })
    };
    (0..output).map(tap).collect()
}

fn near(x: f64) -> f64 {
    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
}

fn far(x: f64) -> f64 {
    ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
}
