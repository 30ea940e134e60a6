//! Red-cyan anaglyph: red from the left eye, green and blue from the right.
//!
//! The plain channel swap of the reference pipeline, on nonlinear R'G'B' without further matrices,
//! done at luma resolution and brought back to the format's subsampling. It changes no retinal
//! rivalry (half-colour and Dubois do) and keeps the colours people expect of the format.

use parallax_frame::Frame;

use crate::matrix::Matrix;
use crate::rgb::{self, Samples};
use crate::{Error, StereoPair};

/// Writes the anaglyph of `pair` into `out`, which has [`crate::output_format`]'s format.
pub(crate) fn compose(pair: &StereoPair, out: &mut Frame) -> Result<(), Error> {
    let matrix = Matrix::of(pair.left.format())?;
    let left = Samples::new(&pair.left, &matrix);
    let right = Samples::new(&pair.right, &matrix);
    rgb::write(out, &matrix, |x, y| {
        let (l, r) = (left.at(x, y), right.at(x, y));
        let [red, _, _] = matrix.rgb(l[0], l[1], l[2]);
        let [_, green, blue] = matrix.rgb(r[0], r[1], r[2]);
        [red, green, blue]
    });
    Ok(())
}
