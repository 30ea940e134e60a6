//! What a run will take, from the headers of the model folders alone.

use candle_core::DType;
use parallax_svd::{manifest, vae};
use parallax_weights::{Error, config};

use crate::folders::Folders;
use crate::footprint::Footprint;
use crate::networks::{DECODER, Denoiser};
use crate::plan::{Job, Plan, Residency, Short};
use crate::precision::Precision;
use crate::room::Full;
use crate::size::{LONGEST_PX, Size, nearest_size};
use crate::stages::Stages;

/// What conversions of one size of picture take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// What the networks take.
    pub footprint: Footprint,
    /// What is worked on.
    pub job: Job,
}

impl Memory {
    /// Of the models in `folders` under `precision`, on pictures of `size`. Reads configurations and
    /// headers, no weights.
    ///
    /// # Errors
    /// As `parallax_weights` has them, for a folder of the wrong network too.
    pub fn of(folders: &Folders, precision: Precision, size: Size) -> Result<Self, Error> {
        Self::of_stages(folders, Stages::Both, precision, size)
    }

    /// The same where only these stages' models need to be there.
    ///
    /// # Errors
    /// As [`Memory::of`].
    pub fn of_stages(
        folders: &Folders,
        stages: Stages,
        precision: Precision,
        size: Size,
    ) -> Result<Self, Error> {
        let (footprint, downsampling) = footprint(folders, stages, precision)?;
        let job = Job { depth: nearest_size(size, LONGEST_PX), picture: size, downsampling };
        Ok(Self { footprint, job })
    }

    /// The largest plan for `free` bytes.
    ///
    /// # Errors
    /// When none fits.
    pub fn plan(&self, free: u64) -> Result<Plan, Short> {
        self.job.plan(free, &self.footprint)
    }

    /// Which networks can be in memory together under `plan` in `free` bytes.
    ///
    /// # Errors
    /// When it does not fit at all.
    pub fn residency(&self, plan: &Plan, free: u64) -> Result<Residency, Full> {
        self.job.residency(plan, free, &self.footprint)
    }

    /// The most that a run under `plan` takes, in bytes.
    pub fn peak(&self, plan: &Plan) -> u64 {
        self.job.peak(plan, &self.footprint)
    }
}

/// What the models take under `precision`, and the pixels along a side of a latent. A stage that is not
/// wanted counts as the other one, whose network is of the same kind.
pub(crate) fn footprint(
    folders: &Folders,
    stages: Stages,
    precision: Precision,
) -> Result<(Footprint, usize), Error> {
    let open = |part| manifest::open(&folders.svd, part);
    let encoder = open(manifest::IMAGE_ENCODER)?.plan(DType::F32).resident_bytes;
    let autoencoder = open(manifest::VAE)?;
    let decoder = |name: &str| name.starts_with(DECODER);
    let elements = |decoding: bool| -> u64 {
        let entries = autoencoder.entries().iter();
        let chosen = entries.filter(|(name, _)| decoder(name) == decoding);
        chosen.map(|(_, entry)| entry.elements()).sum()
    };
    let size = |dtype: DType| dtype.size_in_bytes() as u64;
    let shared =
        encoder + elements(false) * size(DType::F32) + elements(true) * size(precision.decoder);
    let depth = || Denoiser::find(&folders.depth, manifest::DEPTH_UNET);
    let inpainting = || Denoiser::find(&folders.inpainting, manifest::INPAINTING_UNET);
    let (depth, inpainting) = match stages {
        Stages::Both => (depth()?, inpainting()?),
        Stages::Depth => (depth()?, depth()?),
        Stages::Inpainting => (inpainting()?, inpainting()?),
    };
    let own = [&depth, &inpainting].map(|d| d.checkpoint.plan(precision.denoiser).resident_bytes);
    let vae: vae::Config = config(&folders.svd, manifest::VAE)?;
    let widest = |d: &Denoiser| d.config.block_out_channels.first().copied();
    let wider = if widest(&depth) > widest(&inpainting) { &depth } else { &inpainting };
    let weights = [shared, own[0], own[1]];
    let footprint = Footprint::of(weights, &wider.config, &vae, precision);
    Ok((footprint, vae.downsampling()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_models_are_planned_for_without_being_read() {
        let folder = tempfile::tempdir().unwrap();
        parallax_tiny_weights::write_hollow(folder.path()).unwrap();
        let folders = Folders::within(folder.path());
        let half = Precision { denoiser: DType::F16, decoder: DType::F16 };
        let memory = Memory::of(&folders, half, Size::new(1920, 1080)).unwrap();
        let Footprint { shared, depth, inpainting, .. } = memory.footprint;
        assert_eq!((depth, inpainting), (3_049_246_164, 3_049_251_924));
        // Image encoder and VAE in f32, less half of the decoder.
        let decoder = 63_579_183;
        assert_eq!(shared, 4 * (632_076_800 + 97_742_847) - 2 * decoder);
        let plan = memory.plan(24 << 30).unwrap();
        assert!(memory.peak(&plan) < 24 << 30);
        let single = Memory::of(&folders, Precision::SINGLE, Size::new(1920, 1080)).unwrap();
        assert_eq!(single.footprint.depth, 2 * depth);
        assert!(single.peak(&plan) > memory.peak(&plan));
        let swapped = Folders { depth: folders.inpainting.join("unet_diffusers"), ..folders };
        let error = Memory::of(&swapped, half, Size::new(64, 64)).unwrap_err().to_string();
        assert!(error.contains("9 input channels"), "{error}");
    }
}
