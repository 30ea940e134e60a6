//! How two views share the pictures of a file.

use serde::Serialize;

/// How two views share the pictures of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StereoMode {
    /// Left view in the left half.
    SideBySide,
    /// Right view in the left half, for crossed eyes.
    SideBySideRightFirst,
    /// Left view in the upper half.
    TopBottom,
}

/// What a file's pictures hold beyond a flat view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Declaration {
    /// How two views share a picture; `None` for one view.
    pub stereo: Option<StereoMode>,
    /// Each view is the front half of a sphere, 180 degrees in both directions, equirectangular.
    pub half_sphere: bool,
}

impl StereoMode {
    /// By ffmpeg's name of a packing; `inverted` puts the right view first.
    pub(crate) fn named(packing: &str, inverted: bool) -> Option<Self> {
        match (packing, inverted) {
            ("side by side", false) => Some(Self::SideBySide),
            ("side by side", true) => Some(Self::SideBySideRightFirst),
            ("top and bottom", false) => Some(Self::TopBottom),
            _ => None,
        }
    }

    /// ffmpeg's word for Matroska's StereoMode.
    pub(crate) fn matroska(self) -> &'static str {
        match self {
            StereoMode::SideBySide => "left_right",
            StereoMode::SideBySideRightFirst => "right_left",
            StereoMode::TopBottom => "top_bottom",
        }
    }

    /// `stereo_mode` of `st3d`.
    pub(crate) fn st3d(self) -> u8 {
        match self {
            StereoMode::TopBottom => 1,
            StereoMode::SideBySide => 2,
            StereoMode::SideBySideRightFirst => 4,
        }
    }
}

/// Two views inside one coded picture, declared in the stream itself: H.264 and H.265 "frame
/// packing arrangement", left view first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// Left view in the left half.
    SideBySide,
    /// Left view in the upper half.
    TopBottom,
}

impl Packing {
    /// `frame_packing_arrangement_type` (H.264, table D-1).
    pub(crate) fn arrangement(self) -> u8 {
        match self {
            Packing::SideBySide => 3,
            Packing::TopBottom => 4,
        }
    }
}
