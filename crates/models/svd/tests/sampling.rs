//! The scheduler against the reference.

#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{Device, Tensor};
use common::{assert_close, config, tensors};
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
