//! Depth at the frame's size, with its edges where the picture has them.

use parallax_frame::Frame;

use super::options::ChainSteps;
use crate::Plane;
use crate::synthesis::resize;

/// `depth` at the size of `frame`.
pub(super) fn full_size(depth: &Plane, frame: &Frame, _steps: ChainSteps) -> Plane {
    let format = frame.format();
    resize(depth, format.width as usize, format.height as usize)
}
