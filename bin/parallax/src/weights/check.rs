//! `parallax weights check`: which model is what, and every tensor that is not as it should be.
//!
//! Only headers and configurations are read, unless values are asked for, so the check takes no time and no
//! memory, and says before a conversion what loading would say in the middle of one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use parallax_catalogue::{models, weights};
use parallax_engine_spec::{ModelReport, Needs, Published, WeightsSpec};

use super::folder::folder;
use super::report::Report;
use crate::cli::CheckArgs;

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
fn examine(
    dir: &Path,
    values: bool,
    (size, memory): ((usize, usize), Option<u64>),
) -> Result<Report> {
    ensure!(dir.is_dir(), "{}: no such folder", dir.display());
    let of_one = |weights: &WeightsSpec, model: &Published, folder: PathBuf| ModelReport {
        name: model.title,
        parts: (weights.examine)(model, &folder, values),
        folder,
    };
    let mut report = Report { ok: true, ..Report::default() };
    let mut found = false;
    for weights in weights() {
        let wanted = wanted(weights, dir).into_iter();
        let models: Vec<ModelReport> =
            wanted.map(|model| of_one(weights, model, dir.join(model.folder()))).collect();
        if models.is_empty() {
            continue;
        }
        found = true;
        report.stages.extend((weights.stages)(&models));
        if sound(&models) {
            let demands = (weights.demands)(dir, size, memory).map_err(|error| anyhow!(error))?;
            report.conversions.extend(demands);
        }
        report.models.extend(models);
    }
    if !found {
        let single = |weights: &'static WeightsSpec| Some((weights, (weights.recognise)(dir)?));
        let (weights, model) = weights().find_map(single).with_context(|| {
            let folders: Vec<&str> = models().into_iter().map(Published::folder).collect();
            let folders = folders.join(", ");
            format!("{}: neither one of the models nor a folder of {folders}", dir.display())
        })?;
        report.models.push(of_one(weights, model, dir.to_owned()));
        report.stages = (weights.stages)(&report.models);
    }
    let lock = std::env::var_os("WEIGHTS_LOCK").filter(|lock| !lock.is_empty()).map(PathBuf::from);
    report.unlike = parallax_hub::unlike_the_lock(dir, lock.as_deref(), values)?;
    report.ok = sound(&report.models) && report.unlike.is_empty();
    if !report.ok {
        report.conversions.clear();
    }
    Ok(report)
}

/// The models of an engine that should be in `dir`: all of them once one of them is there that is nothing without
/// the others, and otherwise those that are there.
fn wanted<'a>(weights: &'a WeightsSpec, dir: &Path) -> Vec<&'a Published> {
    let there = |model: &&Published| dir.join(model.folder()).is_dir();
    match weights.needs {
        Needs::All if weights.models.iter().any(|model| there(&model)) => {
            weights.models.iter().collect()
        }
        Needs::All => Vec::new(),
        Needs::One => weights.models.iter().filter(there).collect(),
    }
}

fn sound(models: &[ModelReport]) -> bool {
    models.iter().flat_map(|model| &model.parts).all(|part| part.problems.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use parallax_catalogue::by_name;
    use parallax_engine_spec::PartReport;

    use super::*;

    const SVD: &str = "stable-video-diffusion-img2vid-xt-1-1";

    /// A folder of all models with the small random networks of the golden tests.
    fn small() -> tempfile::TempDir {
        let golden =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/models/svd/tests/golden");
        let dir = tempfile::tempdir().unwrap();
        let copy = |from: PathBuf, to: PathBuf| {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&from, &to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
        };
        let svd = dir.path().join(SVD);
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
        examine(dir, true, ((640, 360), None))
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
        for model in by_name("stereocrafter").unwrap().weights.unwrap().models {
            let report = examined(&dir.path().join(model.folder())).unwrap();
            assert!(report.ok && report.models[0].name == model.title, "{report:?}");
        }
    }

    #[test]
    fn of_models_that_are_instead_of_each_other_only_those_that_are_there_are_looked_at() {
        let all = by_name("stereocrafter").unwrap().weights.unwrap();
        let one = WeightsSpec { needs: Needs::One, ..*all };
        let dir = tempfile::tempdir().unwrap();
        let names = |weights: &WeightsSpec| -> Vec<&str> {
            wanted(weights, dir.path()).iter().map(|model| model.name).collect()
        };
        assert_eq!((names(all), names(&one)), (vec![], vec![]));
        fs::create_dir(dir.path().join("DepthCrafter")).unwrap();
        assert_eq!(names(all), ["svd", "depthcrafter", "stereocrafter"]);
        assert_eq!(names(&one), ["depthcrafter"]);
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
        let size = ((640, 360), None);
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
    fn a_model_that_animates_is_looked_at_in_all_its_parts() {
        let dir = tempfile::tempdir().unwrap();
        parallax_tiny_weights::write_animation(dir.path(), 1).unwrap();
        let folder = dir.path().join("stable-video-diffusion-img2vid-xt");
        for place in [dir.path(), &folder] {
            let report = examined(place).unwrap();
            assert!(report.ok, "{report:?}");
            let [model] = report.models.as_slice() else { panic!("{report:?}") };
            assert_eq!((model.name, model.parts.len()), ("Stable Video Diffusion XT", 5));
            let [stage] = report.stages.as_slice() else { panic!("{report:?}") };
            assert_eq!((stage.name, stage.f32_bytes), ("animate", 2 * stage.f16_bytes));
        }
        fs::remove_file(folder.join("unet/diffusion_pytorch_model.fp16.safetensors")).unwrap();
        let report = examined(dir.path()).unwrap();
        let problems = report.models[0].parts.iter().map(|part| part.problems.concat());
        assert!(problems.collect::<String>().contains("no weights in"), "{report:?}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = small();
        fs::remove_file(dir.path().join("DepthCrafter/diffusion_pytorch_model.safetensors"))
            .unwrap();
        let svd = dir.path().join(SVD);
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
        let (size, gib) = ((1920, 1080), 1u64 << 30);
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
