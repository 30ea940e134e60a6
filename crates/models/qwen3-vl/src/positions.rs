//! Where tokens and patches lie: places of text and pictures, and the angles that they turn queries and keys by.

use candle_core::{DType, Device, Result, Tensor, bail};

use crate::grid::{Grid, block_order};

/// A token's place in time, rows and columns.
pub(crate) type Place = [u32; 3];

/// The places of a sequence's tokens, and where the next token lies. `is_vision` says which tokens stand for patches;
/// `frames` has the merged rows and columns of each frame pair, in order.
///
/// Text counts up on all axes; a frame pair begins where the text before it ended, and the text after it goes on behind
/// the longer of its sides.
///
/// # Errors
/// When the tokens that stand for patches are not those of the frames.
pub(crate) fn places(
    ids: &[u32],
    is_vision: impl Fn(u32) -> bool,
    frames: &[(usize, usize)],
) -> Result<(Vec<Place>, u32)> {
    let (mut places, mut next, mut frames) = (Vec::with_capacity(ids.len()), 0u32, frames.iter());
    while let Some(&id) = ids.get(places.len()) {
        if !is_vision(id) {
            places.push([next; 3]);
            next += 1;
            continue;
        }
        let Some(&(rows, columns)) = frames.next() else {
            bail!("token {} stands for a picture that is not there", places.len());
        };
        let run = ids.get(places.len()..places.len() + rows * columns);
        if !run.is_some_and(|run| run.iter().all(|&other| other == id)) {
            bail!("a picture of {rows}x{columns} tokens has another number of them");
        }
        for row in 0..rows as u32 {
            places.extend((0..columns as u32).map(|column| [next, next + row, next + column]));
        }
        next += rows.max(columns) as u32;
    }
    if frames.next().is_some() {
        bail!("there are more pictures than tokens that stand for them");
    }
    Ok((places, next))
}

/// Which axis frequency `i` is of: rows and columns alternate with time up to three times their number.
fn axis(i: usize, section: [usize; 3]) -> usize {
    match i % 3 {
        axis @ (1 | 2) if i < 3 * section[axis] => axis,
        _ => 0,
    }
}

/// Inverse frequencies of a base: `count` of them, the fastest turning once in 2 pi places. In single precision, as
/// transformers has them.
fn speeds(theta: f64, count: usize) -> Vec<f32> {
    let power = |i: usize| (2 * i) as f32 / (2 * count) as f32;
    (0..count).map(|i| 1.0 / (theta as f32).powf(power(i))).collect()
}

/// Frequencies of the text's positions.
#[derive(Debug, Clone)]
pub(crate) struct TextAngles {
    speeds: Vec<(usize, f32)>,
}

impl TextAngles {
    pub(crate) fn new(theta: f64, head: usize, section: [usize; 3]) -> Self {
        let speeds = speeds(theta, head / 2).into_iter().enumerate();
        Self { speeds: speeds.map(|(i, speed)| (axis(i, section), speed)).collect() }
    }

    /// Cosines and sines (B, S, head / 2) of rows of places.
    pub(crate) fn turns(&self, rows: &[&[Place]], on: (&Device, DType)) -> Result<[Tensor; 2]> {
        let (half, count) = (self.speeds.len(), rows.first().map_or(0, |row| row.len()));
        let angle = |place: &Place| -> Vec<f32> {
            self.speeds.iter().map(|&(axis, speed)| place[axis] as f32 * speed).collect()
        };
        let angles: Vec<f32> = rows.iter().flat_map(|row| row.iter().flat_map(angle)).collect();
        turns(angles, &[rows.len(), count, half], on)
    }
}

fn turns(
    angles: Vec<f32>,
    shape: &[usize],
    (device, dtype): (&Device, DType),
) -> Result<[Tensor; 2]> {
    let table = |of: fn(f32) -> f32| {
        let values: Vec<f32> = angles.iter().map(|&angle| of(angle)).collect();
        Tensor::from_vec(values, shape, device)?.to_dtype(dtype)
    };
    Ok([table(f32::cos)?, table(f32::sin)?])
}

