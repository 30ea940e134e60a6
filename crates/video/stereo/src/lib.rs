//! Stereo geometry without weights, and the engines that need nothing else.
//!
//! A depth plane becomes a right eye in three steps that share one inverse map: [`Warp::splat`]
//! (forward warp and occlusion mask), what a [`Fill`] names (holes take the background) and
//! [`Warp::frame`] (resampling of every plane). [`ViewSynthesis`] runs them for a frame;
//! [`compose`] packs two eyes into one picture. No codec and no model lives here.

mod disparity;
mod draft;
mod engine;
mod matching;
mod matrix;
mod motion;
mod packing;
mod plane;
mod rgb;
mod samples;
mod shot;
mod simd;
mod synthesis;

pub use disparity::{ChainOptions, ChainSteps, InverseDepth, SteadyDepth};
pub use draft::{Draft, DraftDepth};
pub use engine::{
    Capabilities, Clip, Combined, Copy, DepthEstimator, DepthModel, DepthSession, Engine, Error,
    Eyes, Fill, Geometry, InpaintModel, Inpainter, NotFinite, Odd, Placed, Reach, Rendering, Retry,
    Run, Session, Stage, StereoPair, StereoSession, WarpFill, WarpFills, Warping, Watch,
};
pub use matching::{Matches, match_eyes};
pub use motion::Shots;
pub use packing::{
    Layout, ParseLayoutError, compose, compose_as, full_chroma_format, output_format, shaped_format,
};
pub use plane::Plane;
pub use rgb::Rgb;
pub use shot::{Bars, Comfort, ShotReport, Stager, Staging, Stand};
pub use synthesis::{View, ViewSynthesis, Warp, blend, reference};
