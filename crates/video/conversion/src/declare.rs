//! What each layout tells players: in the stream, in MP4's boxes and in Matroska's track entry.

use parallax_media::{Declaration, Packing, StereoMode};
use parallax_stereo::Layout;

/// The frame packing that the stream itself declares. Crossed views have none: the usual encoders
/// write "left view first" only.
pub(crate) fn packing(layout: Layout) -> Option<Packing> {
    match layout {
        Layout::FullSbs | Layout::HalfSbs | Layout::Vr180 => Some(Packing::SideBySide),
        Layout::FullTb | Layout::HalfTb => Some(Packing::TopBottom),
        Layout::CrossEyed
        | Layout::RightOnly
        | Layout::Rgbd
        | Layout::Anaglyph
        | Layout::AnaglyphHalfColour
        | Layout::AnaglyphOptimised
        | Layout::AnaglyphDubois => None,
    }
}

/// What the container declares.
pub fn declaration(layout: Layout) -> Declaration {
    let stereo = match layout {
        Layout::FullSbs | Layout::HalfSbs | Layout::Vr180 => Some(StereoMode::SideBySide),
        Layout::FullTb | Layout::HalfTb => Some(StereoMode::TopBottom),
        Layout::CrossEyed => Some(StereoMode::SideBySideRightFirst),
        // One picture as far as a player is concerned. Matroska has a mode for anaglyphs, which
        // ffmpeg does not write and players do not need.
        Layout::RightOnly
        | Layout::Rgbd
        | Layout::Anaglyph
        | Layout::AnaglyphHalfColour
        | Layout::AnaglyphOptimised
        | Layout::AnaglyphDubois => None,
    };
    Declaration { stereo, half_sphere: layout == Layout::Vr180 }
}
