//! Milliseconds of DINOv3 on the CPU, best of a few: `cargo bench -p parallax-dinov3`.
//!
//! `tools/golden/bench_dinov3.py` runs the same cases in PyTorch on the same cores and prints both. Arguments are
//! substrings of the cases to run.

use candle_core::Result;
use parallax_dinov3::{Config, Network};
use parallax_nn::ignore;
use parallax_test_networks::{Case, random, random_weights, run_cases, time};

fn class(name: &str, config: &Config, side: usize) -> Result<()> {
    let network = Network::new(config, random_weights())?;
    let picture = random((1, 3, side, side))?;
    time(name, || Ok(network.forward(&picture, &mut ignore)?.class))
}

const CASES: [Case; 4] = [
    ("DINOv3 ViT-S/16, 224x224", |name| class(name, &Config::small(), 224)),
    ("DINOv3 ViT-S+/16, 224x224", |name| class(name, &Config::small_plus(), 224)),
    ("DINOv3 ViT-S/16, 512x512", |name| class(name, &Config::small(), 512)),
    ("DINOv3 ViT-B/16, 224x224", |name| class(name, &Config::base(), 224)),
];

fn main() -> Result<()> {
    run_cases(&CASES)
}
