//! Stereo geometry without weights, and the engines that need nothing else.
//!
//! A depth plane becomes a right eye in three steps that share one inverse map: [`Warp::splat`]
//! (forward warp and occlusion mask), [`Warp::fill`] (holes take the background) and
//! [`Warp::frame`] (resampling of every plane). [`ViewSynthesis`] runs them for a frame;
//! [`compose`] packs two eyes into one picture. No codec and no model lives here.

mod anaglyph;
mod blend;
mod continuation;
mod draft;
mod engine;
mod fill;
mod layout;
mod matching;
mod matrix;
mod matte;
mod memory;
mod pack;
mod plane;
mod pull_push;
pub mod reference;
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
pub use draft::{Draft, DraftDepth, Shots};
pub use engine::{
    Clip, Copy, DepthEstimator, DepthSession, ENGINE_NAMES, Engine, Error, Eyes, Fill, Geometry,
    NotFinite, Odd, Reach, Rendering, Retry, Run, Session, Stage, StereoPair, Warping, Watch,
    engine,
};
pub use layout::{Layout, ParseLayoutError, full_chroma_format, output_format, shaped_format};
pub use matching::{Matches, match_eyes};
pub use pack::{compose, compose_as};
pub use plane::Plane;
pub use rgb::Rgb;
pub use splat::Warp;
pub use staging::{Bars, Comfort, ShotReport, Stager, Staging, Stand};
pub use view::{View, ViewSynthesis};
