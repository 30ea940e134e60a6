//! Feed-forward depth for any film: the networks of the Depth Anything family, steadied over time.
//!
//! `depth-anything` sees every frame by itself, `video-depth-anything` sees windows of frames of a shot.
//! Both give relative inverse depth; [`parallax_stereo::SteadyDepth`] makes disparity of it, and the warp
//! fills what it uncovers.

mod engine;
mod examine;
mod failure;
mod family;
mod input;
mod options;
mod published;
mod selection;
mod single;
mod spec;
mod video;

pub use engine::DepthAnything;
pub use family::Family;
pub use options::Options;
pub use spec::{DEPTH_SPEC, SPEC, VIDEO_DEPTH_SPEC, VIDEO_SPEC};
