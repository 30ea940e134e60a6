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
    /// Both eyes at full size, left eye above.
    FullTb,
    /// Both eyes at half height, left eye above; samples are twice as high as the source's.
    HalfTb,
    /// Both eyes at full size, right eye left: seen by crossing the eyes.
    CrossEyed,
    /// The right eye alone.
    RightOnly,
    /// The source, and its depth beside it in grey: white is nearest.
    Rgbd,
    /// Red from the left eye, green and blue from the right, for red-cyan glasses.
    Anaglyph,
    /// As [`Layout::Anaglyph`], with the left eye's luma as red: less rivalry, fewer colours.
    AnaglyphHalfColour,
    /// As [`Layout::Anaglyph`], with red from the left eye's green and blue: almost no rivalry.
    AnaglyphOptimised,
    /// Least-squares red-cyan by Dubois, mixed in linear light: least ghosting.
    AnaglyphDubois,
    /// Each eye is the front half of a sphere, equirectangular, side by side, for headsets.
    Vr180,
}

impl Layout {
    /// Every layout.
    pub const ALL: [Layout; 12] = [
        Layout::FullSbs,
        Layout::HalfSbs,
        Layout::FullTb,
        Layout::HalfTb,
        Layout::CrossEyed,
        Layout::RightOnly,
        Layout::Rgbd,
        Layout::Anaglyph,
        Layout::AnaglyphHalfColour,
        Layout::AnaglyphOptimised,
        Layout::AnaglyphDubois,
        Layout::Vr180,
    ];

