//! The published programs from end to end, run unchanged in PyTorch, against the stages here: seeds and
//! frames go in, and nothing of what a program computed in between is fed.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use parallax_nn::noise::Generator;
use parallax_stereo::{Plane, reference};
use parallax_stereocrafter::{
    DepthOptions, DepthStage, Folders, InpaintOptions, InpaintStage, Networks, Size, Tiling,
    normalise,
};
use parallax_svd::manifest;
use parallax_weights::Part;

/// As `tools/golden/export_published.py` has them.
const MODELS_SEED: u64 = 21;
const DEPTH_SEED: u64 = 5;
const INPAINT_SEED: u64 = 6;
const FRAMES: usize = 8;
const MAX_DISPARITY: f32 = 6.0;

fn go() -> Result<()> {
    Ok(())
}

/// 8-bit frames (N, 3, H, W) by the exporter's formula.
fn film(width: usize, height: usize) -> Tensor {
    let mut values = Vec::with_capacity(FRAMES * 3 * width * height);
    for t in 0..FRAMES {
        for c in 0..3 {
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let boxed = (x + 3 * t) % width / (width / 3) == 1 && y > height / 3;
                let stripe = ((x + 2 * t) / 5 + y / 7) % 3;
                values.push(if boxed { 180 + 10 * c } else { 40 + 40 * stripe + 15 * c } as u8);
            }
        }
    }
    Tensor::from_vec(values, (FRAMES, 3, height, width), &Device::Cpu).unwrap()
}

/// 255 in the holes of the exporter's grid, (N, 1, H, W).
fn holes(width: usize, height: usize) -> Tensor {
    let hole = |i: usize| {
        let (t, x) = (i / (width * height), i % width);
        if (x + 2 * t) / 24 % 5 == 0 { 255u8 } else { 0 }
    };
    let values = (0..FRAMES * width * height).map(hole).collect();
    Tensor::from_vec(values, (FRAMES, 1, height, width), &Device::Cpu).unwrap()
}

fn unit(bytes: &Tensor) -> Tensor {
    (bytes.to_dtype(DType::F32).unwrap() / 255.0).unwrap()
}

/// Every `step`-th row and column.
fn every(pictures: &Tensor, step: usize) -> Tensor {
    let pick = |t: &Tensor, dim: usize| {
        let indices = Tensor::arange_step(0u32, t.dims()[dim] as u32, step as u32, &Device::Cpu);
        t.index_select(&indices.unwrap(), dim).unwrap()
    };
    pick(&pick(pictures, 2), 3)
}

fn values(t: &Tensor) -> Vec<f32> {
    t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The share of values, in levels of 8 bits, that are off by more than one.
#[track_caller]
fn beyond_one_level(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.dims(), want.dims());
    let (got, want) = (values(got), values(want));
    let off = got.iter().zip(&want).filter(|(g, w)| (*g - *w).abs() > 1.001).count();
    off as f64 / got.len() as f64
}

struct Studio {
    folder: tempfile::TempDir,
    want: HashMap<String, Tensor>,
}

impl Studio {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        parallax_tiny_weights::write(folder.path(), MODELS_SEED).unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let golden = golden.join("published.golden.safetensors");
        Self { folder, want: candle_core::safetensors::load(golden, &Device::Cpu).unwrap() }
    }

    fn networks(&self, part: Part) -> Networks {
        let folders = Folders::within(self.folder.path());
        let denoiser =
            if part == manifest::DEPTH_UNET { folders.depth } else { folders.inpainting };
        Networks::open(&folders.svd, &denoiser, part, &Device::Cpu).unwrap()
    }

    /// 8-bit right eyes of 8-bit views and holes, in chunks of 4 that share 1.
    fn inpainted(&self, warped: &Tensor, holes: &Tensor, tiles: usize) -> Tensor {
        let tiling = Tiling { count: tiles, ..Tiling::default() };
        let options = InpaintOptions { chunk: 4, overlap: 1, tiling, ..InpaintOptions::default() };
        let stage = InpaintStage { networks: self.networks(manifest::INPAINTING_UNET), options };
        let mut noise = Generator::new(INPAINT_SEED);
        let out = stage.run(&unit(warped), &unit(holes), &mut noise, &mut go).unwrap();
        (out * 255.0).unwrap()
    }
}

