//! Goldens and how to compare with them.
#![allow(dead_code)]

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;

pub(crate) use parallax_test_networks::{assert_close, assert_parity};

pub(crate) type Tensors = HashMap<String, Tensor>;

pub(crate) fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

pub(crate) fn tensors(name: &str) -> Tensors {
    candle_core::safetensors::load(golden(name), &Device::Cpu).unwrap()
}

pub(crate) fn config<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(golden(name)).unwrap()).unwrap()
}

fn weights(name: &str) -> Tensors {
    let upcast = |(k, v): (String, Tensor)| (k, v.to_dtype(DType::F32).unwrap());
    tensors(name).into_iter().map(upcast).collect()
}

fn builder(weights: Tensors) -> VarBuilder<'static> {
    VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu)
}

pub(crate) fn model(name: &str) -> VarBuilder<'static> {
    builder(weights(name))
}

/// The weights as another type, which takes the bodies that other devices take.
pub(crate) fn model_as(name: &str, dtype: DType) -> VarBuilder<'static> {
    VarBuilder::from_tensors(tensors(name), dtype, &Device::Cpu)
}

#[derive(Deserialize)]
struct Quiet {
    factor: f64,
    suffixes: Vec<String>,
}

/// The weights with those before a norm scaled down, as the exporter had them.
pub(crate) fn quiet_model(name: &str) -> VarBuilder<'static> {
    let quiet: Quiet = config("quiet/quiet.json");
    let scaled = weights(name).into_iter().map(|(k, v)| {
        let module = k.rsplit_once('.').map_or("", |(m, _)| m);
        let hit = quiet.suffixes.iter().any(|s| k.ends_with(s) || module.ends_with(s));
        let v = if hit { (v * quiet.factor).unwrap() } else { v };
        (k, v)
    });
    builder(scaled.collect())
}

/// A tap that compares with the golden of the same name and counts the comparisons.
pub(crate) fn compare_taps<'a>(
    want: &'a Tensors,
    seen: &'a mut usize,
) -> impl FnMut(&str, &Tensor) -> candle_core::Result<()> + 'a {
    move |name, got| {
        if let Some(want) = want.get(&format!("tap.{name}")) {
            let got = if got.rank() + 1 == want.rank() { got.unsqueeze(0)? } else { got.clone() };
            let got = if got.dims() != want.dims() && got.dim(0)? == 1 {
                got.broadcast_as(want.shape())?
            } else {
                got
            };
            assert_parity(name, &got, want);
            *seen += 1;
        }
        Ok(())
    }
}

/// How many taps a golden file holds, under a prefix.
pub(crate) fn taps(want: &Tensors, prefix: &str) -> usize {
    want.keys().filter(|k| k.starts_with("tap.") && k[4..].starts_with(prefix)).count()
}
