//! The engine: frames in, stereo pairs out, by both stages.
//!
//! By default pairs come out while frames still go in: depth is worked in windows, each shot's range of
//! depth is settled by its first window, and inpainting follows chunk by chunk (`live`). The reference
//! normalises depth over the whole clip, so its pairs can only begin at the end; what waits for it lies
//! on disk (`replay`). Either way memory does not grow with the clip.

mod again;
mod failure;
mod flow;
mod live;
mod models;
mod picture;
mod replay;
mod spill;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use candle_core::{DType, Device};
use parallax_stereo::{Clip, Engine, Error, Reach, Rendering, Rgb, Run, Session, Stage, Staging};
use parallax_svd::device::free_bytes;

use crate::depth::{DepthOptions, DepthStage};
use crate::footprint::Footprint;
use crate::inpaint::{InpaintOptions, InpaintStage};
use crate::memory::footprint;
use crate::networks::Networks;
use crate::plan::{Job, Pieces, Plan, Residency, STEP_PX};
use crate::precision::Precision;
use crate::size::{Size, cropped_size, nearest_size, working_size};
use crate::tiles::Tiling;
pub use models::Folders;
use models::{Models, Wanted};

/// The engine's name.
pub const NAME: &str = "stereocrafter";

/// Depth is estimated at no more than this on the longer side, as in the reference.
pub(crate) const LONGEST_PX: usize = 1024;

/// How far back a shot is looked at before a clip that begins in it. All of that is denoised for depth, so
/// it is a compromise: most shots are shorter, and of others the range of depth may differ a little.
const SHOT: Duration = Duration::from_secs(10);

/// Choices of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether to compute what the published pipeline computes, quirks included. Defaults to false.
    pub reference: bool,
    /// Denoising steps of either stage, 1 to 100. Defaults to 8.
    pub steps: usize,
    /// How much is worked on at once, which pixels depend on. Defaults to what suits a GPU of 24 GB.
    pub pieces: Pieces,
    /// Bytes of the device that may be taken at most; no pixel depends on it. Defaults to what is free
    /// when a clip is begun.
    pub memory_limit: Option<u64>,
    /// Type of the denoisers and of decoding, see [`Precision::on`]. Defaults to f32 on the processor and
    /// f16 on a GPU.
    pub dtype: Option<DType>,
}

impl Default for Options {
    fn default() -> Self {
        let pieces = Pieces::default();
        Self { reference: false, steps: 8, pieces, memory_limit: None, dtype: None }
    }
}

impl Options {
    /// Whether an engine with these options takes such a run, whatever the clip.
    ///
    /// # Errors
    /// `Unsupported`, saying what for.
    pub fn check(&self, run: &Run) -> Result<(), Error> {
        run.geometry.validate()?;
        if run.rendering != Rendering::default() {
            return Err(Error::Unsupported(format!(
                "the engine {NAME} draws the right eye and invents what was hidden: other eyes, hole \
                 fills and the layout rgbd are for engines that draw from depth"
            )));
        }
        if self.reference && run.staging != Staging::default() {
            return Err(Error::Unsupported(format!(
                "the engine {NAME} as the reference has a fixed convergence, no limits of parallax and \
                 no bars"
            )));
        }
        Ok(())
    }

    /// [`Engine::reach`] of an engine with these options. The reference knows of nothing but the clip.
    pub fn reach(&self, run: &Run) -> Reach {
        if self.reference {
            return Reach::default();
        }
        // The depth of a frame is settled by the windows that it is in, and decoded with others.
        let DepthOptions { window, codec_chunk, decode_context, .. } = DepthOptions::preferred();
        Reach {
            back: run.reach().back.max(SHOT),
            within_shot: true,
            ahead: window + codec_chunk + decode_context,
        }
    }
}

/// `stereocrafter`: depth, warp and inpainting by diffusion.
#[derive(Debug)]
pub struct StereoCrafter {
    desk: Arc<Desk>,
}

/// What all sessions of an engine share.
#[derive(Debug)]
struct Desk {
    models: Mutex<Models>,
    /// Held while a session computes: they share the device's memory, so one does at a time.
    turn: Mutex<()>,
    footprint: Footprint,
    downsampling: usize,
    precision: Precision,
    device: Device,
    options: Options,
    #[cfg(test)]
    fault: Mutex<Option<Fault>>,
    #[cfg(test)]
    seen: Mutex<Vec<Seen>>,
}