fn plane(t: &Tensor) -> Plane {
    let (height, width) = t.dims2().unwrap();
    Plane::new(width, height, values(t))
}

#[test]
fn a_film_becomes_depth_a_warped_view_and_right_eyes() {
    let studio = Studio::new();
    let (width, height) = (320, 128);
    let film = (unit(&film(width, height)) + 0.5 / 255.0).unwrap();
    let options = DepthOptions { steps: 3, window: 4, overlap: 1, ..DepthOptions::default() };
    let stage = DepthStage { networks: studio.networks(manifest::DEPTH_UNET), options };
    let frames = ((&film * 2.0).unwrap() - 1.0).unwrap();
    let depth = stage.run(&frames, &mut Generator::new(DEPTH_SEED), &mut go).unwrap();
    let depth = normalise(&depth, Size::new(width, height)).unwrap();
    let (got, want) = (values(&every(&depth, 4)), values(&studio.want["depth"]));
    assert_eq!(got.len(), want.len());
    let worst = got.iter().zip(&want).map(|(g, w)| (g - w).abs()).fold(0f32, f32::max);
    assert!(worst <= 1e-3, "depth is off by {worst}");

    let source = |f: usize| reference::Source {
        planes: (0..3).map(|c| plane(&film.get(f).unwrap().get(c).unwrap())).collect(),
        disparity: reference::disparity(
            &plane(&depth.get(f).unwrap().get(0).unwrap()),
            MAX_DISPARITY,
        ),
    };
    let batch: Vec<reference::Source> = (0..FRAMES).map(source).collect();
    let cut = |p: &Plane| p.data().iter().map(|v| (v.clamp(0.0, 1.0) * 255.0) as u8).collect();
    let (mut warped, mut masks) = (Vec::<u8>::new(), Vec::<u8>::new());
    for splat in reference::splat(&batch) {
        warped.extend(splat.planes.iter().flat_map(|p| -> Vec<u8> { cut(p) }));
        let mask: Vec<u8> = cut(&splat.mask);
        masks.extend(mask);
    }
    let of = |v, channels| Tensor::from_vec(v, (FRAMES, channels, height, width), &Device::Cpu);
    let (warped, masks) = (of(warped, 3).unwrap(), of(masks, 1).unwrap());
    for (name, got) in [("warped", &warped), ("mask", &masks)] {
        let off = beyond_one_level(&every(got, 4), &studio.want[name]);
        assert!(off <= 0.01, "{name}: {off} of the pixels");
    }

    let right = studio.inpainted(&warped, &masks, 1);
    assert_eq!(right.dims(), [FRAMES, 3, 128, 256], "cut to multiples of 128");
    let off = beyond_one_level(&every(&right, 3), &studio.want["chain"]);
    assert!(off <= 0.01, "right eyes: {off} of the pixels");
}

#[test]
fn options_are_by_default_what_the_programs_have() {
    let want = Studio::new().want;
    let depth = DepthOptions::default();
    let own =
        [depth.steps as f32, depth.guidance as f32, depth.window as f32, depth.overlap as f32];
    assert_eq!(values(&want["defaults.depth"]), own);
    let inpaint = InpaintOptions::default();
    let own = [inpaint.chunk as f32, inpaint.overlap as f32, inpaint.tiling.count as f32];
    assert_eq!(values(&want["defaults.inpaint"]), own);
    // Written into the programs' calls, not into their signatures.
    assert_eq!((depth.codec_chunk, inpaint.decode_chunk), (8, 2), "frames at once");
}

#[test]
fn right_eyes_of_four_tiles_over_three_chunks() {
    let studio = Studio::new();
    let (width, height) = (384, 256);
    let (film, holes) = (film(width, height), holes(width, height));
    let seen = holes.eq(0u8).unwrap().broadcast_as(film.dims()).unwrap();
    let warped = seen.where_cond(&film, &film.zeros_like().unwrap()).unwrap();
    let right = studio.inpainted(&warped, &holes, 2);
    let off = beyond_one_level(&every(&right, 4), &studio.want["tiled"]);
    assert!(off <= 0.01, "{off} of the pixels");
}
