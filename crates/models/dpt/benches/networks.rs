//! Milliseconds of depth networks on the CPU, best of a few: `cargo bench -p parallax-dpt`.
//!
//! `tools/golden/bench_dpt.py` runs the same cases in PyTorch on the same cores and prints both.
//! Arguments are substrings of the cases to run.

use std::sync::Arc;

use candle_core::Result;
use parallax_dpt::{Config, DepthNetwork, Layout, Stream};
use parallax_nn::ignore;
use parallax_test_networks::{Case, random, random_weights, run_cases, time};

fn single(name: &str, config: &Config, (height, width): (usize, usize)) -> Result<()> {
    let net = DepthNetwork::new(config, Layout::Transformers, random_weights())?;
    let x = random((1, 3, height, width))?;
    time(name, || Ok(net.forward(&x, &mut ignore)?.depth))
}

/// A window of the published scheme, and how much of it is new.
const WINDOW: usize = 32;
const NEW: usize = 22;

/// A window of which the new frames came one by one, as a film comes.
fn window(name: &str, config: Config) -> Result<()> {
    let net = DepthNetwork::new(&config.with_time(), Layout::Video, random_weights())?;
    let frame = random((1, 3, 252, 448))?;
    let first = net.features(&frame, &mut ignore)?;
    let mut seen: Vec<_> = first.into_iter().cycle().take(WINDOW).collect();
    time(name, || {
        for old in seen.iter_mut().rev().take(NEW) {
            if let Some(new) = net.features(&frame, &mut ignore)?.pop() {
                *old = new;
            }
        }
        Ok(net.depth(&seen, &mut ignore)?.depth)
    })
}

/// A frame that sees those before it.
fn streamed(name: &str, config: Config) -> Result<()> {
    let net = DepthNetwork::new(&config.with_time(), Layout::Video, random_weights())?;
    let net = Arc::new(net);
    let mut stream = Stream::new(Arc::clone(&net), None)?;
    let frame = random((1, 3, 252, 448))?;
    let mut next = || -> Result<()> {
        for features in net.features(&frame, &mut ignore)? {
            stream.push(&features)?;
        }
        Ok(())
    };
    // From the second on a frame sees as many as any.
    next()?;
    time(name, || next().map(|()| frame.clone()))
}

const CASES: [Case; 15] = [
    ("Depth Anything V2 Small, 252x448", |name| single(name, &Config::small(), (252, 448))),
    ("Depth Anything V2 Small, 518x518", |name| single(name, &Config::small(), (518, 518))),
    ("Depth Anything V2 Small, 518x924", |name| single(name, &Config::small(), (518, 924))),
    ("Depth Anything V2 Base, 252x448", |name| single(name, &Config::base(), (252, 448))),
    ("Depth Anything V2 Base, 518x518", |name| single(name, &Config::base(), (518, 518))),
    ("Depth Anything V2 Large, 252x448", |name| single(name, &Config::large(), (252, 448))),
    ("Depth Anything V2 Large, 518x518", |name| single(name, &Config::large(), (518, 518))),
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
    ("Video Depth Anything Small, 22 new frames of 252x448", |name| window(name, Config::small())),
    ("Video Depth Anything Base, 22 new frames of 252x448", |name| window(name, Config::base())),
    ("Video Depth Anything Large, 22 new frames of 252x448", |name| window(name, Config::large())),
    ("Video Depth Anything Small, a frame of 252x448 that streams", |name| {
        streamed(name, Config::small())
    }),
    ("Video Depth Anything Base, a frame of 252x448 that streams", |name| {
        streamed(name, Config::base())
    }),
    ("Video Depth Anything Large, a frame of 252x448 that streams", |name| {
        streamed(name, Config::large())
    }),
];

fn main() -> Result<()> {
    run_cases(&CASES)
}
