//! How two eyes share one picture, and what format that picture has.

use std::fmt;
use std::str::FromStr;

use parallax_frame::{Chroma, PixelFormat, VideoFormat};

/// A way of packing a stereo pair into one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Layout {
    /// Both eyes at full size, left eye left.
    #[default]
    FullSbs,
    /// Both eyes at half width, left eye left; samples are twice as wide as the source's.
    HalfSbs,
    /// Red from the left eye, green and blue from the right, for red-cyan glasses.
    Anaglyph,
}

impl Layout {
    /// Every layout.
    pub const ALL: [Layout; 3] = [Layout::FullSbs, Layout::HalfSbs, Layout::Anaglyph];

    fn name(self) -> &'static str {
        match self {
            Layout::FullSbs => "full-sbs",
            Layout::HalfSbs => "half-sbs",
            Layout::Anaglyph => "anaglyph",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no [`Layout`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layout {found:?}: allowed are full-sbs, half-sbs and anaglyph")]
pub struct ParseLayoutError {
    found: String,
}

impl FromStr for Layout {
    type Err = ParseLayoutError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|layout| layout.name() == name)
            .ok_or_else(|| ParseLayoutError { found: name.to_owned() })
    }
}

/// The format that [`crate::compose`] produces from eyes of format `input`, and the factor
/// `(num, den)` by which it multiplies the source's sample aspect ratio.
///
/// Each eye of a subsampled format is padded to even sides by repeating its last column and row,
/// because encoders accept nothing else and a seam inside a chroma sample would mix the eyes.
pub fn output_format(layout: Layout, input: &VideoFormat) -> (VideoFormat, (u32, u32)) {
    let mut output = input.clone();
    if layout == Layout::Anaglyph && input.pixels.chroma() == Chroma::Gray {
        // Gray eyes make a coloured anaglyph; 4:2:0 is what every player takes.
        output.pixels = with_chroma(input.pixels, Chroma::Yuv420);
    }
    let (sx, sy) = output.pixels.chroma().shifts();
    let eye_width = match layout {
        Layout::HalfSbs => input.width.div_ceil(2),
        Layout::FullSbs | Layout::Anaglyph => input.width,
    };
    let eye_width = eye_width.next_multiple_of(1 << sx);
    output.height = input.height.next_multiple_of(1 << sy);
    output.width = if layout == Layout::Anaglyph { eye_width } else { 2 * eye_width };
    (output, if layout == Layout::HalfSbs { (2, 1) } else { (1, 1) })
}

fn with_chroma(pixels: PixelFormat, chroma: Chroma) -> PixelFormat {
    // The depth comes from a valid format, so the fallback is never taken.
    PixelFormat::new(chroma, pixels.bits()).unwrap_or(PixelFormat::YUV420P)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_frame::Colour;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for layout in Layout::ALL {
            assert_eq!(layout.to_string().parse(), Ok(layout));
        }
        let error = "sbs".parse::<Layout>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "layout \"sbs\": allowed are full-sbs, half-sbs and anaglyph"
        );
    }

    #[test]
    fn output_sizes_follow_layout_and_subsampling() {
        let cases = [
            (Layout::FullSbs, Chroma::Yuv420, (1280, 720), (2560, 720), (1, 1)),
            (Layout::FullSbs, Chroma::Yuv420, (5, 3), (12, 4), (1, 1)),
            (Layout::FullSbs, Chroma::Yuv422, (5, 3), (12, 3), (1, 1)),
            (Layout::FullSbs, Chroma::Yuv444, (5, 3), (10, 3), (1, 1)),
            (Layout::FullSbs, Chroma::Yuv420, (1, 1), (4, 2), (1, 1)),
            (Layout::HalfSbs, Chroma::Yuv420, (1280, 720), (1280, 720), (2, 1)),
            (Layout::HalfSbs, Chroma::Yuv420, (10, 4), (12, 4), (2, 1)),
            (Layout::HalfSbs, Chroma::Gray, (5, 3), (6, 3), (2, 1)),
            (Layout::Anaglyph, Chroma::Yuv420, (5, 3), (6, 4), (1, 1)),
            (Layout::Anaglyph, Chroma::Yuv444, (5, 3), (5, 3), (1, 1)),
            (Layout::Anaglyph, Chroma::Gray, (5, 3), (6, 4), (1, 1)),
        ];
        for (layout, chroma, (width, height), size, aspect) in cases {
            let pixels = PixelFormat::new(chroma, 8).unwrap();
            let input = VideoFormat { width, height, pixels, colour: Colour::default() };
            let (output, sar) = output_format(layout, &input);
            assert_eq!(((output.width, output.height), sar), (size, aspect), "{layout} {chroma:?}");
        }
    }
}
