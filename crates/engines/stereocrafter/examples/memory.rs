//! Peak memory, for `docs/performance.md` and for the factors of the planner.
//!
//! `memory default|reference WIDTH HEIGHT FRAMES` runs the engine on tiny random models over a clip of
//! that length and prints the most that the process took. `memory networks` prints what one denoising
//! step, encoding and decoding take, in multiples of the networks' first width.

use std::error::Error;
use std::fs;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use parallax_frame::{Colour, Frame, FrameRate, PixelFormat, VideoFormat};
use parallax_stereo::{Clip, Engine, Run};
use parallax_stereocrafter::{Device, Options, StereoCrafter};
use parallax_svd::unet::PerLevel;
use parallax_svd::{unet, vae};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["networks"] => networks(),
        [mode @ ("default" | "reference"), width, height, frames] => {
            clip(*mode == "reference", (width.parse()?, height.parse()?), frames.parse()?)
        }
        _ => Err("usage: memory networks | memory default|reference WIDTH HEIGHT FRAMES".into()),
    }
}

/// A field of `/proc/self/status` in bytes.
fn status(field: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
    let kib: u64 = line.trim_start_matches(':').split_whitespace().next().unwrap_or("").parse()?;
    Ok(kib << 10)
}

fn clip(reference: bool, (width, height): (u32, u32), frames: usize) -> Result<()> {
    let weights = tempfile::tempdir()?;
    parallax_tiny_weights::write(weights.path(), 1)?;
    let options = Options { reference, steps: 1, ..Options::default() };
    let engine = StereoCrafter::within(weights.path(), &Device::Cpu, options)?;
    let format =
        VideoFormat { width, height, pixels: PixelFormat::YUV420P, colour: Colour::default() };
    let format = Arc::new(format);
    let clip = Clip { format: Arc::clone(&format), rate: FrameRate { num: 25, den: 1 } };
    let mut session = engine.start(&clip, &Run::default())?;
    let (mut pairs, mut together) = (0, 0);
    for t in 0..frames {
        let mut frame = Frame::zeroed(Arc::clone(&format), t as i64);
        let (width, height) = (width as usize, height as usize);
        // Drifts by a pixel a frame, so that there is no cut.
        let value = |i: usize| 60.0 + ((i % width + t) / 8 * 7 + i / width / 6 * 5) as f32 % 120.0;
        frame.set_plane_f32(0, &(0..width * height).map(value).collect::<Vec<_>>());
        let ready = session.push(frame)?;
        together = together.max(ready.len());
        pairs += ready.len();
    }
    loop {
        let ready = session.finish()?;
        if ready.is_empty() {
            break;
        }
        together = together.max(ready.len());
        pairs += ready.len();
    }
    assert_eq!(pairs, frames, "a pair for every frame");
    println!(
        "reference {reference}, {width}x{height}, {frames} frames: peak {} MiB, at most {together} pairs \
         at once",
        status("VmHWM")? >> 20
    );
    Ok(())
}

/// Small values of any name and shape.
struct Small;

impl SimpleBackend for Small {
    fn get(
        &self,
        shape: candle_core::Shape,
        _: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        Tensor::full(0.01f32, shape, device)?.to_dtype(dtype)?.contiguous()
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

fn builder() -> VarBuilder<'static> {
    VarBuilder::from_backend(Box::new(Small), DType::F32, Device::Cpu)
}

/// The most that `work` took beyond what was there before, in bytes.
fn peak<T>(work: impl FnOnce() -> candle_core::Result<T>) -> Result<u64> {
    fs::write("/proc/self/clear_refs", "5")?;
    let before = status("VmRSS")?;
    work()?;
    Ok(status("VmHWM")?.saturating_sub(before))
}

fn networks() -> Result<()> {
    let device = Device::Cpu;
    let widths = [64, 128, 256, 256];
    let config = unet::Config {
        block_out_channels: widths.to_vec(),
        num_attention_heads: PerLevel::Each(vec![1, 2, 4, 4]),
        ..unet::Config::stereocrafter()
    };
    let net = unet::Unet::new(&config, builder())?;
    let tokens = Tensor::zeros((1, 1, 1024), DType::F32, &device)?;
    for (frames, height, width) in [(8, 40, 64), (16, 40, 64), (8, 72, 128)] {
        let conditioning = net.condition(&tokens, frames, &[vec![6.0, 127.0, 0.0]])?;
        let x = Tensor::zeros((1, frames, 9, height, width), DType::F32, &device)?;
        let bytes = peak(|| net.forward(&x, 1.0, &conditioning))?;
        let per = bytes as f64 / (frames * height * width * 4 * widths[0]) as f64;
        println!("step, {frames} frames of {height}x{width}: {per:.1} widths per latent");
    }
    let config = vae::Config { block_out_channels: vec![64, 128, 256, 256], ..vae::Config::svd() };
    let net = vae::TemporalVae::new(&config, builder())?;
    for (frames, height, width) in [(2, 192, 320), (4, 192, 320), (4, 384, 320)] {
        let elements = (frames * height * width * 4 * 64) as f64;
        let x = Tensor::zeros((frames, 3, height, width), DType::F32, &device)?;
        let per = peak(|| net.encode(&x))? as f64 / elements;
        println!("encode, {frames} frames of {height}x{width}: {per:.1} widths per pixel");
        let x = Tensor::zeros((frames, 4, height / 8, width / 8), DType::F32, &device)?;
        let per = peak(|| net.decode(&x, frames))? as f64 / elements;
        println!("decode, {frames} frames of {height}x{width}: {per:.1} widths per pixel");
    }
    Ok(())
}
