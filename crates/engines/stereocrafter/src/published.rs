//! The models that the engine reads, as they are published.

use parallax_engine_spec::Published;
use parallax_svd::manifest;

pub(crate) const SVD: Published = Published::of(manifest::SVD, "Stable Video Diffusion");
pub(crate) const DEPTHCRAFTER: Published = Published::of(manifest::DEPTHCRAFTER, "DepthCrafter");
pub(crate) const STEREOCRAFTER: Published = Published::of(manifest::STEREOCRAFTER, "StereoCrafter");

/// All of them, in the order in which they are fetched.
pub(crate) static ALL: [Published; 3] = [SVD, DEPTHCRAFTER, STEREOCRAFTER];
/// Those of the depth stage.
pub(crate) static DEPTH: [Published; 2] = [SVD, DEPTHCRAFTER];
/// Those of the inpainting stage.
pub(crate) static INPAINTING: [Published; 2] = [SVD, STEREOCRAFTER];
