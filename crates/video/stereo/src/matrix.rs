//! YCbCr matrices: nonlinear R'G'B' in 0..1 from code values and back.

use parallax_frame::{Colour, Range, VideoFormat};

use crate::Error;

/// Conversion for one format. Kr and Kb from ITU-R BT.601, BT.709 and BT.2020, offsets and scales
/// from BT.709 section 4 and H.273 (full range: equation 29 ff.).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix {
    kr: f32,
    kb: f32,
    luma_offset: f32,
    luma_scale: f32,
    chroma_offset: f32,
    chroma_scale: f32,
}

impl Matrix {
    /// The matrix that `format` is tagged with; untagged streams are BT.709 from 720 lines or 1280
    /// columns up and BT.601 below, as players assume.
    pub(crate) fn of(format: &VideoFormat) -> Result<Self, Error> {
        let (kr, kb) = coefficients(&format.colour, format.width, format.height)?;
        let bits = format.pixels.bits();
        let (black, white) = format.colour.luma_limits(bits);
        let chroma_scale = match format.colour.range.unwrap_or_default() {
            Range::Limited => f32::from(224u16 << (bits - 8)),
            Range::Full => f32::from(format.pixels.max_value()),
        };
        Ok(Self {
            kr,
            kb,
            luma_offset: f32::from(black),
            luma_scale: f32::from(white - black),
            chroma_offset: f32::from(128u16 << (bits - 8)),
            chroma_scale,
        })
    }

    /// Code value of colourless chroma.
    pub(crate) fn neutral(&self) -> f32 {
        self.chroma_offset
    }

    /// R'G'B' in 0..1, clipped, from code values.
    pub(crate) fn rgb(&self, y: f32, cb: f32, cr: f32) -> [f32; 3] {
        let y = (y - self.luma_offset) / self.luma_scale;
        let cb = (cb - self.chroma_offset) / self.chroma_scale;
        let cr = (cr - self.chroma_offset) / self.chroma_scale;
        let r = y + 2.0 * (1.0 - self.kr) * cr;
        let b = y + 2.0 * (1.0 - self.kb) * cb;
        let g = (y - self.kr * r - self.kb * b) / (1.0 - self.kr - self.kb);
        [r, g, b].map(|v| v.clamp(0.0, 1.0))
    }

    /// Code values, not yet rounded, from R'G'B' in 0..1.
    pub(crate) fn ycbcr(&self, [r, g, b]: [f32; 3]) -> [f32; 3] {
        let y = self.kr * r + (1.0 - self.kr - self.kb) * g + self.kb * b;
        let cb = (b - y) / (2.0 * (1.0 - self.kb));
        let cr = (r - y) / (2.0 * (1.0 - self.kr));
        [
            self.luma_offset + y * self.luma_scale,
            self.chroma_offset + cb * self.chroma_scale,
            self.chroma_offset + cr * self.chroma_scale,
        ]
    }
}

/// Code values of black and of colourless chroma.
pub(crate) fn neutral_black(format: &VideoFormat) -> (f32, f32) {
    let bits = format.pixels.bits();
    (f32::from(format.colour.luma_limits(bits).0), f32::from(128u16 << (bits - 8)))
}

fn coefficients(colour: &Colour, width: u32, height: u32) -> Result<(f32, f32), Error> {
    const BT601: (f32, f32) = (0.299, 0.114);
    const BT709: (f32, f32) = (0.2126, 0.0722);
    match colour.matrix.as_deref() {
        Some("bt709") => Ok(BT709),
        Some("smpte170m" | "bt470bg") => Ok(BT601),
        Some("smpte240m") => Ok((0.212, 0.087)),
        Some("fcc") => Ok((0.30, 0.11)),
        Some("bt2020nc") => Ok((0.2627, 0.0593)),
        None | Some("unknown" | "unspecified") if width >= 1280 || height >= 720 => Ok(BT709),
        None | Some("unknown" | "unspecified") => Ok(BT601),
        Some(found) => Err(Error::Unsupported(format!(
            "colour matrix {found}: an anaglyph needs bt709, smpte170m, bt470bg, smpte240m, fcc or \
             bt2020nc"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_frame::{Chroma, PixelFormat};

    fn format(matrix: Option<&str>, range: Option<Range>, bits: u8, width: u32) -> VideoFormat {
        VideoFormat {
            width,
            height: 64,
            pixels: PixelFormat::new(Chroma::Yuv444, bits).unwrap(),
            colour: Colour {
                range,
                matrix: matrix.map(str::to_owned),
                primaries: None,
                transfer: None,
            },
        }
    }

    #[test]
    fn published_code_values_of_primaries() {
        // 8-bit limited-range pure red: BT.601 (81, 90, 240), BT.709 (63, 102, 240).
        let cases = [
            (Some("smpte170m"), None, 8, 64, [81.0, 90.0, 240.0]),
            (Some("bt709"), None, 8, 64, [63.0, 102.0, 240.0]),
            (None, None, 8, 64, [81.0, 90.0, 240.0]),
            (None, None, 8, 1280, [63.0, 102.0, 240.0]),
            (Some("bt2020nc"), Some(Range::Full), 10, 64, [269.0, 369.0, 1023.0]),
        ];
        for (matrix, range, bits, width, want) in cases {
            let m = Matrix::of(&format(matrix, range, bits, width)).unwrap();
            let got = m.ycbcr([1.0, 0.0, 0.0]);
            for (g, w) in got.iter().zip(want) {
                assert!((g - w).abs() < 0.95, "{matrix:?}: {got:?} for {want:?}");
            }
            let back = m.rgb(got[0], got[1], got[2]);
            assert!((back[0] - 1.0).abs() + back[1] + back[2] < 1e-4, "{back:?}");
        }
    }

    #[test]
    fn an_unknown_matrix_is_refused_by_name() {
        let error = Matrix::of(&format(Some("ictcp"), None, 8, 64)).unwrap_err();
        assert!(error.to_string().contains("ictcp"), "{error}");
    }
}
