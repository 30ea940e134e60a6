//! The memory that conversions with the models will take, planned as the engine plans it.

use std::path::Path;

use parallax_nn::device::{Device, free_bytes};
use parallax_stereocrafter::{DType, Folders, Memory, Precision, Size};
use parallax_weights::Error;
use serde::Serialize;

/// Free memory of GPUs that people have, in GiB.
const USUAL: [u64; 4] = [16, 24, 48, 80];

/// One device's share.
#[derive(Debug, Serialize)]
pub(super) struct Demand {
    pub(super) device: &'static str,
    pub(super) dtype: &'static str,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) free_bytes: u64,
    /// The most that is taken, or why nothing fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peak_bytes: Option<u64>,
    pub(super) plan: String,
}

/// What pictures of `size` take on GPUs of `memory` GiB, or of the usual ones, and on this processor.
pub(super) fn demands(dir: &Path, size: Size, memory: Option<u64>) -> Result<Vec<Demand>, Error> {
    let folders = Folders::within(dir);
    let half = Precision { denoiser: DType::F16, decoder: DType::F16 };
    let of = |device, precision: Precision, frees: &[u64]| {
        let memory = Memory::of(&folders, precision, size)?;
        let demand = |&free: &u64| {
            let plan = memory.plan(free);
            Demand {
                device,
                dtype: precision.denoiser.as_str(),
                width: size.width,
                height: size.height,
                free_bytes: free,
                peak_bytes: plan.as_ref().ok().map(|plan| memory.peak(plan)),
                plan: plan.map_or_else(|short| short.to_string(), |plan| plan.to_string()),
            }
        };
        Ok::<Vec<Demand>, Error>(frees.iter().map(demand).collect())
    };
    let gpus: Vec<u64> = memory.map_or(USUAL.to_vec(), |gib| vec![gib]);
    let gpus: Vec<u64> = gpus.into_iter().map(|gib| gib << 30).collect();
    let mut demands = of("cuda", half, &gpus)?;
    if let Some(free) = memory.map(|gib| gib << 30).or_else(|| free_bytes(&Device::Cpu)) {
        demands.extend(of("cpu", Precision::SINGLE, &[free])?);
    }
    Ok(demands)
}
