//! Red-cyan anaglyph: red from the left eye, green and blue from the right.
//!
//! The plain channel swap of the reference pipeline, on nonlinear R'G'B' without further matrices,
//! done at luma resolution and brought back to the format's subsampling. It changes no retinal
//! rivalry (half-colour and Dubois do) and keeps the colours people expect of the format.

use parallax_frame::Frame;
use rayon::prelude::*;

use crate::matrix::Matrix;
use crate::{Error, StereoPair};

/// Writes the anaglyph of `pair` into `out`, which has [`crate::output_format`]'s format.
pub(crate) fn compose(pair: &StereoPair, out: &mut Frame) -> Result<(), Error> {
    let matrix = Matrix::of(pair.left.format())?;
    let left = Eye::new(&pair.left, &matrix);
    let right = Eye::new(&pair.right, &matrix);
    let shape = out.format().plane(0);
    let (width, height) = (shape.width, shape.height);
    let mut luma = vec![0.0f32; width * height];
    let mut cb = vec![0.0f32; width * height];
    let mut cr = vec![0.0f32; width * height];
    luma.par_chunks_mut(width)
        .zip(cb.par_chunks_mut(width))
        .zip(cr.par_chunks_mut(width))
        .enumerate()
        .for_each(|(y, ((luma, cb), cr))| {
            for x in 0..width {
                let l = left.sample(x, y);
                let r = right.sample(x, y);
                let [red, _, _] = matrix.rgb(l[0], l[1], l[2]);
                let [_, green, blue] = matrix.rgb(r[0], r[1], r[2]);
                [luma[x], cb[x], cr[x]] = matrix.ycbcr([red, green, blue]);
            }
        });
    out.set_plane_f32(0, &luma);
    let shifts = out.format().pixels.chroma().shifts();
    for (index, full) in [(1, cb), (2, cr)] {
        let chroma = out.format().plane(index);
        let mut reduced = vec![0.0f32; chroma.width * chroma.height];
        reduced.par_chunks_mut(chroma.width).enumerate().for_each(|(y, row)| {
            for (x, value) in row.iter_mut().enumerate() {
                *value = mean(&full, (width, height), (x, y), shifts);
            }
        });
        out.set_plane_f32(index, &reduced);
    }
    Ok(())
}

/// Mean of the luma-sized samples around one chroma sample: 1-2-1 around its even column when
/// halved horizontally, plain over its rows.
fn mean(full: &[f32], size: (usize, usize), (x, y): (usize, usize), shifts: (u32, u32)) -> f32 {
    let (width, height) = size;
    let rows = 1usize << shifts.1;
    let mut sum = 0.0;
    for row in 0..rows {
        let start = ((y << shifts.1) + row).min(height - 1) * width;
        let centre = x << shifts.0;
        sum += if shifts.0 == 0 {
            full[start + centre]
        } else {
            let before = full[start + centre.saturating_sub(1)];
            let after = full[start + (centre + 1).min(width - 1)];
            0.25 * (before + after) + 0.5 * full[start + centre]
        };
    }
    sum / rows as f32
}

/// One eye's planes, sampled at luma positions with borders repeated.
struct Eye {
    planes: Vec<Vec<f32>>,
    size: (usize, usize),
    chroma_size: (usize, usize),
    shifts: (u32, u32),
    neutral: f32,
}

impl Eye {
    fn new(frame: &Frame, matrix: &Matrix) -> Self {
        let format = frame.format();
        let count = format.pixels.chroma().planes();
        let chroma = format.plane(count - 1);
        Self {
            planes: (0..count).map(|index| frame.plane_f32(index)).collect(),
            size: (format.width as usize, format.height as usize),
            chroma_size: (chroma.width, chroma.height),
            shifts: format.pixels.chroma().shifts(),
            neutral: matrix.neutral(),
        }
    }

    /// Y, Cb and Cr code values at luma column `x` and row `y`.
    fn sample(&self, x: usize, y: usize) -> [f32; 3] {
        let (x, y) = (x.min(self.size.0 - 1), y.min(self.size.1 - 1));
        let luma = self.planes[0][y * self.size.0 + x];
        if self.planes.len() < 3 {
            return [luma, self.neutral, self.neutral];
        }
        let (cx, cy) = (x >> self.shifts.0, y >> self.shifts.1);
        let i = cy * self.chroma_size.0 + cx;
        // Odd columns lie halfway between two chroma samples.
        let next =
            if x & self.shifts.0 as usize == 1 && cx + 1 < self.chroma_size.0 { i + 1 } else { i };
        let chroma = |plane: &[f32]| 0.5 * (plane[i] + plane[next]);
        [luma, chroma(&self.planes[1]), chroma(&self.planes[2])]
    }
}
