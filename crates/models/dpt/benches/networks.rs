//! Milliseconds of depth networks on the CPU, best of a few: `cargo bench -p parallax-dpt`.
//!
//! `tools/golden/bench_dpt.py` runs the same cases in PyTorch on the same cores and prints both.
//! Arguments are substrings of the cases to run.

use candle_core::Result;
use parallax_dpt::{Config, DepthNetwork, Layout};
use parallax_nn::ignore;
use parallax_test_networks::{Case, random, random_weights, run_cases, time};

fn single(name: &str, (height, width): (usize, usize)) -> Result<()> {
    let net = DepthNetwork::new(&Config::small(), Layout::Transformers, random_weights())?;
    let x = random((1, 3, height, width))?;
    time(name, || Ok(net.forward(&x, &mut ignore)?.depth))
}

/// A window of the published scheme, and how much of it is new.
const WINDOW: usize = 32;
const NEW: usize = 22;

const CASES: [Case; 6] = [
    ("Depth Anything V2 Small, 252x448", |name| single(name, (252, 448))),
    ("Depth Anything V2 Small, 518x518", |name| single(name, (518, 518))),
    ("Depth Anything V2 Small, 518x924", |name| single(name, (518, 924))),
    ("Depth Anything V2 Small, 518x518, the encoder", |name| {
        let net = DepthNetwork::new(&Config::small(), Layout::Transformers, random_weights())?;
        let x = random((1, 3, 518, 518))?;
        time(name, || net.features(&x, &mut ignore).map(|_| x.clone()))
    }),
    ("Video Depth Anything Small, 4 frames of 252x448, the head", |name| {
        let config = Config::small().with_time();
        let net = DepthNetwork::new(&config, Layout::Video, random_weights())?;
        let features = net.features(&random((4, 3, 252, 448))?, &mut ignore)?;
        time(name, || Ok(net.depth(&features, &mut ignore)?.depth))
    }),
    ("Video Depth Anything Small, 22 new frames of 252x448", |name| {
        let config = Config::small().with_time();
        let net = DepthNetwork::new(&config, Layout::Video, random_weights())?;
        let frame = random((1, 3, 252, 448))?;
        let mut seen = net.features(&random((WINDOW, 3, 252, 448))?, &mut ignore)?;
        time(name, || {
            // Frame by frame, as a film comes.
            for old in seen.iter_mut().rev().take(NEW) {
                if let Some(new) = net.features(&frame, &mut ignore)?.pop() {
                    *old = new;
                }
            }
            Ok(net.depth(&seen, &mut ignore)?.depth)
        })
    }),
];

fn main() -> Result<()> {
    run_cases(&CASES)
}
