//! `parallax weights check`: which model is what, and every tensor that is not as it should be.
//!
//! Only headers and configurations are read, unless values are asked for, so the check takes no time and no
//! memory, and says before a conversion what loading would say in the middle of one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use parallax_stereocrafter::Size;
use parallax_svd::{clip, manifest, preprocess, scheduler, unet, vae};
use parallax_weights::{Checkpoint, DType, Error, Inventory, Manifest, Part, config};

use super::demand::demands;
use super::folder::folder;
use super::report::{ModelReport, Network, PartReport, Report, Stage};
use crate::cli::CheckArgs;

const SVD: &str = "Stable Video Diffusion";
const DEPTHCRAFTER: &str = "DepthCrafter";
const STEREOCRAFTER: &str = "StereoCrafter";

/// The models, as messages call them.
const MODELS: [(&str, Manifest); 3] = [
    (SVD, manifest::SVD),
    (DEPTHCRAFTER, manifest::DEPTHCRAFTER),
    (STEREOCRAFTER, manifest::STEREOCRAFTER),
];

pub(super) fn main(args: &CheckArgs) -> ExitCode {
    let report = folder(args.dir.as_ref())
        .and_then(|dir| examine(&dir, args.values, (args.size, args.memory)));
    match report {
        Ok(report) => {
            if args.json {
                match serde_json::to_string_pretty(&report) {
                    Ok(text) => println!("{text}"),
                    Err(error) => eprintln!("error: {error}"),
                }
            } else {
                report.print();
            }
            if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Looks at the folder of all models, or of one of them, and plans conversions of pictures of `size`.
fn examine(dir: &Path, values: bool, (size, memory): (Size, Option<u64>)) -> Result<Report> {
    ensure!(dir.is_dir(), "{}: no such folder", dir.display());
    let found = MODELS.iter().any(|(_, manifest)| dir.join(manifest.folder()).is_dir());
    let models: Vec<ModelReport> = if found {
        MODELS
            .iter()
            .map(|(name, manifest)| model(name, dir.join(manifest.folder()), values))
            .collect()
    } else {
        let name = single(dir).with_context(|| {
            let folders: Vec<&str> = MODELS.iter().map(|(_, manifest)| manifest.folder()).collect();
            format!(
                "{}: neither one of the models nor a folder of {}",
                dir.display(),
                folders.join(", ")
            )
        })?;
        vec![model(name, dir.to_owned(), values)]
    };
    let ok = models.iter().flat_map(|model| &model.parts).all(|part| part.problems.is_empty());
    let stages = stages(&models);
    let conversions = if ok && found { demands(dir, size, memory)? } else { Vec::new() };
    Ok(Report { ok, models, stages, conversions })
}

/// Which model a folder of its own holds.
fn single(dir: &Path) -> Option<&'static str> {
    if dir.join("image_encoder").is_dir() || dir.join("vae").is_dir() {
        return Some(SVD);
    }
    let unet: unet::Config = config(dir, manifest::INPAINTING_UNET).ok()?;
    Some(if unet.in_channels == 9 { STEREOCRAFTER } else { DEPTHCRAFTER })
}

fn model(name: &'static str, folder: PathBuf, values: bool) -> ModelReport {
    let mut parts = match name {
        SVD => vec![
            settings::<scheduler::Config>("scheduler", &folder, manifest::SCHEDULER),
            settings::<preprocess::Config>(
                "feature extractor",
                &folder,
                manifest::FEATURE_EXTRACTOR,
            ),
            network("image encoder", &folder, manifest::IMAGE_ENCODER, |config: clip::Config| {
                Inventory::of(|vb| clip::VisionModel::new(&config, vb))
            }),
            network("VAE", &folder, manifest::VAE, |config: vae::Config| {
                Inventory::of(|vb| vae::TemporalVae::new(&config, vb))
            }),
        ],
        DEPTHCRAFTER => vec![denoiser("depth UNet", &folder, manifest::DEPTH_UNET, 8)],
        _ => vec![denoiser("inpainting UNet", &folder, manifest::INPAINTING_UNET, 9)],
    };
    if values {
        for part in parts.iter_mut().filter(|part| part.network.is_some()) {
            let Some(of) = with_values(part.name) else { continue };
            let opened = manifest::open(&folder, of);
            let read = opened.and_then(|weights| weights.check_values(|_| DType::F32));
            part.problems.extend(read.err().map(|error| chain(&error)));
        }
    }
    ModelReport { name, folder, parts }
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
    network(name, folder, part, move |config: unet::Config| {
        // What the stage feeds decides, not what the configuration says.
        let config = unet::Config { in_channels, ..config };
        Inventory::of(|vb| unet::Unet::new(&config, vb))
    })
}

fn settings<T: serde::de::DeserializeOwned>(
    name: &'static str,
    folder: &Path,
    part: Part,
) -> PartReport {
    let problems = config::<T>(folder, part).err().map(|error| chain(&error));
    PartReport { name, network: None, problems: problems.into_iter().collect() }
}

fn network<T: serde::de::DeserializeOwned, E: std::error::Error>(
    name: &'static str,
    folder: &Path,
    part: Part,
    inventory: impl FnOnce(T) -> Result<Inventory, E>,
) -> PartReport {
    let mut problems = Vec::new();
    let mut trouble = |error: &dyn std::error::Error| problems.push(chain(error));
    let inventory = match config::<T>(folder, part) {
        Ok(config) => inventory(config).map_err(|error| trouble(&error)).ok(),
        Err(error) => {
            trouble(&error);
            None
        }
    };
    let checkpoint = manifest::open(folder, part);
    let network = match checkpoint {
        Ok(checkpoint) => {
            if let Some(inventory) = &inventory {
                problems.extend(differences(&checkpoint, name, inventory));
            }
            Some(describe(&checkpoint))
        }
        Err(error) => {
            let text = chain(&error);
            if !problems.contains(&text) {
                problems.push(text);
            }
            None
        }
    };
    PartReport { name, network, problems }
}

/// Every tensor that is missing, too many or of another shape.
fn differences(checkpoint: &Checkpoint, name: &str, inventory: &Inventory) -> Vec<String> {
    let mismatch = match checkpoint.check(name, inventory) {
        Ok(()) => return Vec::new(),
        Err(Error::Mismatch(mismatch)) => mismatch,
        Err(error) => return vec![chain(&error)],
    };
    let shown = |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    let mut problems = vec![format!(
        "{}: expected the {}, found {}",
        mismatch.path.display(),
        mismatch.expected,
        mismatch.found
    )];
    problems.extend(mismatch.missing.iter().map(|name| format!("missing: {name}")));
    problems.extend(mismatch.extra.iter().map(|name| format!("not of this network: {name}")));
    problems.extend(mismatch.misshapen.iter().map(|(name, found, expected)| {
        format!("of another shape: {name} is {} instead of {}", shown(found), shown(expected))
    }));
    problems
}

fn describe(checkpoint: &Checkpoint) -> Network {
    let mut types = BTreeMap::new();
    for entry in checkpoint.entries().values() {
        *types.entry(entry.dtype.as_str().to_owned()).or_insert(0) += 1;
    }
    let plan = checkpoint.plan(DType::F32);
    Network {
        found: checkpoint.describe(),
        files: checkpoint.paths().to_vec(),
        tensors: plan.tensors,
        parameters: plan.parameters,
        types,
        stored_bytes: plan.stored_bytes,
        f32_bytes: plan.resident_bytes,
        f16_bytes: checkpoint.plan(DType::F16).resident_bytes,
    }
}

/// Weights that are in memory together: both stages use the image encoder and the VAE.
fn stages(models: &[ModelReport]) -> Vec<Stage> {
    let networks = |name: &str| -> Option<Vec<&Network>> {
        let model = models.iter().find(|model| model.name == name)?;
        let networks: Vec<_> = model.parts.iter().filter_map(|p| p.network.as_ref()).collect();
        (!networks.is_empty()).then_some(networks)
    };
    let shared = networks(SVD);
    let stage = |name, denoiser| {
        let all = [shared.clone()?, networks(denoiser)?].concat();
        Some(Stage {
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

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder of all models with the small random networks of the golden tests.
    fn small() -> tempfile::TempDir {
        let golden =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/models/svd/tests/golden");
        let dir = tempfile::tempdir().unwrap();
        let copy = |from: PathBuf, to: PathBuf| {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&from, &to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
        };
        let svd = dir.path().join(manifest::SVD.folder());
        for file in [
            "scheduler/scheduler_config.json",
            "image_encoder/config.json",
            "image_encoder/model.fp16.safetensors",
            "vae/config.json",
            "vae/diffusion_pytorch_model.fp16.safetensors",
        ] {
            copy(golden.join("small").join(file), svd.join(file));
        }
        fs::create_dir(svd.join("feature_extractor")).unwrap();
        let normalisation = r#"{"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}"#;
        fs::write(svd.join("feature_extractor/preprocessor_config.json"), normalisation).unwrap();
        let unet = |set: &str, to: PathBuf| {
            let from = golden.join(set).join("unet");
            copy(from.join("config.json"), to.join("config.json"));
            let weights = "diffusion_pytorch_model.fp16.safetensors";
            copy(from.join(weights), to.join("diffusion_pytorch_model.safetensors"));
        };
        unet("small", dir.path().join("DepthCrafter"));
        unet("odd", dir.path().join("StereoCrafter/unet_diffusers"));
        dir
    }

    fn examined(dir: &Path) -> Result<Report> {
        examine(dir, true, (Size::new(640, 360), None))
    }

    #[test]
    fn a_right_folder_is_right_and_its_memory_is_planned() {
        let dir = small();
        let report = examined(dir.path()).unwrap();
        assert!(report.ok, "{report:?}");
        let names: Vec<_> = report.stages.iter().map(|stage| stage.name).collect();
        assert_eq!(names, ["the depth stage", "the inpainting stage"]);
        let networks =
            report.models.iter().flat_map(|m| &m.parts).filter_map(|p| p.network.clone());
        let parameters: u64 = networks.map(|network| network.parameters).sum();
        let shared: u64 = report.models[0]
            .parts
            .iter()
            .filter_map(|part| part.network.as_ref())
            .map(|network| network.parameters)
            .sum();
        let planned: u64 = report.stages.iter().map(|stage| stage.f16_bytes).sum();
        assert_eq!(planned, 2 * (parameters + shared));
        assert!(report.conversions.iter().all(|demand| demand.peak_bytes > Some(planned)));
        for (name, folder) in MODELS.map(|(name, manifest)| (name, manifest.folder())) {
            let report = examined(&dir.path().join(folder)).unwrap();
            assert!(report.ok && report.models[0].name == name, "{report:?}");
        }
    }

    #[test]
    fn swapped_networks_are_told_apart() {
        let dir = small();
        let (depth, inpainting) =
            (dir.path().join("DepthCrafter"), dir.path().join("StereoCrafter/unet_diffusers"));
        for file in ["config.json", "diffusion_pytorch_model.safetensors"] {
            let spare = dir.path().join("spare");
            fs::rename(depth.join(file), &spare).unwrap();
            fs::rename(inpainting.join(file), depth.join(file)).unwrap();
            fs::rename(&spare, inpainting.join(file)).unwrap();
        }
        let report = examined(dir.path()).unwrap();
        assert!(!report.ok);
        let problems = |model: usize| report.models[model].parts[0].problems.join("\n");
        assert!(problems(1).contains("found a spatio-temporal UNet of 9 input channels"));
        assert!(problems(1).contains("of another shape: conv_in.weight is"), "{}", problems(1));
        assert!(problems(2).contains("found a spatio-temporal UNet of 8 input channels"));
    }

    #[test]
    fn values_that_are_no_numbers_are_found_when_they_are_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        parallax_tiny_weights::write(dir.path(), 1).unwrap();
        let damage = |i, old| if i == 7 { f32::NAN } else { old };
        let (file, tensor) = (parallax_tiny_weights::File::Vae, "encoder.conv_in.weight");
        parallax_tiny_weights::rewrite(dir.path(), file, tensor, damage).unwrap();
        let size = (Size::new(640, 360), None);
        assert!(examine(dir.path(), false, size).unwrap().ok);
        let report = examine(dir.path(), true, size).unwrap();
        let problems: Vec<&PartReport> = report
            .models
            .iter()
            .flat_map(|m| &m.parts)
            .filter(|p| !p.problems.is_empty())
            .collect();
        let [vae] = problems.as_slice() else { panic!("{report:?}") };
        assert_eq!(vae.name, "VAE");
        assert!(vae.problems[0].contains("encoder.conv_in.weight (1 NaN of"), "{report:?}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = small();
        fs::remove_file(dir.path().join("DepthCrafter/diffusion_pytorch_model.safetensors"))
            .unwrap();
        let svd = dir.path().join(manifest::SVD.folder());
        fs::write(svd.join("vae/config.json"), "{}").unwrap();
        fs::remove_dir_all(svd.join("scheduler")).unwrap();
        fs::remove_dir_all(dir.path().join("StereoCrafter")).unwrap();
        let report = examined(dir.path()).unwrap();
        let problems: Vec<String> =
            report.models.iter().flat_map(|m| &m.parts).flat_map(|p| p.problems.clone()).collect();
        assert!(!report.ok);
        for text in
            ["no scheduler in", "no weights in", "block_out_channels", "no StereoCrafter UNet in"]
        {
            let hits = problems.iter().filter(|problem| problem.contains(text)).count();
            assert_eq!(hits, 1, "{text}: {problems:#?}");
        }
        let nothing = tempfile::tempdir().unwrap();
        assert!(examined(nothing.path()).unwrap_err().to_string().contains("neither"));
        assert!(examined(&nothing.path().join("x")).unwrap_err().to_string().contains("no such"));
    }

    #[test]
    fn conversions_with_the_published_models_are_planned_unread() {
        let dir = tempfile::tempdir().unwrap();
        parallax_tiny_weights::write_hollow(dir.path()).unwrap();
        let (size, gib) = (Size::new(1920, 1080), 1u64 << 30);
        let report = examine(dir.path(), false, (size, Some(24))).unwrap();
        assert!(report.ok, "{report:?}");
        let [gpu, cpu] = report.conversions.as_slice() else { panic!("{report:?}") };
        assert_eq!((gpu.device, gpu.dtype, cpu.device, cpu.dtype), ("cuda", "f16", "cpu", "f32"));
        assert!((4 * gib..24 * gib).contains(&gpu.peak_bytes.unwrap()), "{gpu:?}");
        assert!(gpu.plan.contains("one stage in memory at a time"), "{gpu:?}");
        let none = examine(dir.path(), false, (size, Some(3))).unwrap();
        assert!(none.ok && none.conversions[0].peak_bytes.is_none());
        assert!(none.conversions[0].plan.contains("too little memory"), "{none:?}");
    }
}
