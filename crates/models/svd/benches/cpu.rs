//! Milliseconds on the CPU, best of a few: `cargo bench -p parallax-svd`.
//!
//! One line per case, name TAB milliseconds. `tools/golden/bench_svd.py` runs the same cases in PyTorch
//! on the same cores and prints both. Arguments are substrings of the cases to run.

use std::time::Instant;

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use parallax_svd::ops::{
    Activation, Conv2d, GroupNorm, LayerNorm, Linear, Padding, TemporalConv, attention, geglu,
    temporal_attention,
};
use parallax_svd::{clip, unet, vae};

const REPEATS: usize = 3;

/// Small random weights of any name and shape.
struct Noise;

impl SimpleBackend for Noise {
    fn get(&self, s: Shape, _: &str, _: candle_nn::Init, _: DType, dev: &Device) -> Result<Tensor> {
        Tensor::rand(-0.05f32, 0.06, s, dev)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name} without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

fn weights() -> VarBuilder<'static> {
    VarBuilder::from_backend(Box::new(Noise), DType::F32, Device::Cpu)
}

fn noise(shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::randn(0f32, 1.0, shape, &Device::Cpu)
}

fn time(name: &str, mut run: impl FnMut() -> Result<Tensor>) -> Result<()> {
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name}\t{:.2}", best * 1e3);
    Ok(())
}

type Case = (&'static str, fn(&str) -> Result<()>);

const CASES: [Case; 13] = [
    ("conv 3x3, 4x320x36x64", |name| {
        let (conv, x) =
            (Conv2d::new(320, 320, 3, (1, Padding::same(1)), weights())?, noise((4, 320, 36, 64))?);
        time(name, || conv.forward(&x))
    }),
    ("conv 3x3, 1x128x144x256", |name| {
        let (conv, x) = (
            Conv2d::new(128, 128, 3, (1, Padding::same(1)), weights())?,
            noise((1, 128, 144, 256))?,
        );
        time(name, || conv.forward(&x))
    }),
    ("conv over time, 4x320x36x64", |name| {
        let (conv, x) = (TemporalConv::new(320, 320, weights())?, noise((4, 320, 36, 64))?);
        time(name, || conv.forward(&x, 4))
    }),
    ("group norm + SiLU, 4x320x36x64", |name| {
        let (norm, x) = (GroupNorm::new(32, 320, 1e-6, weights())?, noise((4, 320, 36, 64))?);
        time(name, || norm.forward(&x, Activation::Silu))
    }),
    ("attention, 20 heads of 2304x64", |name| {
        let x = noise((1, 2304, 1280))?;
        time(name, || attention(&x, &x, &x, 20))
    }),
    ("attention over 8 frames, 5 heads, 2304 positions", |name| {
        let x = noise((8, 2304, 320))?;
        time(name, || temporal_attention(&x, &x, &x, 8, 5))
    }),
    ("linear 4096x320 to 320", |name| {
        let (linear, x) = (Linear::new(320, 320, weights())?, noise((1, 4096, 320))?);
        time(name, || linear.forward(&x))
    }),
    ("layer norm 4x2304x320", |name| {
        let (norm, x) = (LayerNorm::new(320, 1e-5, weights())?, noise((4, 2304, 320))?);
        time(name, || norm.forward(&x))
    }),
    ("GEGLU 4x2304x2560", |name| {
        let x = noise((4, 2304, 2560))?;
        time(name, || geglu(&x))
    }),
    ("UNet step, 8 frames of 40x64, widths 128 256 512 512", |name| {
        let cfg = unet::Config {
            block_out_channels: vec![128, 256, 512, 512],
            num_attention_heads: unet::PerLevel::Each(vec![2, 4, 8, 8]),
            ..unet::Config::stereocrafter()
        };
        let net = unet::Unet::new(&cfg, weights())?;
        let conditioning = net.condition(&noise((1, 1, 1024))?, 8, &[vec![6.0, 127.0, 0.0]])?;
        let x = noise((1, 8, 9, 40, 64))?;
        time(name, || net.forward(&x, 1.0, &conditioning))
    }),
    ("VAE encode, 2 frames of 192x320", |name| {
        let (net, x) =
            (vae::TemporalVae::new(&vae::Config::svd(), weights())?, noise((2, 3, 192, 320))?);
        time(name, || net.encode(&x))
    }),
    ("VAE decode, 4 frames of 192x320", |name| {
        let (net, x) =
            (vae::TemporalVae::new(&vae::Config::svd(), weights())?, noise((4, 4, 24, 40))?);
        time(name, || net.decode(&x, 4))
    }),
    ("CLIP, 2 images, 4 of 32 layers", |name| {
        let cfg = clip::Config { num_hidden_layers: 4, ..clip::Config::vit_h() };
        let (net, x) = (clip::VisionModel::new(&cfg, weights())?, noise((2, 3, 224, 224))?);
        time(name, || net.forward(&x))
    }),
];

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    for (name, run) in CASES {
        if wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str())) {
            run(name)?;
        }
    }
    Ok(())
}
