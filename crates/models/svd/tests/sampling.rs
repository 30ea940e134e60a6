//! Scheduler, resize and noise against the reference.

#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{Device, Tensor};
use common::{assert_close, config, tensors};
use parallax_svd::noise::Generator;
use parallax_svd::preprocess::resize_antialiased;
use parallax_svd::scheduler::{Config, Schedule};

fn numbers(v: &[f32]) -> Tensor {
    Tensor::new(v, &Device::Cpu).unwrap()
}

#[test]
fn schedule_tables() {
    let cfg: Config = config("small/scheduler/scheduler_config.json");
    assert_eq!(cfg, Config::svd());
    let want = tensors("scheduler.golden.safetensors");
    for n in [1, 5, 8, 25] {
        let s = Schedule::new(&cfg, n).unwrap();
        assert_eq!(s.steps(), n);
        assert_close("sigmas", &numbers(&s.sigmas), &want[&format!("{n}.sigmas")], 1e-6, 0.0);
        assert_close(
            "timesteps",
            &numbers(&s.timesteps),
            &want[&format!("{n}.timesteps")],
            1e-6,
            1e-7,
        );
        let init = numbers(&[s.init_noise_sigma]);
        assert_close("init", &init, &want[&format!("{n}.init_noise_sigma")], 1e-7, 0.0);
    }
}

#[test]
fn euler_steps() {
    let want = tensors("scheduler.golden.safetensors");
    let s = Schedule::new(&Config::svd(), 5).unwrap();
    let mut x = want["trace.start"].clone();
    for i in 0..5 {
        let scaled = s.scale_input(&x, i).unwrap();
        assert_close("scaled", &scaled, &want[&format!("trace.{i}.scaled")], 1e-5, 1e-6);
        let next = &want[&format!("trace.{i}.next")];
        // Late steps subtract what early ones scaled to 700.
        x = s.step(&want[&format!("trace.{i}.v")], i, &x).unwrap();
        assert_close("next", &x, next, 1e-4, 1e-5);
        x = next.clone();
    }
    assert!(s.step(&x, 5, &x).is_err());
}

#[test]
fn unsupported_schedulers_are_named() {
    let cfg = Config { prediction_type: "epsilon".into(), ..Config::svd() };
    let error = Schedule::new(&cfg, 5).unwrap_err().to_string();
    assert!(error.contains("prediction_type") && error.contains("epsilon"), "{error}");
    assert!(Schedule::new(&Config { sigma_max: None, ..Config::svd() }, 5).is_err());
    assert!(Schedule::new(&Config::svd(), 0).is_err());
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
