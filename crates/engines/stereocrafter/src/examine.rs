//! Which model is what, and what is wrong with it: the engine's part of `parallax weights check`.

use std::error::Error as StdError;
use std::path::Path;

use candle_core::{DType, Device};
use parallax_engine_spec::examine::{network, settings, values};
use parallax_engine_spec::{Demand, ModelReport, Network, PartReport, Published, StageMemory};
use parallax_nn::device::free_bytes;
use parallax_svd::{clip, manifest, preprocess, scheduler, unet, vae};
use parallax_weights::{Inventory, Part, config};

use crate::folders::Folders;
use crate::memory::Memory;
use crate::precision::Precision;
use crate::published::{ALL, DEPTHCRAFTER, STEREOCRAFTER, SVD};
use crate::size::Size;

/// Free memory of GPUs that people have, in GiB.
const USUAL: [u64; 4] = [16, 24, 48, 80];

/// Which model a folder of its own holds.
pub(crate) fn recognise(dir: &Path) -> Option<&'static Published> {
    let has = |part: &str| dir.join(part).is_dir();
    if has("image_encoder") || has("vae") {
        // With a denoiser of its own it is the model of `animate`, unless its name says that it is shared.
        let named = dir.file_name().is_some_and(|name| name == SVD.folder());
        let whole = has("image_encoder") && has("unet") && !named;
        return (!whole).then_some(&ALL[0]);
    }
    let unet: unet::Config = config(dir, manifest::INPAINTING_UNET).ok()?;
    Some(if unet.in_channels == 9 { &ALL[2] } else { &ALL[1] })
}

/// The parts of a model.
pub(crate) fn model(model: &Published, folder: &Path, all: bool) -> Vec<PartReport> {
    let mut parts = match model.name {
        name if name == SVD.name => vec![
            settings::<scheduler::Config>("scheduler", folder, manifest::SCHEDULER),
            settings::<preprocess::Config>(
                "feature extractor",
                folder,
                manifest::FEATURE_EXTRACTOR,
            ),
            network(
                "image encoder",
                folder,
                manifest::IMAGE_ENCODER,
                manifest::open,
                |config: clip::Config| Inventory::of(|vb| clip::VisionModel::new(&config, vb)),
            ),
            network("VAE", folder, manifest::VAE, manifest::open, |config: vae::Config| {
                Inventory::of(|vb| vae::TemporalVae::new(&config, vb))
            }),
        ],
        name if name == DEPTHCRAFTER.name => {
            vec![denoiser("depth UNet", folder, manifest::DEPTH_UNET, 8)]
        }
        _ => vec![denoiser("inpainting UNet", folder, manifest::INPAINTING_UNET, 9)],
    };
    if all {
        for part in parts.iter_mut().filter(|part| part.network.is_some()) {
            if let Some(of) = with_values(part.name) {
                values(part, folder, of, manifest::open);
            }
        }
    }
    parts
}

/// The part with weights that a report calls `name`.
fn with_values(name: &str) -> Option<Part> {
    match name {
        "image encoder" => Some(manifest::IMAGE_ENCODER),
        "VAE" => Some(manifest::VAE),
        "depth UNet" => Some(manifest::DEPTH_UNET),
        "inpainting UNet" => Some(manifest::INPAINTING_UNET),
        _ => None,
    }
}

fn denoiser(name: &'static str, folder: &Path, part: Part, in_channels: usize) -> PartReport {
    network(name, folder, part, manifest::open, move |config: unet::Config| {
        // What the stage feeds decides, not what the configuration says.
        let config = unet::Config { in_channels, ..config };
        Inventory::of(|vb| unet::Unet::new(&config, vb))
    })
}

/// Weights that are in memory together: both stages use the image encoder and the VAE.
pub(crate) fn stages(models: &[ModelReport]) -> Vec<StageMemory> {
    let networks = |model: Published| -> Option<Vec<&Network>> {
        let model = models.iter().find(|report| report.name == model.title)?;
        let networks: Vec<_> = model.parts.iter().filter_map(|p| p.network.as_ref()).collect();
        (!networks.is_empty()).then_some(networks)
    };
    let shared = networks(SVD);
    let stage = |name, denoiser| {
        let all = [shared.clone()?, networks(denoiser)?].concat();
        Some(StageMemory {
            name,
            f32_bytes: all.iter().map(|network| network.f32_bytes).sum(),
            f16_bytes: all.iter().map(|network| network.f16_bytes).sum(),
        })
    };
    [stage("the depth stage", DEPTHCRAFTER), stage("the inpainting stage", STEREOCRAFTER)]
        .into_iter()
        .flatten()
        .collect()
}

/// What pictures of a size take on GPUs of `memory` GiB, or of the usual ones, and on this processor,
/// planned as the engine plans it.
pub(crate) fn demands(
    dir: &Path,
    (width, height): (usize, usize),
    memory: Option<u64>,
) -> Result<Vec<Demand>, Box<dyn StdError + Send + Sync>> {
    let folders = Folders::within(dir);
    let half = Precision { denoiser: DType::F16, decoder: DType::F16 };
    let of = |device, precision: Precision, frees: &[u64]| {
        let memory = Memory::of(&folders, precision, Size::new(width, height))?;
        let demand = |&free: &u64| {
            let plan = memory.plan(free);
            Demand {
                device,
                dtype: precision.denoiser.as_str(),
                width,
                height,
                free_bytes: free,
                peak_bytes: plan.as_ref().ok().map(|plan| memory.peak(plan)),
                plan: plan.map_or_else(|short| short.to_string(), |plan| plan.to_string()),
            }
        };
        Ok::<Vec<Demand>, parallax_weights::Error>(frees.iter().map(demand).collect())
    };
    let gpus: Vec<u64> = memory.map_or(USUAL.to_vec(), |gib| vec![gib]);
    let gpus: Vec<u64> = gpus.into_iter().map(|gib| gib << 30).collect();
    let mut demands = of("cuda", half, &gpus)?;
    if let Some(free) = memory.map(|gib| gib << 30).or_else(|| free_bytes(&Device::Cpu)) {
        demands.extend(of("cpu", Precision::SINGLE, &[free])?);
    }
    Ok(demands)
}
