//! Pictures to clips against the published pipeline.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::{DType, Device, IndexOp, Tensor};
use common::{Tensors, assert_close, golden, tensors};
use parallax_nn::noise::Generator;
use parallax_svd::image_to_video::{Clip, Folder, ImageToVideo, Options, Precision, Stopped, Work};
use parallax_svd::{clip, unet, vae};
use parallax_weights::Inventory;
use serde::Deserialize;

/// `NAME.json` of a golden.
#[derive(Clone, Copy, Deserialize)]
struct Case {
    size: (usize, usize),
    frames: usize,
    steps: usize,
    bucket: f32,
    fps: f32,
    aug: f64,
    guidance: (f64, f64),
    chunk: usize,
    seed: u64,
    keep: usize,
}

impl Case {
    fn options(&self) -> Options {
        Options {
            frames: self.frames,
            steps: self.steps,
            motion_bucket: self.bucket,
            fps: self.fps,
            noise_augmentation: self.aug,
            guidance: self.guidance,
            decode_chunk: self.chunk,
        }
    }

    /// The exporter's picture, (1, 3, H, W) in [-1, 1].
    fn picture(&self) -> Tensor {
        let (height, width) = self.size;
        let mut values = Vec::with_capacity(3 * height * width);
        for c in 0..3 {
            for y in 0..height {
                for x in 0..width {
                    let tile = (x / 5 + y / 7) % 2 * 90;
                    let level = (x * (3 + c) + y * (5 - c) + x * y / 16 + tile) % 256;
                    values.push(level as f32 / 127.5 - 1.0);
                }
            }
        }
        Tensor::from_vec(values, (1, 3, height, width), &Device::Cpu).unwrap()
    }
}

/// A network's tensors as the exporter draws them.
fn drawn(names: &Inventory, seed: u64) -> HashMap<String, Tensor> {
    let mut noise = Generator::new(seed);
    let value = |(name, shape): (&str, &[usize])| {
        let value = noise.randn(shape, &Device::Cpu).unwrap();
        let value = if name.ends_with("mix_factor") {
            value
        } else if let [_, rest @ ..] = shape
            && !rest.is_empty()
        {
            (value / (rest.iter().product::<usize>() as f64).sqrt()).unwrap()
        } else {
            let scale = name.contains("norm") && name.ends_with("weight");
            ((value * 0.2).unwrap() + if scale { 1.0 } else { 0.0 }).unwrap()
        };
        (name.to_owned(), value)
    };
    names.iter().map(value).collect()
}

/// The networks of a set, opened as people have them.
fn networks(set: &str) -> ImageToVideo {
    let folder = tempfile::tempdir().unwrap();
    let from = golden("image_to_video").join(set);
    let place = |part: &str, file: &str| {
        std::fs::create_dir_all(folder.path().join(part)).unwrap();
        std::fs::copy(from.join(part).join(file), folder.path().join(part).join(file)).unwrap();
    };
    for part in ["unet", "vae", "image_encoder"] {
        place(part, "config.json");
    }
    place("scheduler", "scheduler_config.json");
    place("feature_extractor", "preprocessor_config.json");
    let read = |part: &str| std::fs::read_to_string(from.join(part).join("config.json")).unwrap();
    let save = |path: &str, names: Inventory, seed: u64| {
        let path: &Path = &folder.path().join(path);
        candle_core::safetensors::save(&drawn(&names, seed), path).unwrap();
    };
    let config: unet::Config = serde_json::from_str(&read("unet")).unwrap();
    let names = Inventory::of(|vb| unet::Unet::new(&config, vb)).unwrap();
    save("unet/diffusion_pytorch_model.safetensors", names, 1);
    let config: vae::Config = serde_json::from_str(&read("vae")).unwrap();
    let names = Inventory::of(|vb| vae::TemporalVae::new(&config, vb)).unwrap();
    save("vae/diffusion_pytorch_model.safetensors", names, 2);
    let config: clip::Config = serde_json::from_str(&read("image_encoder")).unwrap();
    let names = Inventory::of(|vb| clip::VisionModel::new(&config, vb)).unwrap();
    save("image_encoder/model.safetensors", names, 3);
    let opened = Folder::open(folder.path()).unwrap();
    let precision = Precision::on(&Device::Cpu);
    assert_eq!(precision.denoiser, DType::F32);
    opened.build(&Device::Cpu, precision).unwrap()
}