/// Cosines and sines (h w, head / 2) of a frame's patches: angles of the row, then of the column.
pub(crate) fn patch_turns(
    grid: Grid,
    merge: usize,
    head: usize,
    device: &Device,
) -> Result<[Tensor; 2]> {
    let speeds = speeds(10_000.0, head / 4);
    let mut angles = Vec::new();
    for (row, column) in block_order(grid, merge) {
        for place in [row, column] {
            angles.extend(speeds.iter().map(|speed| place as f32 * speed));
        }
    }
    turns(angles, &[grid.rows * grid.columns, head / 2], (device, DType::F32))
}

/// The four places of a table of `side` x `side` that a frame's patches lie between and their weights, each (h w): the
/// first patch lies on the first place and the last on the last.
pub(crate) fn corners(grid: Grid, merge: usize, side: usize) -> [(Vec<u32>, Vec<f32>); 4] {
    let along = |i: usize, count: usize| {
        let step = if count > 1 { (side - 1) as f32 / (count - 1) as f32 } else { 0.0 };
        // PyTorch's linspace: the second half is counted from the end.
        let at = if i < count.div_ceil(2) || count == 1 {
            step * i as f32
        } else {
            (side - 1) as f32 - step * (count - 1 - i) as f32
        };
        let first = (at as usize).min(side - 1);
        (first, (first + 1).min(side - 1), at - first as f32)
    };
    let mut corners: [(Vec<u32>, Vec<f32>); 4] = Default::default();
    for (row, column) in block_order(grid, merge) {
        let ((top, bottom, down), (left, right, over)) =
            (along(row, grid.rows), along(column, grid.columns));
        let parts = [
            (top, left, (1.0 - down) * (1.0 - over)),
            (top, right, (1.0 - down) * over),
            (bottom, left, down * (1.0 - over)),
            (bottom, right, down * over),
        ];
        for ((places, weights), (y, x, weight)) in corners.iter_mut().zip(parts) {
            places.push((y * side + x) as u32);
            weights.push(weight);
        }
    }
    corners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_takes_as_many_places_as_its_longer_side() {
        let ids = [1, 2, 9, 9, 9, 9, 9, 9, 3, 4];
        let (places, next) = places(&ids, |id| id == 9, &[(2, 3)]).unwrap();
        assert_eq!(places[1], [1; 3]);
        assert_eq!(places[2..5], [[2, 2, 2], [2, 2, 3], [2, 2, 4]]);
        assert_eq!(places[5..8], [[2, 3, 2], [2, 3, 3], [2, 3, 4]]);
        assert_eq!((places[8], next), ([5; 3], 7));
    }

    #[test]
    fn pictures_and_the_tokens_that_stand_for_them_are_the_same_number() {
        let of = |ids: &[u32], frames: &[(usize, usize)]| places(ids, |id| id == 9, frames);
        assert!(of(&[1, 9, 9], &[(1, 2)]).is_ok());
        assert!(of(&[1, 9, 9], &[]).is_err());
        assert!(of(&[1, 9], &[(1, 2)]).is_err());
        assert!(of(&[1, 9, 1], &[(1, 2)]).is_err());
        assert!(of(&[1, 9, 9], &[(1, 2), (1, 2)]).is_err());
    }

    #[test]
    fn axes_alternate_up_to_their_share() {
        let axes: Vec<usize> = (0..64).map(|i| axis(i, [24, 20, 20])).collect();
        assert_eq!(axes[..6], [0, 1, 2, 0, 1, 2]);
        assert_eq!(axes[57..], [0, 1, 2, 0, 0, 0, 0]);
        assert_eq!(axes.iter().filter(|&&a| a == 2).count(), 20);
    }
}
