//! How a film moves: working pictures, block motion between them, the camera's share of it, and cuts.
//!
//! Everything here sees a picture of at most 320 samples a side, so that its cost does not grow with
//! the film. What is made of motion is others' business.

mod camera;
mod cut;
mod field;
mod flow;
mod look;
mod shots;
mod small;

pub(crate) use self::field::{Explained, Field, centre, explained, spread, step};
pub(crate) use self::flow::{Flow, Pyramid};
pub(crate) use self::look::Look;
pub use self::shots::Shots;
pub(crate) use self::small::Small;
