//! The other eye out of one eye and its depth.

mod background_plate;
mod blend;
mod boundary_matting;
mod directional_inpaint;
mod edge_halo;
mod forward_warp;
mod occlusion_fill;
mod pull_push;
pub mod reference;
mod renderer;
mod resample;

pub use self::blend::blend;
pub use self::forward_warp::Warp;
pub use self::renderer::{View, ViewSynthesis};
pub(crate) use self::resample::resize;
