//! Either stage by itself, for pairs with others.

use std::sync::Arc;

use candle_core::Device;
use parallax_stereo::{
    Capabilities, Clip, DepthEstimator, DepthModel, Error, InpaintModel, Inpainter, Reach, Run,
};

use super::depthcrafter::DepthCrafter;
use super::desk::Desk;
use super::diffusion::Diffusion;
use super::options::Options;
use super::scene::Scene;
use crate::folders::Folders;
use crate::stages::Stages;

/// DepthCrafter alone: depth for any inpainter.
#[derive(Debug)]
pub struct DepthHalf {
    desk: Arc<Desk>,
}

impl DepthHalf {
    /// Reads what `options` ask for from `folders`, as the whole engine does, without StereoCrafter's model.
    ///
    /// # Errors
    /// As `parallax_weights` has them, naming the file and what was expected in it.
    pub fn open(
        folders: &Folders,
        device: &Device,
        options: Options,
    ) -> Result<Self, parallax_weights::Error> {
        let options = Options { stages: Stages::Depth, ..options };
        Ok(Self { desk: Arc::new(Desk::open(folders, device, options)?) })
    }
}

impl Capabilities for DepthHalf {
    fn reach(&self, run: &Run) -> Reach {
        self.desk.options.reach(run)
    }

    fn check(&self, run: &Run) -> Result<(), Error> {
        self.desk.options.check(run)
    }
}

impl DepthModel for DepthHalf {
    fn estimator(&self, clip: &Clip, run: &Run) -> Result<Box<dyn DepthEstimator>, Error> {
        let scene = Scene::of(&self.desk, clip)?;
        Ok(Box::new(DepthCrafter::new(Arc::clone(&self.desk), run, scene)))
    }
}

/// StereoCrafter's second stage alone: what was hidden, for any depth.
#[derive(Debug)]
pub struct InpaintHalf {
    desk: Arc<Desk>,
}

impl InpaintHalf {
    /// Reads what `options` ask for from `folders`, as the whole engine does, without DepthCrafter's model.
    ///
    /// # Errors
    /// As `parallax_weights` has them, naming the file and what was expected in it.
    pub fn open(
        folders: &Folders,
        device: &Device,
        options: Options,
    ) -> Result<Self, parallax_weights::Error> {
        let options = Options { stages: Stages::Inpainting, ..options };
        Ok(Self { desk: Arc::new(Desk::open(folders, device, options)?) })
    }
}

impl Capabilities for InpaintHalf {
    fn reach(&self, run: &Run) -> Reach {
        self.desk.options.reach(run)
    }

    fn check(&self, run: &Run) -> Result<(), Error> {
        self.desk.options.check(run)
    }
}

impl InpaintModel for InpaintHalf {
    fn inpainter(&self, clip: &Clip, run: &Run) -> Result<Box<dyn Inpainter>, Error> {
        self.check(run)?;
        let scene = Scene::of(&self.desk, clip)?;
        Ok(Box::new(Diffusion::new(Arc::clone(&self.desk), clip, run, scene)?))
    }
}
