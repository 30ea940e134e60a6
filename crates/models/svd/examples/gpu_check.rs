//! Parity and timings on a GPU in one run: `tools/gpu-check` builds and starts it.
//!
//! `gpu_check [--device cuda|cpu] [--golden DIR] [--report FILE] [--parity-only]`. Every golden is run in
//! f32, f16 and bf16 and must stay within a share of its largest magnitude; then single operations and
//! the full-size networks are timed on random weights. The report is a Markdown file. Exits with 0, with 1
//! when a golden was missed, with 3 when the device cannot be used.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use parallax_nn::device::{self, Choice, free_bytes};
use parallax_nn::ops::{
    Activation, Conv2d, GroupNorm, Linear, Padding, TemporalConv, attention, temporal_attention,
};
use parallax_svd::{clip, unet, vae};

/// Types, with the share of a golden's largest magnitude that each may be off by: f32 sums in another
/// order, f16 keeps 11 bits and bf16 8, through some sixty layers.
const TYPES: [(DType, f32); 3] = [(DType::F32, 1e-4), (DType::F16, 2e-2), (DType::BF16, 1.5e-1)];
const REPEATS: usize = 5;

struct Arguments {
    device: Choice,
    golden: PathBuf,
    report: PathBuf,
    parity_only: bool,
}

fn arguments() -> std::result::Result<Arguments, String> {
    let mut found = Arguments {
        device: Choice::Cuda,
        golden: "crates/models/svd/tests/golden".into(),
        report: "gpu-check.md".into(),
        parity_only: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word}: a value is missing"));
        match word.as_str() {
            "--device" => found.device = value()?.parse()?,
            "--golden" => found.golden = value()?.into(),
            "--report" => found.report = value()?.into(),
            "--parity-only" => found.parity_only = true,
            _ => {
                return Err(format!(
                    "{word:?}: allowed are --device, --golden, --report, --parity-only"
                ));
            }
        }
    }
    Ok(found)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let device = match device::open(arguments.device) {
        Ok(device) => device,
        Err(error) => {
            eprintln!("error: --device {}: {error}", arguments.device);
            return ExitCode::from(3);
        }
    };
    match run(&arguments, &device) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("error: a golden was missed; see {}", arguments.report.display());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, device: &Device) -> std::result::Result<bool, Box<dyn Error>> {
    let mut report = format!("# {}\n\n", machine(arguments.device));
    report += "| golden | type | largest difference / largest value | allowed | |\n";
    report += "| --- | --- | --- | --- | --- |\n";
    let mut right = true;
    for (dtype, allowed) in TYPES {
        if device.is_cpu() && dtype == DType::BF16 {
            continue; // The CPU has no matrix product of this type.
        }
        let place = Place { golden: &arguments.golden, device, dtype };
        for (name, difference) in parity(&place)? {
            let ok = difference <= allowed;
            right &= ok;
            let verdict = if ok { "ok" } else { "MISSED" };
            let row = format!(
                "| {name} | {} | {difference:.1e} | {allowed:.0e} | {verdict} |",
                dtype.as_str()
            );
            println!("{row}");
            writeln!(report, "{row}")?;
        }
    }
    if !arguments.parity_only {
        report += "\n| case | type | best of 5, ms | TFLOP/s | memory, GiB |\n";
        report += "| --- | --- | --- | --- | --- |\n";
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            for case in CASES.iter().filter(|case| !case.large || dtype == DType::F16) {
                let (seconds, taken) = taken(device, || time(case, &Bench { device, dtype }));
                let taken = taken as f64 / f64::from(1 << 30);
                let row = match seconds {
                    Ok(seconds) => {
                        let rate = case.tflop.map_or("-".into(), |t| format!("{:.1}", t / seconds));
                        format!("{:.2} | {rate} | {taken:.2}", seconds * 1e3)
                    }
                    // Too little memory for a case says something too.
                    Err(error) => {
                        let error = error.to_string();
                        format!("{} | - | {taken:.2}", error.lines().next().unwrap_or("failed"))
                    }
                };
                let row = format!("| {} | {} | {row} |", case.name, dtype.as_str());
                println!("{row}");
                writeln!(report, "{row}")?;
            }
        }
    }
    std::fs::write(&arguments.report, report)?;
    Ok(right)
}

fn machine(device: Choice) -> String {
    let query = ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"];
    let output =
        Command::new("nvidia-smi").args(query).output().ok().filter(|o| o.status.success());
    let gpu = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    match device {
        Choice::Cuda => gpu.unwrap_or_else(|| "a GPU without nvidia-smi".to_owned()),
        Choice::Cpu => "the CPU".to_owned(),
    }
}

/// Goldens on a device, in a type.
struct Place<'a> {
    golden: &'a Path,
    device: &'a Device,
    dtype: DType,
}

