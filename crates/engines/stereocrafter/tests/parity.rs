//! Both stages against the published networks, orchestrated in PyTorch.
//!
//! Each step is fed what the reference stored before it, so that a difference is named where it arises.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor};
use parallax_nn::noise::Generator;
use parallax_stereocrafter::{
    Decoding, DepthOptions, DepthStage, Field, Fit, Holes, InpaintOptions, InpaintStage, Networks,
    Noise, Recorded, Site, Size, Tiling, normalise,
};
use parallax_svd::manifest;
use parallax_weights::Part;

type Tensors = HashMap<String, Tensor>;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn tensors(name: &str) -> Tensors {
    let path = here().join("tests/golden").join(format!("{name}.golden.safetensors"));
    let float = |(k, v): (String, Tensor)| (k, v.to_dtype(DType::F32).unwrap());
    candle_core::safetensors::load(path, &Device::Cpu).unwrap().into_iter().map(float).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// A Stable Video Diffusion folder out of the goldens of the networks.
fn svd_folder(set: &str) -> tempfile::TempDir {
    let goldens = here().join("../../models/svd/tests/golden");
    let dir = tempfile::tempdir().unwrap();
    for part in ["image_encoder", "vae"] {
        copy(&goldens.join(set).join(part), &dir.path().join(part));
    }
    copy(&goldens.join("small/scheduler"), &dir.path().join("scheduler"));
    let extractor = dir.path().join("feature_extractor");
    fs::create_dir_all(&extractor).unwrap();
    let json = r#"{"image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711]}"#;
    fs::write(extractor.join("preprocessor_config.json"), json).unwrap();
    dir
}

fn unet_folder(set: &str) -> PathBuf {
    here().join("../../models/svd/tests/golden").join(set).join("unet")
}

fn networks(set: &str, part: Part) -> Networks {
    Networks::open(svd_folder(set).path(), &unet_folder(set), part, &Device::Cpu).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Every element within `tolerance` of the largest magnitude of the wanted tensor.
#[track_caller]
fn assert_close(name: &str, got: &Tensor, want: &Tensor, tolerance: f32) {
    assert_eq!(got.dims(), want.dims(), "{name}: shape");
    let (got, want) = (values(got), values(want));
    let scale = want.iter().fold(0f32, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        assert!((g - w).abs() <= tolerance * scale, "{name}: {g} for {w} at {i}, scale {scale}");
    }
}

/// How many values of 8-bit images differ by more than one level.
fn beyond_one_level(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.dims(), want.dims());
    let (got, want) = (values(got), values(want));
    let off = got.iter().zip(&want).filter(|(g, w)| (*g * 255.0 - *w).abs() > 1.001).count();
    off as f64 / got.len() as f64
}

fn recorded(noise: &[&Tensor]) -> Recorded {
    Recorded(noise.iter().map(|&t| t.clone()).collect())
}

fn go() -> Result<()> {
    Ok(())
}

fn depth_stage(guidance: f64, codec_chunk: usize) -> DepthStage {
    let options = DepthOptions {
        steps: 3,
        guidance,
        window: 4,
        overlap: 2,
        codec_chunk,
        ..DepthOptions::default()
    };
    DepthStage { networks: networks("small", manifest::DEPTH_UNET), options }
}

fn check_depth(name: &str, stage: &DepthStage, size: Size) {
    let want = tensors(name);
    let frames = ((&want["frames"] / 127.5).unwrap() - 1.0).unwrap();
    let tokens = stage.embed(&frames, &mut go).unwrap();
    assert_close("embeddings", &tokens, &want["embeddings"], 1e-4);
    let mut noise = recorded(&[&want["augmentation"]]);
    let images = stage.encode(&frames, 0, &mut noise, &mut go).unwrap();
    assert_close("image latents", &images, &want["image_latents"], 1e-4);
    let noise = want["noise"].squeeze(0).unwrap();
    let latents = stage
        .denoise(&want["embeddings"], &want["image_latents"], &mut recorded(&[&noise]), &mut go)
        .unwrap();
    assert_close("latents", &latents, &want["latents"], 1e-4);
    let depth = stage.decode(&want["latents"], &mut go).unwrap();
    assert_close("depth", &normalise(&depth, size).unwrap(), &want["depth"], 1e-3);

    let mut noise = recorded(&[&want["augmentation"], &noise]);
    let whole = stage.run(&frames, &mut noise, &mut go).unwrap();
    assert_close("whole", &normalise(&whole, size).unwrap(), &want["depth"], 2e-3);
}

#[test]
fn depth_over_three_windows_with_a_short_last_one() {
    check_depth("depth.windows", &depth_stage(1.2, 3), Size::new(50, 31));
}

#[test]
fn depth_of_a_clip_shorter_than_a_window_without_guidance() {
    check_depth("depth.whole", &depth_stage(1.0, 3), Size::new(24, 16));
}

#[test]
fn depth_can_be_stopped_between_steps() {
    let want = tensors("depth.whole");
    let stage = depth_stage(1.0, 3);
    let mut left = 4;
    let mut check = || {
        left -= 1;
        if left == 0 { candle_core::bail!("stopped") } else { Ok(()) }
    };
    let frames = ((&want["frames"] / 127.5).unwrap() - 1.0).unwrap();
    let error = stage.run(&frames, &mut Generator::new(0), &mut check).unwrap_err();
    assert!(error.to_string().contains("stopped"), "{error}");
}

fn inpaint_stage(tiling: Tiling) -> InpaintStage {
    let options = InpaintOptions {
        steps: 3,
        chunk: 5,
        overlap: 2,
        tiling,
        step_px: 8,
        ..InpaintOptions::default()
    };
    InpaintStage { networks: networks("odd", manifest::INPAINTING_UNET), options }
}

/// The chunks of a golden, as (first frame, frames, frames known).
fn check_inpainting(name: &str, tiling: Tiling, chunks: &[(usize, usize, usize)]) {
    let want = tensors(name);
    let stage = inpaint_stage(tiling);
    let warped = (&want["warped"] / 255.0).unwrap();
    let mask = (&want["mask"] / 255.0).unwrap();
    let (frames, holes) = stage.prepare(&warped, &mask).unwrap();
    let tiles = tiling.count * tiling.count;
    let of = |chunk: usize, tile: usize, what: &str| &want[&format!("{chunk}.{tile}.{what}")];
    let mut all_noise = Vec::new();
    for (i, &(first, length, known)) in chunks.iter().enumerate() {
        let mut part = frames.narrow(0, first, length).unwrap();
        if known > 0 {
            let before = (&want[&format!("{}.frames", i - 1)] / 255.0).unwrap();
            let old = before.narrow(0, before.dim(0).unwrap() - known, known).unwrap();
            let rest = part.narrow(0, known, length - known).unwrap();
            part = Tensor::cat(&[&old, &rest], 0).unwrap();
        }
        let holes = holes.narrow(0, first, length).unwrap();
        if i == 0 && tiles == 1 {
            let (token, extra) = stage.condition(&part, &holes, &mut go).unwrap();
            assert_close("token", &token, of(0, 0, "token"), 1e-4);
            assert_close("latents and mask", &extra, of(0, 0, "extra"), 1e-4);
            let mask = |t: &Tensor| values(&t.narrow(1, 4, 1).unwrap());
            assert_eq!(mask(&extra), mask(of(0, 0, "extra")));
            assert!(mask(&extra).contains(&0.0) && mask(&extra).contains(&1.0));
        }
        let noise: Vec<Tensor> =
            (0..tiles).map(|t| of(i, t, "noise").squeeze(0).unwrap()).collect();
        let mut source = Recorded(noise.iter().cloned().collect());
        let latents = stage.latents(&part, &holes, first, &mut source, &mut go).unwrap();
        assert!(source.0.is_empty());
        let merged = &want[&format!("{i}.merged")];
        assert_close(&format!("chunk {i}"), &latents, merged, 1e-4);
        let out = stage.decode(merged, &mut go).unwrap();
        let off = beyond_one_level(&out, &want[&format!("{i}.frames")]);
        assert!(off <= 0.001, "chunk {i}: {off}");
        let levels = values(&out).into_iter().map(|v| v * 255.0);
        assert!(levels.into_iter().all(|v| (v - v.round()).abs() < 1e-3), "chunk {i}: not 8 bits");
        all_noise.extend(noise);
    }
    let mut noise = Recorded(all_noise.into());
    let chain = stage.run(&warped, &mask, &mut noise, &mut go).unwrap();
    assert!(noise.0.is_empty());
    let off = beyond_one_level(&chain, &want["result"]);
    assert!(off <= 0.01, "chain: {off}");
}

#[test]
fn inpainting_of_three_chunks_with_a_short_last_one() {
    let tiling = Tiling { count: 1, overlap_px: 8 };
    check_inpainting("inpaint.whole", tiling, &[(0, 5, 0), (3, 5, 2), (6, 3, 2)]);
}

#[test]
fn inpainting_in_four_tiles_of_three_chunks() {
    let tiling = Tiling { count: 2, overlap_px: 8 };
    check_inpainting("inpaint.tiled", tiling, &[(0, 5, 0), (3, 5, 2), (7, 3, 1)]);
}

#[test]
fn clips_of_one_frame_are_inpainted() {
    let want = tensors("inpaint.whole");
    let stage = inpaint_stage(Tiling::default());
    let first = |t: &Tensor| (t.narrow(0, 0, 1).unwrap() / 255.0).unwrap();
    let run = |seed| {
        let mut noise = Generator::new(seed);
        let (frames, mask) = (first(&want["warped"]), first(&want["mask"]));
        stage.run(&frames, &mask, &mut noise, &mut go).unwrap()
    };
    let out = run(1);
    assert_eq!(out.dims(), [1, 3, 40, 56]);
    assert_eq!(values(&out), values(&run(1)));
    assert_ne!(values(&out), values(&run(2)));
}

#[test]
fn preferred_options_keep_any_size_and_the_seed_decides() {
    let want = tensors("inpaint.whole");
    let mut stage = inpaint_stage(Tiling { count: 2, overlap_px: 8 });
    stage.options = InpaintOptions {
        decode_chunk: 3,
        decode_context: 1,
        holes: Holes::Any,
        fit: Fit::Pad,
        ..stage.options
    };
    let part = |t: &Tensor| (t.narrow(0, 0, 6).unwrap() / 255.0).unwrap();
    let (frames, mask) = (part(&want["warped"]), part(&want["mask"]));
    let run = |seed| stage.run(&frames, &mask, &mut Field::new(seed), &mut go).unwrap();
    let out = run(3);
    assert_eq!(out.dims(), [6, 3, 45, 59]);
    assert_eq!(values(&out), values(&run(3)));
    assert_ne!(values(&out), values(&run(4)));
}

#[test]
fn one_pixel_of_hole_is_a_hole_where_any_counts() {
    let mut stage = inpaint_stage(Tiling::default());
    let frames = Tensor::zeros((1, 3, 8, 16), DType::F32, &Device::Cpu).unwrap();
    let mut mask = vec![0f32; 8 * 16];
    mask[3 * 16 + 9] = 0.5;
    let mask = Tensor::from_vec(mask, (1, 1, 8, 16), &Device::Cpu).unwrap();
    let mut holes = |holes| {
        stage.options.holes = holes;
        let (_, extra) = stage.condition(&frames, &mask, &mut go).unwrap();
        values(&extra.narrow(1, 4, 1).unwrap())
    };
    assert_eq!(holes(Holes::TopLeft), [0.0; 32]);
    let any = holes(Holes::Any);
    assert_eq!((any[8 + 4], any.iter().sum::<f32>()), (1.0, 1.0));
}

#[test]
fn context_enough_for_all_decodes_as_a_whole() {
    let want = tensors("inpaint.whole");
    let stage = inpaint_stage(Tiling::default());
    let latents = &want["0.merged"];
    let decode = |chunk, context| {
        stage.networks.decode(latents, Decoding { chunk, context, tiles: 1 }, &mut go).unwrap()
    };
    let whole = decode(5, 0);
    assert_close("context", &decode(2, 4), &whole, 1e-5);
    let apart = values(&decode(2, 0));
    assert!(values(&whole).iter().zip(&apart).any(|(a, b)| (a - b).abs() > 0.01));
}

#[test]
fn a_network_of_the_other_stage_is_refused() {
    let dir = svd_folder("small");
    let open = |part| Networks::open(dir.path(), &unet_folder("small"), part, &Device::Cpu);
    assert!(open(manifest::DEPTH_UNET).is_ok());
    let error = open(manifest::INPAINTING_UNET).unwrap_err().to_string();
    assert!(error.contains('8') && error.contains('9'), "{error}");
}

#[test]
fn recorded_noise_must_fit() {
    let noise = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let mut source = recorded(&[&noise]);
    assert!(source.draw(Site::default(), &[3, 2], &Device::Cpu).is_err());
    assert!(source.draw(Site::default(), &[2, 3], &Device::Cpu).is_err(), "the source is empty");
}
