//! Stereo geometry without weights, and the engines that need nothing else.

mod engine;

pub use engine::{Clip, Engine, Error, Geometry, Run, Session, StereoPair};
