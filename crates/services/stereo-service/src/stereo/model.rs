//! The stereo engine among the models.

use std::sync::Arc;

use parallax_stereo::Engine;

/// The model that `stereo` asks the pool for.
pub const STEREO_MODEL: &str = "stereo";

/// A stereo engine as a model of the pool.
#[derive(Debug, Clone)]
pub struct StereoModel(pub Arc<dyn Engine>);
