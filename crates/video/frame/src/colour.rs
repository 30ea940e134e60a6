//! How sample values map to light, carried through untouched in ffmpeg's own vocabulary.

/// Which code values are nominal black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Range {
    /// "tv", "mpeg": luma 16-235 of 255. What an untagged stream means.
    #[default]
    Limited,
    /// "pc", "jpeg": luma 0-255.
    Full,
}

/// Colour tags of a stream. `None` is "unspecified" and is written as such.
///
/// Matrix, primaries and transfer are ffmpeg's names (`bt709`, `smpte170m`, `bt2020nc`,
/// `smpte2084`, ...): the project passes them on and interprets only what it must.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Colour {
    /// Nominal range; `None` when the stream does not say.
    pub range: Option<Range>,
    /// YCbCr matrix, ffmpeg `color_space`.
    pub matrix: Option<String>,
    /// Primaries, ffmpeg `color_primaries`.
    pub primaries: Option<String>,
    /// Transfer characteristic, ffmpeg `color_transfer`.
    pub transfer: Option<String>,
}

impl Colour {
    /// The code values of black and of white for luma at `bits` per sample.
    pub fn luma_limits(&self, bits: u8) -> (u16, u16) {
        let shift = bits - 8;
        match self.range.unwrap_or_default() {
            Range::Limited => (16 << shift, 235 << shift),
            Range::Full => (0, ((1u32 << bits) - 1) as u16),
        }
    }
}
