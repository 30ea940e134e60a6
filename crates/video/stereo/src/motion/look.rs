//! A frame at working size.

use parallax_frame::Frame;

use super::cut;
use super::flow::{Flow, Pyramid};
use super::small::Small;

/// A frame at working size.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) small: Small,
    pub(crate) pyramid: Pyramid,
}

impl Look {
    pub(crate) fn of(frame: &Frame) -> Self {
        let small = Small::of(frame);
        let pyramid = Pyramid::of(&small.luma);
        Self { small, pyramid }
    }

    /// Where the things of this frame are in `other`.
    pub(crate) fn flow_to(&self, other: &Look) -> Flow {
        Flow::between(&self.pyramid, &other.pyramid)
    }

    /// Whether this frame begins another shot than `last`, to which its motion is `flow`, by `margin`
    /// times what it takes.
    pub(crate) fn is_cut_after(&self, last: &Look, flow: &Flow, margin: f32) -> bool {
        cut::is_cut(&self.small.luma, &last.small.luma, flow.mean_error(), margin)
    }
}
