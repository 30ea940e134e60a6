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

/// What is loaded.
#[derive(Debug)]
pub(crate) struct Models {
    svd: PathBuf,
    device: Device,
    precision: Precision,
    shared: Shared,
    depth: Slot,
    inpainting: Slot,
    pub(crate) residency: Residency,
}

#[derive(Debug)]
struct Slot {
    denoiser: Denoiser,
    loaded: Option<Unet>,
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
            depth: find(&folders.depth, manifest::DEPTH_UNET)?,
            inpainting: find(&folders.inpainting, manifest::INPAINTING_UNET)?,
            shared: Shared::open(&folders.svd, device, precision)?,
            device: device.clone(),
            precision,
            residency: Residency::Both,
        })
    }

    /// Bytes of what is loaded.
    pub(crate) fn loaded_bytes(&self, footprint: &Footprint) -> u64 {
        let own = |slot: &Slot, bytes| if slot.loaded.is_some() { bytes } else { 0 };
        footprint.shared
            + own(&self.depth, footprint.depth)
            + own(&self.inpainting, footprint.inpainting)
    }

    /// The networks of a stage in f32, for one piece of work. They are not kept, and what is loaded goes
    /// first and is read again when it is wanted.
    pub(crate) fn wide(&mut self, wanted: Wanted) -> Result<Networks, Error> {
        (self.depth.loaded, self.inpainting.loaded) = (None, None);
        let slot = match wanted {
            Wanted::Depth => &self.depth,
            Wanted::Inpainting => &self.inpainting,
        };
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
        if self.residency == Residency::ByStage {
            other.loaded = None;
        }
        let unet = match &slot.loaded {
            Some(unet) => unet.clone(),
            None => slot.loaded.insert(slot.denoiser.load(&self.device, self.precision)?).clone(),
        };
        Ok(self.shared.with(unet))
    }
}
