//! Names of tensors in published files.

use candle_nn::VarBuilder;

/// How a file calls its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Depth Anything V1 and V2, Distill Any Depth, as their authors publish them.
    DepthAnything,
    /// Video Depth Anything, as its authors publish it.
    Video,
    /// Depth Anything 3.
    DepthAnything3,
    /// The `DepthAnythingForDepthEstimation` of transformers.
    Transformers,
}

impl Layout {
    /// Whether these are transformers' names.
    pub(crate) fn is_transformers(self) -> bool {
        self == Self::Transformers
    }

    /// The encoder's tensors.
    pub(crate) fn encoder<'a>(self, vb: &VarBuilder<'a>) -> VarBuilder<'a> {
        vb.pp(match self {
            Self::DepthAnything | Self::Video => "pretrained",
            Self::DepthAnything3 => "model.backbone.pretrained",
            Self::Transformers => "backbone",
        })
    }

    /// The head's tensors.
    pub(crate) fn head<'a>(self, vb: &VarBuilder<'a>) -> VarBuilder<'a> {
        match self {
            Self::DepthAnything => vb.pp("depth_head"),
            Self::Video => vb.pp("head"),
            Self::DepthAnything3 => vb.pp("model.head"),
            Self::Transformers => vb.clone(),
        }
    }

    /// Whether the file keeps what training used alone: the token of masked patches, and the first unit of
    /// the deepest fusion.
    pub(crate) fn keeps_unused(self) -> bool {
        self != Self::DepthAnything3
    }
}
