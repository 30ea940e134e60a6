//! The engine: frames in, stereo pairs out, by both stages.
//!
//! By default pairs come out while frames still go in: depth is worked in windows, each shot's range of
//! depth is settled by its first window, and inpainting follows chunk by chunk (`live`). The reference
//! normalises depth over the whole clip, so its pairs can only begin at the end; what waits for it lies
//! on disk (`replay`). Either way memory does not grow with the clip.

mod again;
mod desk;
mod failure;
mod flow;
mod live;
mod models;
mod options;
mod picture;
mod replay;
mod spill;

use std::path::Path;
use std::sync::{Arc, Mutex};

use candle_core::Device;
use parallax_stereo::{Capabilities, Clip, Engine, Error, Reach, Rgb, Run, Session};

use self::desk::Desk;
use self::models::Models;
use crate::folders::Folders;
use crate::inpaint::InpaintOptions;
use crate::memory::footprint;
use crate::plan::Job;
use crate::precision::Precision;
use crate::size::{LONGEST_PX, Size, cropped_size, nearest_size, working_size};

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
        let failed =
            |source| parallax_weights::Error::Build { what: "the networks".into(), source };
        let precision = Precision::on(device, options.dtype).map_err(failed)?;
        let models = Models::open(folders, device, precision)?;
        let (footprint, downsampling) = footprint(folders, precision)?;
        let desk = Desk {
            models: Mutex::new(models),
            turn: Mutex::default(),
            footprint,
            downsampling,
            precision,
            device: device.clone(),
            options,
            #[cfg(test)]
            fault: Mutex::default(),
            #[cfg(test)]
            seen: Mutex::default(),
        };
        Ok(Self { desk: Arc::new(desk) })
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
        let rgb = Rgb::of(&clip.format)?;
        let size = Size::new(clip.format.width as usize, clip.format.height as usize);
        let desk = Arc::clone(&self.desk);
        let unsupported = |error: candle_core::Error| Error::Unsupported(error.to_string());
        if desk.options.reference {
            let depth = working_size(size, LONGEST_PX).map_err(unsupported)?;
            let step = InpaintOptions::default().step_px;
            cropped_size(size, step).map_err(unsupported)?;
            let plan = desk.plan(&Job { depth, picture: size, downsampling: desk.downsampling })?;
            return Ok(Box::new(replay::Replay::new(desk, clip, run, rgb, (depth, plan))?));
        }
        let depth = nearest_size(size, LONGEST_PX);
        let job = Job { depth, picture: size, downsampling: desk.downsampling };
        let plan = desk.plan(&job)?;
        Ok(Box::new(live::Live::new(desk, clip, run, rgb, (depth, plan))?))
    }
}

#[cfg(test)]
mod tests;