fn case(set: &str, name: &str) -> (Case, Tensors) {
    let path = format!("image_to_video/{set}/{name}");
    let case = std::fs::read_to_string(golden(&format!("{path}.json"))).unwrap();
    (serde_json::from_str(&case).unwrap(), tensors(&format!("{path}.golden.safetensors")))
}

/// Red, green and blue of the exporter's picture, and its size.
fn bytes(case: &Case) -> (Vec<u8>, (usize, usize)) {
    let (height, width) = case.size;
    let levels = case.picture().permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap();
    let level = |value: f32| ((value + 1.0) * 127.5).round() as u8;
    let levels = levels.to_vec1::<f32>().unwrap().into_iter().map(level).collect();
    (levels, (width, height))
}

/// A run that ends before `last`, and what was told of it.
fn run(
    networks: &ImageToVideo,
    case: &Case,
    last: Option<Work>,
) -> (Result<Clip, Stopped>, Vec<Work>) {
    let (rgb, size) = bytes(case);
    let mut seen = Vec::new();
    let made = networks.run_seeded((&rgb, size), &case.options(), case.seed, &mut |work| {
        seen.push(work);
        if Some(work) == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    (made, seen)
}

/// Frames against the published ones: within a level but for one value in a thousand.
fn compare(clip: &Clip, case: &Case, want: &Tensor) {
    let ((height, width), keep) = (case.size, case.keep);
    let want = want.to_dtype(DType::U8).unwrap();
    assert_eq!(
        want.dims(),
        [case.frames, height.div_ceil(keep), width.div_ceil(keep), 3],
        "frames of the golden"
    );
    assert_eq!(clip.frames.len(), case.frames);
    for (i, got) in clip.frames.iter().enumerate() {
        assert_eq!(got.len(), 3 * height * width);
        let got = Tensor::from_slice(got, (height, width, 3), &Device::Cpu).unwrap();
        let steps = |side: usize| {
            let at: Vec<u32> = (0..side as u32).step_by(keep).collect();
            Tensor::new(at, &Device::Cpu).unwrap()
        };
        let got = got.index_select(&steps(height), 0).unwrap();
        let got = got.index_select(&steps(width), 1).unwrap().flatten_all().unwrap();
        let want = want.i(i).unwrap().flatten_all().unwrap();
        let pairs = got.to_vec1::<u8>().unwrap().into_iter().zip(want.to_vec1::<u8>().unwrap());
        let off: Vec<u8> = pairs.map(|(got, want)| got.abs_diff(want)).collect();
        let more = off.iter().filter(|&&off| off > 1).count();
        assert!(more * 1000 <= off.len(), "frame {i}: {more} of {} are off", off.len());
    }
}

/// Every stage by itself, from the seed to the frames.
fn check(set: &str, name: &str) {
    let (case, want) = case(set, name);
    let networks = networks(set);
    let mut noise = Generator::new(case.seed);
    let mut noise = |shape: &[usize]| noise.randn(shape, &Device::Cpu);
    let condition = networks.condition(&case.picture(), case.aug, &mut noise).unwrap();
    let token = condition.token.squeeze(1).unwrap();
    assert_close("image_embeds", &token, &want["image_embeds"], 1e-4, 1e-4);
    assert_close("image_latents", &condition.latents, &want["image_latents"], 1e-4, 1e-4);
    let latents = networks.denoise(&condition, &case.options(), &mut noise, &mut |_| Ok(()));
    let latents = latents.unwrap();
    let range = want["last"].abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    let most = 1e-4 * range.to_scalar::<f32>().unwrap();
    assert_close("latents", &latents.unsqueeze(0).unwrap(), &want["last"], 1e-4, most);
    let clip = networks.decode(&latents, case.chunk, &mut |_| Ok(())).unwrap();
    compare(&clip, &case, &want["frames"]);
    assert_eq!(clip.decode_chunk, case.chunk.min(case.frames));
}

#[test]
fn a_landscape_in_runs_of_two_with_what_is_left() {
    check("shallow", "landscape");
}

#[test]
fn without_guidance_and_without_noise_on_the_picture() {
    check("shallow", "no_guidance");
}

#[test]
fn a_portrait_larger_than_the_image_encoder_sees() {
    check("deep", "portrait");
}

#[test]
fn one_frame_in_one_step() {
    check("deep", "single");
}

#[test]
fn every_piece_of_work_is_told_before_it_and_may_be_the_last() {
    let (case, want) = case("shallow", "landscape");
    let networks = networks("shallow");
    assert_eq!(networks.trained_frames(), 14);
    let (clip, seen) = run(&networks, &case, None);
    let clip = clip.unwrap();
    compare(&clip, &case, &want["frames"]);
    let steps = (0..4).map(Work::Denoising);
    let runs = [0, 2, 4].map(Work::Decoding);
    let wanted: Vec<Work> = std::iter::once(Work::Encoding).chain(steps).chain(runs).collect();
    assert_eq!(seen, wanted);
    let again = run(&networks, &case, None).0.unwrap();
    assert_eq!(again.frames, clip.frames, "the same seed");
    let other = Case { seed: case.seed + 1, ..case };
    assert_ne!(run(&networks, &other, None).0.unwrap().frames, clip.frames);
    for (before, last) in wanted.iter().enumerate() {
        let (ended, told) = run(&networks, &case, Some(*last));
        assert!(matches!(ended, Err(Stopped::Asked)));
        assert_eq!(told, wanted[..=before], "nothing is begun after it");
    }
}

#[test]
fn what_cannot_be_made_is_refused() {
    let (case, _) = case("shallow", "landscape");
    let networks = networks("shallow");
    let run = |picture: &Tensor, options: &Options| {
        let mut noise = Generator::new(1);
        let mut noise = |shape: &[usize]| noise.randn(shape, &Device::Cpu);
        let made = networks.run(picture, options, &mut noise, &mut |_| Ok(()));
        made.map(drop).unwrap_err().to_string()
    };
    let (picture, options) = (case.picture(), case.options());
    let odd = picture.narrow(3, 0, 63).unwrap();
    assert!(run(&odd, &options).contains("63x40; allowed are multiples of 2"));
    assert!(run(&picture, &Options { frames: 0, ..options.clone() }).contains("no frames"));
    assert!(run(&picture, &Options { decode_chunk: 0, ..options.clone() }).contains("no frames"));
    let dark = (&picture * f64::NAN).unwrap();
    assert!(run(&dark, &options).contains("the denoiser gave what are no numbers"));
}

#[test]
fn a_folder_of_another_network_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let error = Folder::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("image encoder"), "{error}");
    let root = golden("small");
    let opened = Folder::open(&root).unwrap();
    let half = Precision { denoiser: DType::F16, decoder: DType::F16 };
    let single = Precision::on(&Device::Cpu);
    assert!(opened.bytes(half) < opened.bytes(single));
    let files = ["unet", "vae", "image_encoder"].map(|part| {
        let files = std::fs::read_dir(root.join(part)).unwrap();
        let sizes = files.map(|file| file.unwrap().metadata().unwrap().len());
        sizes.sum::<u64>()
    });
    // The files hold headers and configurations, too, and half precision.
    let stored: u64 = files.iter().sum();
    assert!(opened.bytes(single) < 2 * stored && opened.bytes(single) > stored);
}