/// Time, depth and range of depth of a frame that was drawn.
#[cfg(test)]
type Seen = (i64, parallax_stereo::Plane, crate::range::Range);

/// Whether a piece of work is told that the device is full.
#[cfg(test)]
type Fault = fn(Stage, Residency) -> bool;

impl Desk {
    /// Waits until no other session computes.
    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn models(&self) -> MutexGuard<'_, Models> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first stage, `wide` in f32 whatever the engine's type.
    fn depth(&self, plan: &Plan, wide: bool) -> candle_core::Result<DepthStage> {
        let networks = self.networks(Stage::Depth, wide)?;
        Ok(DepthStage { networks, options: self.depth_options(plan) })
    }

    /// The second one, likewise.
    fn inpainting(&self, plan: &Plan, wide: bool) -> candle_core::Result<InpaintStage> {
        let networks = self.networks(Stage::Inpaint, wide)?;
        Ok(InpaintStage { networks, options: self.inpaint_options(plan) })
    }

    fn networks(&self, stage: Stage, wide: bool) -> candle_core::Result<Networks> {
        let wanted = if stage == Stage::Depth { Wanted::Depth } else { Wanted::Inpainting };
        let mut models = self.models();
        #[cfg(test)]
        if self.fault.lock().unwrap().is_some_and(|fault| fault(stage, models.residency)) {
            candle_core::bail!("out of memory");
        }
        let networks = if wide { models.wide(wanted) } else { models.get(wanted) };
        networks.map_err(candle_core::Error::wrap)
    }

    /// Bytes that are free now, or would be without this engine's networks, and may be taken.
    fn free(&self) -> u64 {
        let loaded = self.models().loaded_bytes(&self.footprint);
        let free = free_bytes(&self.device).map(|free| free.saturating_add(loaded));
        free.unwrap_or(u64::MAX).min(self.options.memory_limit.unwrap_or(u64::MAX))
    }

    /// How `job` is worked on. What is free decides which networks stay in memory and whether it can
    /// be begun, nothing else.
    fn plan(&self, job: &Job) -> Result<Plan, Error> {
        let free = self.free();
        let mut plan = match &self.options.pieces {
            // The reference's pieces have their sizes.
            _ if self.options.reference => Plan::default(),
            Pieces::Of(plan) => plan.clone(),
            Pieces::For(bytes) => job
                .plan(*bytes, &self.footprint)
                .map_err(|short| Error::Unsupported(short.of_a_plan()))?,
        };
        plan.residency = match job.residency(&plan, free, &self.footprint) {
            Ok(residency) => residency,
            Err(_) if self.options.reference => Residency::ByStage,
            Err(full) => return Err(Error::Failed(full.to_string())),
        };
        self.models().residency = plan.residency;
        tracing::info!(%plan, free_mib = free >> 20, "planned");
        Ok(plan)
    }

    fn depth_options(&self, plan: &Plan) -> DepthOptions {
        let steps = self.options.steps;
        if self.options.reference {
            return DepthOptions { steps, ..DepthOptions::default() };
        }
        DepthOptions {
            steps,
            window: plan.window,
            overlap: plan.window_overlap,
            codec_chunk: plan.decode,
            decode_context: plan.context,
            decode_tiles: plan.decode_tiles,
            ..DepthOptions::preferred()
        }
    }

    fn inpaint_options(&self, plan: &Plan) -> InpaintOptions {
        let steps = self.options.steps;
        if self.options.reference {
            return InpaintOptions { steps, ..InpaintOptions::default() };
        }
        InpaintOptions {
            steps,
            chunk: plan.chunk,
            decode_chunk: plan.decode,
            decode_context: plan.context,
            decode_tiles: plan.decode_tiles,
            step_px: STEP_PX,
            tiling: Tiling { count: plan.tiles, ..Tiling::default() },
            ..InpaintOptions::preferred()
        }
    }
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

    fn reach(&self, run: &Run) -> Reach {
        self.desk.options.reach(run)
    }
}

#[cfg(test)]
mod tests;
