//! The networks of both stages, as many of them in memory as there is room for.

use std::path::{Path, PathBuf};

use candle_core::Device;
use parallax_svd::manifest;
use parallax_svd::unet::Unet;
use parallax_weights::Error;

use crate::folders::Folders;
use crate::footprint::Footprint;
use crate::networks::{Denoiser, Networks, Shared};
use crate::plan::Residency;
use crate::precision::Precision;
use crate::stages::Stages;

/// What is loaded.
#[derive(Debug)]
pub(crate) struct Models {
    svd: PathBuf,
    device: Device,
    precision: Precision,
    shared: Shared,
    depth: Option<Slot>,
    inpainting: Option<Slot>,
    pub(crate) residency: Residency,
}

#[derive(Debug)]
struct Slot {
    denoiser: Denoiser,
    loaded: Option<Unet>,
}

/// No session of an engine asks for a stage that it was opened without.
fn not_wanted() -> Error {
    let source = candle_core::Error::Msg("the engine was opened without this stage".to_owned());
    Error::Build { what: "the networks".to_owned(), source }
}

/// The two stages that have a denoiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Depth,
    Inpainting,
}

impl Models {
    /// Read what both stages share and check the denoisers, which are read when they are wanted. Their
    /// values are looked at now: the second stage's turn may come hours later.
    pub(crate) fn open(
        folders: &Folders,
        stages: Stages,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        let find = |root: &Path, part| {
            let denoiser = Denoiser::find(root, part)?;
            denoiser.check_values(precision)?;
            Ok::<_, Error>(Slot { denoiser, loaded: None })
        };
        Ok(Self {
            svd: folders.svd.clone(),
            depth: stages
                .depth()
                .then(|| find(&folders.depth, manifest::DEPTH_UNET))
                .transpose()?,
            inpainting: stages
                .inpainting()
                .then(|| find(&folders.inpainting, manifest::INPAINTING_UNET))
                .transpose()?,
            shared: Shared::open(&folders.svd, device, precision)?,
            device: device.clone(),
            precision,
            residency: Residency::Both,
        })
    }

    /// Bytes of what is loaded.
    pub(crate) fn loaded_bytes(&self, footprint: &Footprint) -> u64 {
        let is_loaded = |slot: &Option<Slot>| slot.as_ref().is_some_and(|s| s.loaded.is_some());
        let own = |slot: &Option<Slot>, bytes| if is_loaded(slot) { bytes } else { 0 };
        footprint.shared
            + own(&self.depth, footprint.depth)
            + own(&self.inpainting, footprint.inpainting)
    }

    /// The networks of a stage in f32, for one piece of work. They are not kept, and what is loaded goes
    /// first and is read again when it is wanted.
    pub(crate) fn wide(&mut self, wanted: Wanted) -> Result<Networks, Error> {
        self.depth.iter_mut().chain(&mut self.inpainting).for_each(|slot| slot.loaded = None);
        let slot = match wanted {
            Wanted::Depth => &self.depth,
            Wanted::Inpainting => &self.inpainting,
        };
        let slot = slot.as_ref().ok_or_else(not_wanted)?;
        let unet = slot.denoiser.load(&self.device, Precision::SINGLE)?;
        Ok(self.shared.wide(&self.svd, &self.device)?.with(unet))
    }

    /// Makes room by keeping one stage's networks at a time; `false` where that is so already.
    pub(crate) fn make_room(&mut self) -> bool {
        let made = self.residency == Residency::Both;
        self.residency = Residency::ByStage;
        made
    }

    /// The networks of a stage. Where only one stage fits, the other's denoiser goes first.
    pub(crate) fn get(&mut self, wanted: Wanted) -> Result<Networks, Error> {
        let (slot, other) = match wanted {
            Wanted::Depth => (&mut self.depth, &mut self.inpainting),
            Wanted::Inpainting => (&mut self.inpainting, &mut self.depth),
        };
        if let (Residency::ByStage, Some(other)) = (self.residency, other) {
            other.loaded = None;
        }
        let slot = slot.as_mut().ok_or_else(not_wanted)?;
        let unet = match &slot.loaded {
            Some(unet) => unet.clone(),
            None => slot.loaded.insert(slot.denoiser.load(&self.device, self.precision)?).clone(),
        };
        Ok(self.shared.with(unet))
    }
}
