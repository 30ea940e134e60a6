//! Where patches lie, as angles.

use std::f32::consts::TAU;

/// By how much queries and keys of heads of width `head` are turned, for each patch of a grid (rows, columns), row
/// by row: `head / 4` angles of its row, then as many of its column.
///
/// A patch's place is its centre's, from -1 at one edge of the picture to 1 at the other; in single precision as
/// transformers has it.
pub fn angles((rows, columns): (usize, usize), head: usize, theta: f64) -> Vec<f32> {
    let quarter = head / 4;
    let power = |i: usize| i as f32 * (4.0 / head as f32);
    let speeds: Vec<f32> = (0..quarter).map(|i| 1.0 / (theta as f32).powf(power(i))).collect();
    let place = |i: usize, of: usize| 2.0 * ((i as f32 + 0.5) / of as f32) - 1.0;
    let mut all = Vec::with_capacity(rows * columns * 2 * quarter);
    for row in 0..rows {
        for column in 0..columns {
            for place in [place(row, rows), place(column, columns)] {
                all.extend(speeds.iter().map(|speed| TAU * place * speed));
            }
        }
    }
    all
}
