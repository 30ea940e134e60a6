//! Milliseconds of networks on the CPU, best of a few: `cargo bench -p parallax-svd`.
//!
//! `tools/golden/bench_svd.py` runs the same cases in PyTorch on the same cores and prints both.
//! Arguments are substrings of the cases to run.

use candle_core::Result;
use parallax_svd::{clip, unet, vae};
use parallax_test_networks::{Case, random, random_weights, run_cases, time};

const CASES: [Case; 4] = [
    ("UNet step, 8 frames of 40x64, widths 128 256 512 512", |name| {
        let cfg = unet::Config {
            block_out_channels: vec![128, 256, 512, 512],
            num_attention_heads: unet::PerLevel::Each(vec![2, 4, 8, 8]),
            ..unet::Config::stereocrafter()
        };
        let net = unet::Unet::new(&cfg, random_weights())?;
        let conditioning = net.condition(&random((1, 1, 1024))?, 8, &[vec![6.0, 127.0, 0.0]])?;
        let x = random((1, 8, 9, 40, 64))?;
        time(name, || net.forward(&x, 1.0, &conditioning))
    }),
    ("VAE encode, 2 frames of 192x320", |name| {
        let (net, x) = (
            vae::TemporalVae::new(&vae::Config::svd(), random_weights())?,
            random((2, 3, 192, 320))?,
        );
        time(name, || net.encode(&x))
    }),
    ("VAE decode, 4 frames of 192x320", |name| {
        let (net, x) = (
            vae::TemporalVae::new(&vae::Config::svd(), random_weights())?,
            random((4, 4, 24, 40))?,
        );
        time(name, || net.decode(&x, 4))
    }),
    ("CLIP, 2 images, 4 of 32 layers", |name| {
        let cfg = clip::Config { num_hidden_layers: 4, ..clip::Config::vit_h() };
        let (net, x) = (clip::VisionModel::new(&cfg, random_weights())?, random((2, 3, 224, 224))?);
        time(name, || net.forward(&x))
    }),
];

fn main() -> Result<()> {
    run_cases(&CASES)
}
