//! What the sessions of one engine share: its networks, the device, the turn to compute.

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::Device;
use parallax_nn::device::free_bytes;
use parallax_stereo::{Error, Stage};

use super::models::{Models, Wanted};
use super::options::Options;
use crate::depth::{DepthOptions, DepthStage};
use crate::folders::Folders;
use crate::footprint::Footprint;
use crate::inpaint::{InpaintOptions, InpaintStage};
use crate::memory::footprint;
use crate::networks::Networks;
use crate::plan::{Job, Pieces, Plan, Residency, STEP_PX};
use crate::precision::Precision;
use crate::tiles::Tiling;

/// What all sessions of an engine share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) models: Mutex<Models>,
    /// Held while a session computes: they share the device's memory, so one does at a time.
    pub(super) turn: Mutex<()>,
    pub(super) footprint: Footprint,
    pub(super) downsampling: usize,
    pub(super) precision: Precision,
    pub(super) device: Device,
    pub(super) options: Options,
    #[cfg(test)]
    pub(super) fault: Mutex<Option<Fault>>,
    #[cfg(test)]
    pub(super) seen: Mutex<Vec<Seen>>,
}

/// Time, depth and range of depth of a frame that was drawn.
#[cfg(test)]
pub(super) type Seen = (i64, parallax_stereo::Plane, crate::range::Range);

/// Whether a piece of work is told that the device is full.
#[cfg(test)]
pub(super) type Fault = fn(Stage, Residency) -> bool;

impl Desk {
    /// Reads what all stages share from `folders` and checks the models of those that are wanted.
    ///
    /// # Errors
    /// As `parallax_weights` has them, naming the file and what was expected in it.
    pub(super) fn open(
        folders: &Folders,
        device: &Device,
        options: Options,
    ) -> Result<Self, parallax_weights::Error> {
        let failed =
            |source| parallax_weights::Error::Build { what: "the networks".into(), source };
        let precision = Precision::on(device, options.dtype).map_err(failed)?;
        let models = Models::open(folders, options.stages, device, precision)?;
        let (footprint, downsampling) = footprint(folders, options.stages, precision)?;
        Ok(Self {
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
        })
    }

    /// Waits until no other session computes.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn models(&self) -> MutexGuard<'_, Models> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first stage, `wide` in f32 whatever the engine's type.
    pub(super) fn depth(&self, plan: &Plan, wide: bool) -> candle_core::Result<DepthStage> {
        let networks = self.networks(Stage::Depth, wide)?;
        Ok(DepthStage { networks, options: self.depth_options(plan) })
    }

    /// The second one, likewise.
    pub(super) fn inpainting(&self, plan: &Plan, wide: bool) -> candle_core::Result<InpaintStage> {
        let networks = self.networks(Stage::Inpaint, wide)?;
        Ok(InpaintStage { networks, options: self.inpaint_options(plan) })
    }

    pub(super) fn networks(&self, stage: Stage, wide: bool) -> candle_core::Result<Networks> {
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
    pub(super) fn free(&self) -> u64 {
        let loaded = self.models().loaded_bytes(&self.footprint);
        let free = free_bytes(&self.device).map(|free| free.saturating_add(loaded));
        free.unwrap_or(u64::MAX).min(self.options.memory_limit.unwrap_or(u64::MAX))
    }

    /// How `job` is worked on. What is free decides which networks stay in memory and whether it can
    /// be begun, nothing else.
    pub(super) fn plan(&self, job: &Job) -> Result<Plan, Error> {
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
            Err(full) => return Err(Error::OutOfMemory(full.to_string())),
        };
        self.models().residency = plan.residency;
        tracing::info!(%plan, free_mib = free >> 20, "planned");
        Ok(plan)
    }

    pub(super) fn depth_options(&self, plan: &Plan) -> DepthOptions {
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

    pub(super) fn inpaint_options(&self, plan: &Plan) -> InpaintOptions {
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