    fn name(self) -> &'static str {
        match self {
            Layout::FullSbs => "full-sbs",
            Layout::HalfSbs => "half-sbs",
            Layout::FullTb => "full-tb",
            Layout::HalfTb => "half-tb",
            Layout::CrossEyed => "cross-eyed",
            Layout::RightOnly => "right-only",
            Layout::Rgbd => "rgbd",
            Layout::Anaglyph => "anaglyph",
            Layout::AnaglyphHalfColour => "anaglyph-half-colour",
            Layout::AnaglyphOptimised => "anaglyph-optimised",
            Layout::AnaglyphDubois => "anaglyph-dubois",
            Layout::Vr180 => "vr180",
        }
    }

    /// Whether both eyes are mixed into one picture for coloured glasses.
    pub fn is_anaglyph(self) -> bool {
        matches!(
            self,
            Layout::Anaglyph
                | Layout::AnaglyphHalfColour
                | Layout::AnaglyphOptimised
                | Layout::AnaglyphDubois
        )
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no [`Layout`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layout {found:?}: allowed are {}", Layout::ALL.map(Layout::name).join(", "))]
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
    if layout.is_anaglyph() && input.pixels.chroma() == Chroma::Gray {
        // Gray eyes make a coloured anaglyph; 4:2:0 is what every player takes.
        output.pixels = with_chroma(input.pixels, Chroma::Yuv420);
    }
    let (sx, sy) = output.pixels.chroma().shifts();
    let (width, height, aspect) = match layout {
        Layout::HalfSbs => (input.width.div_ceil(2), input.height, (2, 1)),
        Layout::HalfTb => (input.width, input.height.div_ceil(2), (1, 2)),
        Layout::Vr180 => {
            let side = half_sphere_side(input);
            (side, side, (1, 1))
        }
        Layout::FullSbs
        | Layout::FullTb
        | Layout::CrossEyed
        | Layout::RightOnly
        | Layout::Rgbd
        | Layout::Anaglyph
        | Layout::AnaglyphHalfColour
        | Layout::AnaglyphOptimised
        | Layout::AnaglyphDubois => (input.width, input.height, (1, 1)),
    };
    let (width, height) = (width.next_multiple_of(1 << sx), height.next_multiple_of(1 << sy));
    (output.width, output.height) = match layout {
        Layout::FullSbs | Layout::HalfSbs | Layout::CrossEyed | Layout::Rgbd | Layout::Vr180 => {
            (2 * width, height)
        }
        Layout::FullTb | Layout::HalfTb => (width, 2 * height),
        Layout::RightOnly
        | Layout::Anaglyph
        | Layout::AnaglyphHalfColour
        | Layout::AnaglyphOptimised
        | Layout::AnaglyphDubois => (width, height),
    };
    (output, aspect)
}

/// As [`output_format`], with chroma at luma resolution: coloured glasses turn the blur of
/// subsampled chroma into ghosts.
pub fn full_chroma_format(layout: Layout, input: &VideoFormat) -> (VideoFormat, (u32, u32)) {
    let mut input = input.clone();
    input.pixels = with_chroma(input.pixels, Chroma::Yuv444);
    output_format(layout, &input)
}

/// As [`output_format`], for eyes whose samples have the shape `aspect`: gives the sample aspect
/// ratio of the result, reduced. With `full_chroma` an anaglyph has chroma at luma resolution.
///
/// A sphere has square samples, whatever the eyes have: their shape is part of the projection.
pub fn shaped_format(
    layout: Layout,
    input: &VideoFormat,
    aspect: (u32, u32),
    full_chroma: bool,
) -> (VideoFormat, (u32, u32)) {
    if layout == Layout::Vr180 {
        let (num, den) = (u64::from(aspect.0.max(1)), u64::from(aspect.1.max(1)));
        // As wide as square samples would make it; a hostile shape must not make it huge.
        let width = (u64::from(input.width) * num).div_ceil(den);
        let width = width.clamp(1, 4 * u64::from(input.width.max(input.height))) as u32;
        return output_format(layout, &VideoFormat { width, ..input.clone() });
    }
    let full = full_chroma && layout.is_anaglyph();
    let make = if full { full_chroma_format } else { output_format };
    let (format, factor) = make(layout, input);
    let (num, den) = (aspect.0.saturating_mul(factor.0), aspect.1.saturating_mul(factor.1));
    (format, reduced(num, den))
}

fn reduced(num: u32, den: u32) -> (u32, u32) {
    let (mut a, mut b) = (num.max(1), den.max(1));
    while b != 0 {
        (a, b) = (b, a % b);
    }
    (num.max(1) / a, den.max(1) / a)
}

/// Side of one eye of a half sphere: the picture spans 90 of 180 degrees along its longer side,
/// with half as much again for the detail that the middle would lose.
pub(crate) fn half_sphere_side(input: &VideoFormat) -> u32 {
    (input.width.max(input.height) * 3).div_ceil(2).next_multiple_of(2)
}

fn with_chroma(pixels: PixelFormat, chroma: Chroma) -> PixelFormat {
    // The depth comes from a valid format, so the fallback is never taken.
    PixelFormat::new(chroma, pixels.bits()).unwrap_or(PixelFormat::YUV420P)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aspect_ratios_are_reduced_and_a_sphere_has_square_samples() {
        assert_eq!(reduced(4, 2), (2, 1));
        assert_eq!(reduced(64, 45), (64, 45));
        assert_eq!(reduced(0, 3), (1, 3));
        let pixels = PixelFormat::YUV420P;
        let input = VideoFormat { width: 72, height: 48, pixels, colour: Colour::default() };
        let shaped = |layout, aspect| {
            let (format, aspect) = shaped_format(layout, &input, aspect, false);
            (format.width, format.height, aspect)
        };
        assert_eq!(shaped(Layout::HalfSbs, (32, 27)), (72, 48, (64, 27)));
        // 72 samples of 4:3 are 96 square ones; half as much again are 144.
        assert_eq!(shaped(Layout::Vr180, (4, 3)), (288, 144, (1, 1)));
        assert_eq!(shaped(Layout::Vr180, (u32::MAX, 1)).1, 432);
    }
    use parallax_frame::Colour;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for layout in Layout::ALL {
            assert_eq!(layout.to_string().parse(), Ok(layout));
        }
        let error = "sbs".parse::<Layout>().unwrap_err().to_string();
        assert!(error.starts_with("layout \"sbs\": allowed are full-sbs, half-sbs"), "{error}");
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
            (Layout::FullTb, Chroma::Yuv420, (5, 3), (6, 8), (1, 1)),
            (Layout::HalfTb, Chroma::Yuv420, (1280, 720), (1280, 720), (1, 2)),
            (Layout::HalfTb, Chroma::Yuv420, (4, 10), (4, 12), (1, 2)),
            (Layout::CrossEyed, Chroma::Yuv420, (4, 2), (8, 2), (1, 1)),
            (Layout::RightOnly, Chroma::Yuv420, (5, 3), (6, 4), (1, 1)),
            (Layout::Rgbd, Chroma::Yuv444, (5, 3), (10, 3), (1, 1)),
            (Layout::Vr180, Chroma::Yuv420, (1280, 720), (3840, 1920), (1, 1)),
            (Layout::Anaglyph, Chroma::Yuv420, (5, 3), (6, 4), (1, 1)),
            (Layout::Anaglyph, Chroma::Yuv444, (5, 3), (5, 3), (1, 1)),
            (Layout::AnaglyphDubois, Chroma::Gray, (5, 3), (6, 4), (1, 1)),
        ];
        for (layout, chroma, (width, height), size, aspect) in cases {
            let pixels = PixelFormat::new(chroma, 8).unwrap();
            let input = VideoFormat { width, height, pixels, colour: Colour::default() };
            let (output, sar) = output_format(layout, &input);
            assert_eq!(((output.width, output.height), sar), (size, aspect), "{layout} {chroma:?}");
        }
    }
}
