//! Resize and noise against the reference.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use parallax_nn::noise::Generator;
use parallax_nn::resize::resize_antialiased;
use parallax_test_networks::assert_close;

fn tensors(name: &str) -> HashMap<String, Tensor> {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    candle_core::safetensors::load(goldens.join(name), &Device::Cpu).unwrap()
}

fn numbers(v: &[f32]) -> Tensor {
    Tensor::new(v, &Device::Cpu).unwrap()
}

#[test]
fn antialiased_resize() {
    let want = tensors("resize.golden.safetensors");
    let cases = [(40, 56, 28, 28), (33, 71, 14, 20), (9, 12, 16, 22), (61, 47, 7, 5)];
    for (h, w, oh, ow) in cases {
        let got = resize_antialiased(&want[&format!("{h}x{w}.{oh}x{ow}.in")], (oh, ow)).unwrap();
        assert_close("resize", &got, &want[&format!("{h}x{w}.{oh}x{ow}.out")], 1e-5, 1e-5);
    }
    // The size of the pipelines; the input is a formula and every eighth pixel is stored.
    let (h, w) = (448usize, 250usize);
    let pixel = |i: usize| ((i / w * 7 + i % w * 13 + i / w * (i % w)) % 32) as f32 / 16.0 - 1.0;
    let x = Tensor::from_vec((0..h * w).map(pixel).collect(), (1, 1, h, w), &Device::Cpu).unwrap();
    let got = resize_antialiased(&x, (224, 224)).unwrap();
    let every8 = Tensor::arange_step(0u32, 224, 8, &Device::Cpu).unwrap();
    let got = got.index_select(&every8, 2).unwrap().index_select(&every8, 3).unwrap();
    assert_close("resize 224", &got, &want["448x250.224x224.out"], 1e-5, 1e-5);
    assert!(resize_antialiased(&x, (1, 0)).is_err());
}

#[test]
fn noise_of_a_seed() {
    let want = tensors("noise.golden.safetensors");
    let mut checked = 0;
    for (name, want) in &want {
        let parts: Vec<&str> = name.split('.').collect();
        if parts[0] == "stream" {
            continue;
        }
        let (seed, n): (u64, usize) = (parts[0].parse().unwrap(), parts[1].parse().unwrap());
        let mut g = Generator::new(seed);
        if parts[2] == "f32" {
            assert_close(name, &g.randn(&[n], &Device::Cpu).unwrap(), want, 1e-5, 2e-6);
        } else {
            let got: Vec<f32> = g.normal_f16(n).into_iter().map(f32::from).collect();
            assert_close(name, &numbers(&got), want, 1e-3, 1e-5);
        }
        checked += 1;
    }
    assert_eq!(checked, 5 * 9 * 2);
}

#[test]
fn one_generator_serves_many_calls() {
    let want = tensors("noise.golden.safetensors");
    let mut g = Generator::new(7);
    for (i, n) in [3, 20, 5, 4, 33, 16, 1].into_iter().enumerate() {
        let got = g.randn(&[n], &Device::Cpu).unwrap();
        assert_close("stream", &got, &want[&format!("stream.{i}.{n}")], 1e-5, 2e-6);
    }
}
