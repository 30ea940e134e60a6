//! A small ray caster: textured scenes with a moving camera, their true depth and true right eye.
//!
//! Everything is matte and a function of its place in the world, so both eyes see the same colour
//! at the same point: what differs between them is geometry alone. Depth is given the way engines
//! give it, as normalised inverse distance, so that a warp by it must reproduce the right eye.

mod camera;
mod film;
mod scenes;
mod shapes;
mod texture;
mod vec3;

pub use camera::{Eye, Stereo};
pub use film::{Camera, Film, View};
pub use scenes::Scene;
