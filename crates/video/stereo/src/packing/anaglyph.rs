//! Red-cyan anaglyphs, mixed at luma resolution and brought back to the output's subsampling.
//!
//! The plain one is the channel swap of the reference pipeline, on nonlinear R'G'B': it changes no
//! retinal rivalry and keeps the colours people expect of the format. Half-colour and optimised
//! trade colours for comfort, on nonlinear values too. Dubois' least-squares projection ("A
//! projection method to generate anaglyph stereo images", 2001) is defined in linear light.

use parallax_frame::Frame;

use crate::matrix::Matrix;
use crate::rgb::{self, Samples};
use crate::{Error, Layout, StereoPair};

/// Rows give red, green and blue of the result from linear R, G and B of the left eye.
const DUBOIS_LEFT: [[f32; 3]; 3] =
    [[0.437, 0.449, 0.164], [-0.062, -0.062, -0.024], [-0.048, -0.050, -0.017]];
/// The same for the right eye.
const DUBOIS_RIGHT: [[f32; 3]; 3] =
    [[-0.011, -0.032, -0.007], [0.377, 0.761, 0.009], [-0.026, -0.093, 1.234]];

/// R'G'B' of an anaglyph from R'G'B' of both eyes, each 0 to 1.
fn mix(layout: Layout, l: [f32; 3], r: [f32; 3]) -> [f32; 3] {
    match layout {
        Layout::AnaglyphHalfColour => [0.299 * l[0] + 0.587 * l[1] + 0.114 * l[2], r[1], r[2]],
        Layout::AnaglyphOptimised => [0.7 * l[1] + 0.3 * l[2], r[1], r[2]],
        Layout::AnaglyphDubois => {
            let (l, r) = (l.map(to_linear), r.map(to_linear));
            let dot = |row: [f32; 3], v: [f32; 3]| {
                (row[0] * v[0] + row[1] * v[1] + row[2] * v[2]).clamp(0.0, 1.0)
            };
            std::array::from_fn(|c| {
                let light = dot(DUBOIS_LEFT[c], l) + dot(DUBOIS_RIGHT[c], r);
                from_linear(light.clamp(0.0, 1.0))
            })
        }
        _ => [l[0], r[1], r[2]],
    }
}

/// IEC 61966-2-1, the display that Dubois measured.
fn to_linear(v: f32) -> f32 {
    if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
}

fn from_linear(v: f32) -> f32 {
    if v <= 0.003_130_8 { v * 12.92 } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 }
}

/// Writes the anaglyph of `pair` into `out`, which has the format that its layout demands.
pub(crate) fn compose(pair: &StereoPair, layout: Layout, out: &mut Frame) -> Result<(), Error> {
    let transfer = pair.left.format().colour.transfer.as_deref();
    if let (Layout::AnaglyphDubois, Some(hdr @ ("smpte2084" | "arib-std-b67"))) = (layout, transfer)
    {
        return Err(Error::Unsupported(format!(
            "transfer {hdr}: a Dubois anaglyph is defined for standard dynamic range; allowed are \
             anaglyph, anaglyph-half-colour and anaglyph-optimised"
        )));
    }
    let matrix = Matrix::of(pair.left.format())?;
    let left = Samples::new(&pair.left, &matrix);
    let right = Samples::new(&pair.right, &matrix);
    rgb::write(out, &matrix, |x, y| {
        let (l, r) = (left.at(x, y), right.at(x, y));
        mix(layout, matrix.rgb(l[0], l[1], l[2]), matrix.rgb(r[0], r[1], r[2]))
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_mixes_of_known_colours() {
        let (red, white, black) = ([1.0, 0.0, 0.0], [1.0; 3], [0.0; 3]);
        let cases = [
            (Layout::Anaglyph, red, white, [1.0, 1.0, 1.0]),
            (Layout::AnaglyphHalfColour, red, white, [0.299, 1.0, 1.0]),
            (Layout::AnaglyphOptimised, red, white, [0.0, 1.0, 1.0]),
            // 0.437 and 0.377, 0.0 and 0.0 of linear light, by sRGB's curve.
            (Layout::AnaglyphDubois, red, black, [0.692_2, 0.0, 0.0]),
            (Layout::AnaglyphDubois, black, red, [0.0, 0.647_6, 0.0]),
        ];
        for (layout, l, r, want) in cases {
            let got = mix(layout, l, r);
            for (g, w) in got.iter().zip(want) {
                assert!((g - w).abs() < 1e-3, "{layout}: {got:?} for {want:?}");
            }
        }
    }
}