impl Place<'_> {
    fn tensors(&self, name: &str) -> Result<HashMap<String, Tensor>> {
        candle_core::safetensors::load(self.golden.join(name), &Device::Cpu)
    }

    fn config<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        let text = std::fs::read_to_string(self.golden.join(name))?;
        serde_json::from_str(&text).map_err(candle_core::Error::wrap)
    }

    fn weights(&self, name: &str) -> Result<VarBuilder<'static>> {
        let tensors = candle_core::safetensors::load(self.golden.join(name), self.device)?;
        Ok(VarBuilder::from_tensors(tensors, self.dtype, self.device))
    }

    fn here(&self, tensor: &Tensor) -> Result<Tensor> {
        tensor.to_device(self.device)?.to_dtype(self.dtype)
    }

    fn unet(&self, set: &str, golden: &str, per_frame: bool) -> Result<f32> {
        let weights =
            self.weights(&format!("{set}/unet/diffusion_pytorch_model.fp16.safetensors"))?;
        let net = unet::Unet::new(&self.config(&format!("{set}/unet/config.json"))?, weights)?;
        let want = self.tensors(&format!("{golden}.golden.safetensors"))?;
        let ids: Vec<Vec<f32>> = want["added_time_ids"].to_vec2()?;
        let context = self.here(&want["context"])?;
        let conditioning = if per_frame {
            net.condition_per_frame(&context, &ids)?
        } else {
            net.condition(&context, want["sample"].dim(1)?, &ids)?
        };
        let timestep = want["timestep"].to_vec1::<f32>()?[0];
        let out = net.forward(&self.here(&want["sample"])?, timestep, &conditioning)?;
        difference(&out, &want["out"])
    }

    fn vae(&self) -> Result<[f32; 2]> {
        let weights = self.weights("small/vae/diffusion_pytorch_model.fp16.safetensors")?;
        let net = vae::TemporalVae::new(&self.config("small/vae/config.json")?, weights)?;
        let want = self.tensors("small/vae.golden.safetensors")?;
        let mode = net.encode(&self.here(&want["encode.image"])?)?;
        let latents = self.here(&want["decode.latents"])?;
        let image = net.decode(&latents, latents.dim(0)?)?;
        Ok([difference(&mode, &want["encode.mode"])?, difference(&image, &want["decode.image"])?])
    }

    fn clip(&self, set: &str) -> Result<f32> {
        let weights = self.weights(&format!("{set}/image_encoder/model.fp16.safetensors"))?;
        let config = self.config(&format!("{set}/image_encoder/config.json"))?;
        let want = self.tensors(&format!("{set}/image_encoder.golden.safetensors"))?;
        let out =
            clip::VisionModel::new(&config, weights)?.forward(&self.here(&want["pixels"])?)?;
        difference(&out, &want["embeds"])
    }
}

fn parity(place: &Place) -> Result<Vec<(&'static str, f32)>> {
    let [encode, decode] = place.vae()?;
    Ok(vec![
        ("UNet, 8 channels", place.unet("small", "small/unet", false)?),
        ("UNet, 9 channels, odd sides", place.unet("odd", "odd/unet", false)?),
        ("UNet, a token per frame", place.unet("small", "small/unet_per_frame", true)?),
        ("UNet, several tokens", place.unet("small", "small/unet_tokens", false)?),
        ("VAE encode", encode),
        ("VAE decode", decode),
        ("image encoder", place.clip("small")?),
        ("image encoder, odd sizes", place.clip("odd")?),
    ])
}

/// The largest difference over the largest magnitude that was wanted; infinite for what is not a number.
fn difference(got: &Tensor, want: &Tensor) -> Result<f32> {
    let flat = |t: &Tensor| {
        t.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()
    };
    if got.dims() != want.dims() {
        candle_core::bail!("{:?} instead of {:?}", got.dims(), want.dims());
    }
    let (got, want) = (flat(got)?, flat(want)?);
    let largest = want.iter().fold(0f32, |a, b| a.max(b.abs()));
    let worst = got.iter().zip(&want).fold(0f32, |worst, (g, w)| {
        let off = (g - w).abs();
        if off.is_finite() { worst.max(off) } else { f32::INFINITY }
    });
    Ok(worst / largest)
}

struct Bench<'a> {
    device: &'a Device,
    dtype: DType,
}

type Step = Box<dyn Fn() -> Result<Tensor>>;

struct Case {
    name: &'static str,
    /// Operations of a run in units of 10^12, multiplications and additions counted each.
    tflop: Option<f64>,
    /// Only in f16: the full-size networks.
    large: bool,
    make: fn(&Bench) -> Result<Step>,
}

const fn small(name: &'static str, tflop: f64, make: fn(&Bench) -> Result<Step>) -> Case {
    Case { name, tflop: Some(tflop), large: false, make }
}

