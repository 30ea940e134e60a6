//! Milliseconds of operations on the CPU, best of a few: `cargo bench -p parallax-nn`.
//!
//! `tools/golden/bench_svd.py` runs the same cases in PyTorch on the same cores and prints both.
//! Arguments are substrings of the cases to run.

use candle_core::Result;
use parallax_nn::ops::{
    Activation, Conv2d, GroupNorm, LayerNorm, Linear, Padding, TemporalConv, attention, geglu,
    temporal_attention,
};
use parallax_test_networks::{Case, random, random_weights, run_cases, time};

const CASES: [Case; 9] = [
    ("conv 3x3, 4x320x36x64", |name| {
        let (conv, x) = (
            Conv2d::new(320, 320, 3, (1, Padding::same(1)), random_weights())?,
            random((4, 320, 36, 64))?,
        );
        time(name, || conv.forward(&x))
    }),
    ("conv 3x3, 1x128x144x256", |name| {
        let (conv, x) = (
            Conv2d::new(128, 128, 3, (1, Padding::same(1)), random_weights())?,
            random((1, 128, 144, 256))?,
        );
        time(name, || conv.forward(&x))
    }),
    ("conv over time, 4x320x36x64", |name| {
        let (conv, x) = (TemporalConv::new(320, 320, random_weights())?, random((4, 320, 36, 64))?);
        time(name, || conv.forward(&x, 4))
    }),
    ("group norm + SiLU, 4x320x36x64", |name| {
        let (norm, x) =
            (GroupNorm::new(32, 320, 1e-6, random_weights())?, random((4, 320, 36, 64))?);
        time(name, || norm.forward(&x, Activation::Silu))
    }),
    ("attention, 20 heads of 2304x64", |name| {
        let x = random((1, 2304, 1280))?;
        time(name, || attention(&x, &x, &x, 20))
    }),
    ("attention over 8 frames, 5 heads, 2304 positions", |name| {
        let x = random((8, 2304, 320))?;
        time(name, || temporal_attention(&x, &x, &x, 8, 5))
    }),
    ("linear 4096x320 to 320", |name| {
        let (linear, x) = (Linear::new(320, 320, random_weights())?, random((1, 4096, 320))?);
        time(name, || linear.forward(&x))
    }),
    ("layer norm 4x2304x320", |name| {
        let (norm, x) = (LayerNorm::new(320, 1e-5, random_weights())?, random((4, 2304, 320))?);
        time(name, || norm.forward(&x))
    }),
    ("GEGLU 4x2304x2560", |name| {
        let x = random((4, 2304, 2560))?;
        time(name, || geglu(&x))
    }),
];

fn main() -> Result<()> {
    run_cases(&CASES)
}
