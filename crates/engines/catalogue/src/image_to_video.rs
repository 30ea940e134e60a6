//! Stable Video Diffusion as the server's operation `animate` reads it.

use std::path::Path;

use parallax_engine_spec::examine::{network, settings, values};
use parallax_engine_spec::{
    Commercial, Licence, ModelReport, Needs, PartReport, Published, StageMemory, WeightsSpec,
};
use parallax_svd::{clip, manifest, preprocess, scheduler, unet, vae};
use parallax_weights::{Inventory, Part, config};

/// Commercial use depends on the size of the company.
const LICENCE: Licence = Licence {
    name: "Stability AI Community License",
    commercial: Commercial::Conditional,
    gated: false,
};
/// By the published tensor lists, in half precision.
const BYTES: u64 = 4_510_000_000;

/// The models, the one to begin with first.
static MODELS: [Published; 2] = [
    Published::of(manifest::SVD_XT, "Stable Video Diffusion XT", BYTES, LICENCE),
    Published::of(manifest::SVD_14, "Stable Video Diffusion, 14 frames", BYTES, LICENCE),
];

/// Networks with weights, as reports call them.
const NETWORKS: [(&str, Part); 3] = [
    ("image encoder", manifest::IMAGE_ENCODER),
    ("VAE", manifest::VAE),
    ("video UNet", manifest::VIDEO_UNET),
];
/// Noisy latents and image latents.
const CHANNELS: usize = 8;

/// The models of `animate`.
pub(crate) const WEIGHTS: WeightsSpec = WeightsSpec {
    models: &MODELS,
    needs: Needs::One,
    recognise,
    examine,
    stages,
    demands: |_, _, _| Ok(Vec::new()),
};

/// Which of the models a folder holds: by its name, or by the length of the clips that it was trained for.
fn recognise(dir: &Path) -> Option<&'static Published> {
    let unet: unet::Config = config(dir, manifest::VIDEO_UNET).ok()?;
    if !dir.join("image_encoder").is_dir() || unet.in_channels != CHANNELS {
        return None;
    }
    let named = |model: &&Published| dir.file_name().is_some_and(|name| name == model.folder());
    let shorter = usize::from(unet.num_frames <= 14);
    MODELS.iter().find(named).or(Some(&MODELS[shorter]))
}

fn examine(_: &Published, folder: &Path, all: bool) -> Vec<PartReport> {
    let open = manifest::open;
    let [encoder, autoencoder, denoiser] = NETWORKS;
    let mut parts = vec![
        settings::<scheduler::Config>("scheduler", folder, manifest::SCHEDULER),
        settings::<preprocess::Config>("feature extractor", folder, manifest::FEATURE_EXTRACTOR),
        network(encoder.0, folder, encoder.1, open, |config: clip::Config| {
            Inventory::of(|vb| clip::VisionModel::new(&config, vb))
        }),
        network(autoencoder.0, folder, autoencoder.1, open, |config: vae::Config| {
            Inventory::of(|vb| vae::TemporalVae::new(&config, vb))
        }),
        network(denoiser.0, folder, denoiser.1, open, |config: unet::Config| {
            // What the pipeline feeds decides, not what the configuration says.
            let config = unet::Config { in_channels: CHANNELS, ..config };
            Inventory::of(|vb| unet::Unet::new(&config, vb))
        }),
    ];
    if all {
        for part in parts.iter_mut().filter(|part| part.network.is_some()) {
            if let Some((_, of)) = NETWORKS.iter().find(|(name, _)| *name == part.name) {
                values(part, folder, *of, open);
            }
        }
    }
    parts
}

/// What is in memory at once: all networks of one of the models.
fn stages(models: &[ModelReport]) -> Vec<StageMemory> {
    let of = |model: &ModelReport| {
        let networks = || model.parts.iter().filter_map(|part| part.network.as_ref());
        StageMemory {
            name: "animate",
            f32_bytes: networks().map(|network| network.f32_bytes).sum(),
            f16_bytes: networks().map(|network| network.f16_bytes).sum(),
        }
    };
    models.iter().map(of).max_by_key(|stage| stage.f32_bytes).into_iter().collect()
}
