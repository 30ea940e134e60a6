//! From ffmpeg's pixel format names to the planar formats that this project processes.

use parallax_frame::{Chroma, PixelFormat};

/// How the pictures of a stream are handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pixels {
    /// The planar format that comes out of the decoder.
    pub(crate) format: PixelFormat,
    /// What to ask ffmpeg for. The stream's own name where the layout is the same, so that no
    /// conversion takes place (`yuvj420p` asked for as `yuv420p` would be compressed in range).
    pub(crate) ask: String,
    /// The stream is RGB: matrix and range are ours to choose.
    pub(crate) rgb: bool,
    /// The name itself says full range.
    pub(crate) full_range: bool,
}

/// Maps a pixel format name. Formats that are not planar YCbCr of 8, 10 or 12 bits map to the
/// nearest that loses nothing visible: alpha is dropped, 14 and 16 bits become 12, RGB and
/// palettes become 4:4:4, semi-planar and packed layouts become planar.
pub(crate) fn map(name: &str) -> Pixels {
    let bits = bits(name);
    let rgb = is_rgb(name);
    let format = PixelFormat::new(chroma(name, rgb), bits).unwrap_or(PixelFormat::YUV444P);
    let full_range = name.starts_with("yuvj");
    let same_layout = name.replacen("yuvj", "yuv", 1) == format.ffmpeg_name();
    let ask = if same_layout { name.to_owned() } else { format.ffmpeg_name() };
    Pixels { format, ask, rgb, full_range }
}

/// Whether it is luma alone, of more bits than [`map`] keeps.
pub(crate) fn is_deep_grey(name: &str) -> bool {
    ["gray14", "gray16", "grayf"].iter().any(|prefix| name.starts_with(prefix))
}

fn is_rgb(name: &str) -> bool {
    ["rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "bayer", "xyz", "x2rgb", "x2bgr"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn chroma(name: &str, rgb: bool) -> Chroma {
    // What counts as luma only; `gray` also covers `ya8`, `monow` and `monob`.
    if ["gray", "ya8", "ya16", "mono"].iter().any(|prefix| name.starts_with(prefix)) {
        return Chroma::Gray;
    }
    if rgb {
        return Chroma::Yuv444;
    }
    let has = |needles: &[&str]| needles.iter().any(|needle| name.contains(needle));
    if has(&["420", "410", "nv12", "nv21", "p010", "p012", "p016"]) {
        Chroma::Yuv420
    } else if has(&["422", "411", "nv16", "nv20", "p210", "p216", "y210", "y212"]) {
        Chroma::Yuv422
    } else {
        // 4:4:4, 4:4:0 and whatever is new: the format that can hold everything.
        Chroma::Yuv444
    }
}

/// Bits of the format to decode to. Names end in the depth of a sample, except for those whose
/// last number is a layout (`nv12`) or the bits of a whole pixel (`rgb48`).
fn bits(name: &str) -> u8 {
    let stem = name.trim_end_matches("le").trim_end_matches("be");
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| stem.ends_with(suffix));
    if ends(&["nv12", "nv16", "rgb24", "bgr24", "p8"]) {
        8
    } else if ends(&["p9", "p10", "p010", "p210", "p410", "y210", "gray9", "gray10", "nv20"])
        || ends(&["x2rgb10", "x2bgr10", "xv30"])
    {
        10
    } else if ends(&["12", "14", "16", "rgb48", "bgr48", "rgba64", "bgra64", "f32", "xv36"]) {
        12
    } else {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_formats_are_asked_for_by_their_own_name() {
        for name in ["yuv420p", "yuvj420p", "yuv422p10le", "yuv444p12le", "gray", "gray10le"] {
            assert_eq!(map(name).ask, name);
        }
        assert!(map("yuvj422p").full_range);
    }

    #[test]
    fn foreign_formats_map_to_the_nearest_that_holds_them() {
        let cases = [
            ("rgb24", "yuv444p"),
            ("gbrp", "yuv444p"),
            ("gbrp10le", "yuv444p10le"),
            ("gbrp16be", "yuv444p12le"),
            ("rgb48be", "yuv444p12le"),
            ("rgba64le", "yuv444p12le"),
            ("rgb4_byte", "yuv444p"),
            ("rgb444le", "yuv444p"),
            ("x2rgb10le", "yuv444p10le"),
            ("pal8", "yuv444p"),
            ("nv12", "yuv420p"),
            ("nv16", "yuv422p"),
            ("p010le", "yuv420p10le"),
            ("p016le", "yuv420p12le"),
            ("yuyv422", "yuv422p"),
            ("uyvy422", "yuv422p"),
            ("yuv411p", "yuv422p"),
            ("yuv410p", "yuv420p"),
            ("yuv440p", "yuv444p"),
            ("yuva420p", "yuv420p"),
            ("yuva444p10le", "yuv444p10le"),
            ("yuv420p9le", "yuv420p10le"),
            ("yuv420p16le", "yuv420p12le"),
            ("yuv420p10be", "yuv420p10le"),
            ("gray16le", "gray12le"),
            ("ya8", "gray"),
            ("monow", "gray"),
        ];
        for (name, expected) in cases {
            assert_eq!(map(name).ask, expected, "{name}");
            assert_eq!(map(name).format.ffmpeg_name(), expected, "{name}");
        }
    }
}
