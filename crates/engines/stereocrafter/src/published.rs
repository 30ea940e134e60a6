//! The models that the engine reads, as they are published.

use parallax_engine_spec::{Commercial, Licence, Published};
use parallax_svd::manifest;

use crate::stages::Stages;

/// Sizes follow from the published tensor lists in half precision.
pub(crate) const SVD: Published =
    Published::of(manifest::SVD, "Stable Video Diffusion", 1_460_000_000, STABILITY);
pub(crate) const DEPTHCRAFTER: Published =
    Published::of(manifest::DEPTHCRAFTER, "DepthCrafter", 3_050_000_000, ACADEMIC);
pub(crate) const STEREOCRAFTER: Published =
    Published::of(manifest::STEREOCRAFTER, "StereoCrafter", 3_050_000_000, ACADEMIC);

/// Commercial use depends on the size of the company, and the licence is accepted on the model's page.
const STABILITY: Licence = Licence {
    name: "Stability AI Community License",
    commercial: Commercial::Conditional,
    gated: true,
};
/// Both of Tencent's licences cover code and weights alike.
const ACADEMIC: Licence = Licence {
    name: "academic, research and education use only",
    commercial: Commercial::Forbidden,
    gated: false,
};

/// All of them, in the order in which they are fetched.
pub(crate) static ALL: [Published; 3] = [SVD, DEPTHCRAFTER, STEREOCRAFTER];
/// Those of the depth stage.
pub(crate) static DEPTH: [Published; 2] = [SVD, DEPTHCRAFTER];
/// Those of the inpainting stage.
pub(crate) static INPAINTING: [Published; 2] = [SVD, STEREOCRAFTER];

/// Those that these stages read.
pub(crate) fn of(stages: Stages) -> &'static [Published] {
    match stages {
        Stages::Both => &ALL,
        Stages::Depth => &DEPTH,
        Stages::Inpainting => &INPAINTING,
    }
}
