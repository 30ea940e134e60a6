//! Milliseconds of both stages on the CPU, as published, best of a few.
//!
//! `pipeline DIR FRAMES WIDTH HEIGHT` reads the models in DIR and prints one line, name TAB milliseconds.
//! `tools/golden/bench_pipeline.py` makes such models, runs the same in PyTorch on the same cores, and
//! prints both. Without arguments (`cargo bench`) there is nothing to measure.

use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use parallax_nn::noise::Generator;
use parallax_stereocrafter::{
    DepthOptions, DepthStage, Folders, InpaintOptions, InpaintStage, Networks,
};
use parallax_svd::manifest;

const REPEATS: usize = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let [dir, frames, width, height] = args.as_slice() else { return Ok(()) };
    let (frames, width, height): (usize, usize, usize) =
        (frames.parse()?, width.parse()?, height.parse()?);
    let folders = Folders::within(Path::new(dir));
    let open = |root, part| Networks::open(&folders.svd, root, part, &Device::Cpu);
    let depth = DepthStage {
        networks: open(&folders.depth, manifest::DEPTH_UNET)?,
        options: DepthOptions::default(),
    };
    let inpaint = InpaintStage {
        networks: open(&folders.inpainting, manifest::INPAINTING_UNET)?,
        options: InpaintOptions::default(),
    };
    let mut noise = Generator::new(1);
    let video = noise.randn(&[frames, 3, height, width], &Device::Cpu)?.clamp(-1f32, 1f32)?;
    let warped = ((&video + 1.0)? * 0.5)?;
    let mask = Tensor::zeros((frames, 1, height, width), DType::F32, &Device::Cpu)?;
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        depth.run(&video, &mut noise, &mut || Ok(()))?;
        inpaint.run(&warped, &mask, &mut noise, &mut || Ok(()))?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("pipeline\t{:.1}", best * 1e3);
    Ok(())
}
