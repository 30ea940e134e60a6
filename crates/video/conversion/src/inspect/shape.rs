//! What the shape of a picture says of the size of the eyes in it.

use parallax_stereo::Layout;

/// Two eyes side by side are at full size where the picture is wider than any film.
pub(super) fn side_by_side(shape: f64) -> Layout {
    if shape >= 2.5 { Layout::FullSbs } else { Layout::HalfSbs }
}

/// Two eyes above each other are at full size where the picture is narrower than most films.
pub(super) fn top_bottom(shape: f64) -> Layout {
    if shape <= 1.25 { Layout::FullTb } else { Layout::HalfTb }
}