const fn large(name: &'static str, tflop: f64, make: fn(&Bench) -> Result<Step>) -> Case {
    Case { name, tflop: Some(tflop), large: true, make }
}

/// Operation counts of the networks: counted by a hook over the published classes at these sizes.
const CASES: [Case; 10] = [
    small("conv 3x3, 25x320x72x128", 0.4247, |b| {
        let conv = Conv2d::new(320, 320, 3, (1, Padding::same(1)), b.weights())?;
        let x = b.noise((25, 320, 72, 128))?;
        Ok(Box::new(move || conv.forward(&x)))
    }),
    small("conv over time, 25x320x72x128", 0.1416, |b| {
        let (conv, x) = (TemporalConv::new(320, 320, b.weights())?, b.noise((25, 320, 72, 128))?);
        Ok(Box::new(move || conv.forward(&x, 25)))
    }),
    Case {
        name: "group norm + SiLU, 25x320x72x128",
        tflop: None,
        large: false,
        make: |b| {
            let norm = GroupNorm::new(32, 320, 1e-6, b.weights())?;
            let x = b.noise((25, 320, 72, 128))?;
            Ok(Box::new(move || norm.forward(&x, Activation::Silu)))
        },
    },
    small("attention, 5 heads of 9216x64, 1 frame", 0.1087, |b| {
        let x = b.noise((1, 9216, 320))?;
        Ok(Box::new(move || attention(&x, &x, &x, 5)))
    }),
    small("attention over 25 frames, 5 heads, 9216 positions", 0.007_37, |b| {
        let x = b.noise((25, 9216, 320))?;
        Ok(Box::new(move || temporal_attention(&x, &x, &x, 25, 5)))
    }),
    small("linear, 230400x320 to 2560", 0.3775, |b| {
        let (linear, x) = (Linear::new(320, 2560, b.weights())?, b.noise((25, 9216, 320))?);
        Ok(Box::new(move || linear.forward(&x)))
    }),
    large("UNet step, 25 frames of 576x1024, batch 2", 159.9, |b| {
        let net = unet::Unet::new(&unet::Config::svd(), b.weights())?;
        let ids = vec![vec![6.0, 127.0, 0.0]; 2];
        let conditioning = net.condition(&b.noise((2, 1, 1024))?, 25, &ids)?;
        let x = b.noise((2, 25, 8, 72, 128))?;
        Ok(Box::new(move || net.forward(&x, 1.0, &conditioning)))
    }),
    large("VAE encode, 1 frame of 576x1024", 2.6, |b| {
        let net = vae::TemporalVae::new(&vae::Config::svd(), b.weights())?;
        let x = b.noise((1, 3, 576, 1024))?;
        Ok(Box::new(move || net.encode(&x)))
    }),
    large("VAE decode, 8 frames of 576x1024", 8.0 * 6.9, |b| {
        let net = vae::TemporalVae::new(&vae::Config::svd(), b.weights())?;
        let x = b.noise((8, 4, 72, 128))?;
        Ok(Box::new(move || net.decode(&x, 8)))
    }),
    large("image encoder, 1 frame", 0.33, |b| {
        let net = clip::VisionModel::new(&clip::Config::vit_h(), b.weights())?;
        let x = b.noise((1, 3, 224, 224))?;
        Ok(Box::new(move || net.forward(&x)))
    }),
];

/// Set when this goes, by a panic too.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What `run` gives, and the most bytes of the device that were taken meanwhile, looked at every
/// millisecond.
fn taken<T>(device: &Device, run: impl FnOnce() -> T) -> (T, u64) {
    let before = free_bytes(device).unwrap_or(0);
    let (over, least) = (AtomicBool::new(false), AtomicU64::new(before));
    let out = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                least.fetch_min(free_bytes(device).unwrap_or(before), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let _end = End(&over);
        run()
    });
    (out, before - least.into_inner())
}

/// Seconds, best of some runs after one that is not counted.
fn time(case: &Case, bench: &Bench) -> Result<f64> {
    let step = (case.make)(bench)?;
    step()?;
    bench.device.synchronize()?;
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        step()?;
        bench.device.synchronize()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

impl Bench<'_> {
    fn weights(&self) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(Noise), self.dtype, self.device.clone())
    }

    fn noise(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        Tensor::randn(0f32, 1.0, shape, self.device)?.to_dtype(self.dtype)
    }
}

/// Small random weights of any name and shape.
struct Noise;

impl SimpleBackend for Noise {
    fn get(
        &self,
        s: Shape,
        _: &str,
        _: candle_nn::Init,
        dtype: DType,
        dev: &Device,
    ) -> Result<Tensor> {
        Tensor::rand(-0.05f32, 0.06, s, dev)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name} without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}
