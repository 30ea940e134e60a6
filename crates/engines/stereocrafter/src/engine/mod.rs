//! The engine: frames in, stereo pairs out, by both stages.
//!
//! By default pairs come out while frames still go in: depth is worked in windows, each shot's range of
//! depth is settled by its first window (`depthcrafter`), and inpainting follows chunk by chunk (`diffusion`). The reference
//! normalises depth over the whole clip, so its pairs can only begin at the end; what waits for it lies
//! on disk (`replay`). Either way memory does not grow with the clip.

mod again;
mod depthcrafter;
mod desk;
mod diffusion;
mod failure;
mod flow;
mod halves;
mod models;
mod options;
mod picture;
mod replay;
mod scene;
mod spill;

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use parallax_stereo::{Capabilities, Clip, Engine, Error, Reach, Rgb, Run, Session, StereoSession};

use self::depthcrafter::DepthCrafter;
use self::desk::Desk;
use self::diffusion::Diffusion;
use self::scene::Scene;
use crate::folders::Folders;
use crate::inpaint::InpaintOptions;
use crate::plan::Job;
use crate::size::{LONGEST_PX, Size, cropped_size, working_size};
use crate::stages::Stages;

pub use self::halves::{DepthHalf, InpaintHalf};
pub use self::options::{NAME, Options};

/// `stereocrafter`: depth, warp and inpainting by diffusion.
#[derive(Debug)]
pub struct StereoCrafter {
    desk: Arc<Desk>,
}

impl StereoCrafter {
    /// Reads what both stages share from `folders` and checks everything else in them.
    ///
    /// # Errors
    /// As `parallax_weights` has them, naming the file and what was expected in it.
    pub fn open(
        folders: &Folders,
        device: &Device,
        options: Options,
    ) -> Result<Self, parallax_weights::Error> {
        let options = Options { stages: Stages::Both, ..options };
        Ok(Self { desk: Arc::new(Desk::open(folders, device, options)?) })
    }

    /// As [`StereoCrafter::open`] for the three folders within `root`.
    ///
    /// # Errors
    /// As [`StereoCrafter::open`].
    pub fn within(
        root: &Path,
        device: &Device,
        options: Options,
    ) -> Result<Self, parallax_weights::Error> {
        Self::open(&Folders::within(root), device, options)
    }
}

impl Capabilities for StereoCrafter {
    fn reach(&self, run: &Run) -> Reach {
        self.desk.options.reach(run)
    }

    fn check(&self, run: &Run) -> Result<(), Error> {
        self.desk.options.check(run)
    }
}

impl Engine for StereoCrafter {
    fn name(&self) -> &'static str {
        NAME
    }

    fn start(&self, clip: &Clip, run: &Run) -> Result<Box<dyn Session>, Error> {
        self.desk.options.check(run)?;
        let desk = Arc::clone(&self.desk);
        if desk.options.reference {
            return Ok(Box::new(reference(desk, clip, run)?));
        }
        let scene = Scene::of(&desk, clip)?;
        let estimator = DepthCrafter::new(Arc::clone(&desk), run, scene.clone());
        let inpainter = Diffusion::new(desk, clip, run, scene)?;
        Ok(Box::new(StereoSession::with(estimator, inpainter, clip, run)?))
    }
}

/// The published order of things.
fn reference(desk: Arc<Desk>, clip: &Clip, run: &Run) -> Result<replay::Replay, Error> {
    let rgb = Rgb::of(&clip.format)?;
    let size = Size::new(clip.format.width as usize, clip.format.height as usize);
    let unsupported = |error: candle_core::Error| Error::Unsupported(error.to_string());
    let depth = working_size(size, LONGEST_PX).map_err(unsupported)?;
    let step = InpaintOptions::default().step_px;
    cropped_size(size, step).map_err(unsupported)?;
    let plan = desk.plan(&Job { depth, picture: size, downsampling: desk.downsampling })?;
    replay::Replay::new(desk, clip, run, rgb, (depth, plan))
}

#[cfg(test)]
mod tests;
