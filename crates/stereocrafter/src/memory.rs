//! What a run will take, from the headers of the model folders alone.

use std::path::Path;
use std::process::Command;

use candle_core::{DType, Device};
use parallax_svd::vae;
use parallax_weights::{Checkpoint, Error, Part, config, part_dir};

use crate::engine::{Folders, LONGEST_PX};
use crate::networks::Denoiser;
use crate::plan::{Footprint, Job, Plan, Short};
use crate::size::{Size, nearest_size};

/// What conversions of one size of picture take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// What the networks take.
    pub footprint: Footprint,
    /// What is worked on.
    pub job: Job,
}

impl Memory {
    /// Of the models in `folders` in elements of `dtype`, on pictures of `size`. Reads configurations
    /// and headers, no weights.
    ///
    /// # Errors
    /// As `parallax_weights` has them, for a folder of the wrong network too.
    pub fn of(folders: &Folders, dtype: DType, size: Size) -> Result<Self, Error> {
        let (footprint, downsampling) = footprint(folders, dtype)?;
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

    /// The most that a run under `plan` takes, in bytes.
    pub fn peak(&self, plan: &Plan) -> u64 {
        self.job.peak(plan, &self.footprint)
    }
}

/// What the models take in elements of `dtype`, and the pixels along a side of a latent.
pub(crate) fn footprint(folders: &Folders, dtype: DType) -> Result<(Footprint, usize), Error> {
    let bytes = |root: &Path, part| {
        let checkpoint = Checkpoint::open(&part_dir(root, part)?)?;
        Ok::<_, Error>(checkpoint.plan(dtype).resident_bytes)
    };
    let shared = bytes(&folders.svd, Part::ImageEncoder)? + bytes(&folders.svd, Part::Vae)?;
    let depth = Denoiser::find(&folders.depth, Part::DepthUnet)?;
    let inpainting = Denoiser::find(&folders.inpainting, Part::InpaintingUnet)?;
    let own = [&depth, &inpainting].map(|d| d.checkpoint.plan(dtype).resident_bytes);
    let vae: vae::Config = config(&folders.svd, Part::Vae)?;
    let widest = |d: &Denoiser| d.config.block_out_channels.first().copied();
    let wider = if widest(&depth) > widest(&inpainting) { &depth } else { &inpainting };
    let weights = [shared, own[0], own[1]];
    let footprint = Footprint::of(weights, &wider.config, &vae, dtype.size_in_bytes() as u64);
    Ok((footprint, vae.downsampling()))
}

/// Bytes that are free on `device`, as far as the system tells.
pub fn free_bytes(device: &Device) -> Option<u64> {
    if device.is_cpu() {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        return Some(kib << 10);
    }
    let query = ["--query-gpu=memory.free", "--format=csv,noheader,nounits", "--id=0"];
    let output = Command::new("nvidia-smi").args(query).output().ok()?;
    let mib: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().ok()?;
    Some(mib << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_models_are_planned_for_without_being_read() {
        let folder = tempfile::tempdir().unwrap();
        parallax_tiny_weights::write_hollow(folder.path()).unwrap();
        let folders = Folders::within(folder.path());
        let memory = Memory::of(&folders, DType::F16, Size::new(1920, 1080)).unwrap();
        let Footprint { shared, depth, inpainting, .. } = memory.footprint;
        assert_eq!((shared, depth, inpainting), (1_459_639_294, 3_049_246_164, 3_049_251_924));
        let plan = memory.plan(24 << 30).unwrap();
        assert!(memory.peak(&plan) < 24 << 30);
        let single = Memory::of(&folders, DType::F32, Size::new(1920, 1080)).unwrap();
        assert_eq!(single.footprint.depth, 2 * depth);
        assert!(single.peak(&plan) > memory.peak(&plan));
        let swapped = Folders { depth: folders.inpainting.join("unet_diffusers"), ..folders };
        let error = Memory::of(&swapped, DType::F16, Size::new(64, 64)).unwrap_err().to_string();
        assert!(error.contains("9 input channels"), "{error}");
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(free_bytes(&Device::Cpu).unwrap() > 1 << 20);
    }
}
