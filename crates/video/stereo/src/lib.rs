//! Stereo geometry without weights, and the engines that need nothing else.
//!
//! A depth plane becomes a right eye in three steps that share one inverse map: [`Warp::splat`]
//! (forward warp and occlusion mask), [`Warp::fill`] (holes take the background) and
//! [`Warp::frame`] (resampling of every plane). [`ViewSynthesis`] runs them for a frame;
//! [`compose`] packs two eyes into one picture. No codec and no model lives here.

mod anaglyph;
mod blend;
mod continuation;
mod copy;
mod depth;
mod draft;
mod engine;
mod fill;
mod finite;
mod layout;
mod matching;
mod matrix;
mod matte;
mod memory;
mod pack;
mod plane;
mod pull_push;
pub mod reference;
mod registry;
mod resample;
mod rgb;
mod rim;
mod samples;
mod simd;
mod splat;
mod staging;
mod view;
mod vr180;

pub use blend::blend;
pub use copy::Copy;
pub use depth::{DepthEstimator, DepthSession};
pub use draft::{Draft, DraftDepth, Shots};
pub use engine::{
    Clip, Engine, Error, Eyes, Fill, Geometry, Reach, Rendering, Run, Session, Stage, StereoPair,
    Warping, Watch,
};
pub use finite::{NotFinite, Odd, Retry};
pub use layout::{Layout, ParseLayoutError, full_chroma_format, output_format, shaped_format};
pub use matching::{Matches, match_eyes};
pub use pack::{compose, compose_as};
pub use plane::Plane;
pub use registry::{ENGINE_NAMES, engine};
pub use rgb::Rgb;
pub use splat::Warp;
pub use staging::{Bars, Comfort, ShotReport, Stager, Staging, Stand};
pub use view::{View, ViewSynthesis};
