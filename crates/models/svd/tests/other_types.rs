//! The bodies of the operations that other devices and types take, on the CPU: f64 to show that they are
//! the same mathematics, f16 to show that a whole network runs in it and stays near.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Tensor};
use common::{assert_close, config, model_as, tensors};
use parallax_svd::{clip, unet, vae};

/// Fraction of the largest magnitude that each type may be off by.
/// (bf16 has no matrix product on the CPU.)
const TYPES: [(DType, f32); 2] = [(DType::F64, 2e-5), (DType::F16, 2e-2)];

#[track_caller]
fn assert_near(name: &str, got: &Tensor, want: &Tensor, fraction: f32) {
    let largest =
        want.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    assert_close(name, got, want, 0.0, fraction * largest);
}

#[test]
fn unet() {
    for (set, golden) in
        [("small", "small/unet"), ("odd", "odd/unet"), ("small", "small/unet_tokens")]
    {
        let want = tensors(&format!("{golden}.golden.safetensors"));
        for (dtype, fraction) in TYPES {
            let weights =
                model_as(&format!("{set}/unet/diffusion_pytorch_model.fp16.safetensors"), dtype);
            let net =
                unet::Unet::new(&config(&format!("{set}/unet/config.json")), weights).unwrap();
            let typed = |name: &str| want[name].to_dtype(dtype).unwrap();
            let ids: Vec<Vec<f32>> = want["added_time_ids"].to_vec2().unwrap();
            let frames = want["sample"].dim(1).unwrap();
            let conditioning = net.condition(&typed("context"), frames, &ids).unwrap();
            let timestep = want["timestep"].to_vec1::<f32>().unwrap()[0];
            let out = net.forward(&typed("sample"), timestep, &conditioning).unwrap();
            assert_eq!(out.dtype(), dtype);
            assert_near(&format!("{golden} {dtype:?}"), &out, &want["out"], fraction);
        }
    }
}

#[test]
fn half_precision_weights_serve_a_pipeline_in_f32() {
    let want = tensors("small/unet.golden.safetensors");
    let weights = model_as("small/unet/diffusion_pytorch_model.fp16.safetensors", DType::F16);
    let net = unet::Unet::new(&config("small/unet/config.json"), weights).unwrap();
    let ids: Vec<Vec<f32>> = want["added_time_ids"].to_vec2().unwrap();
    let frames = want["sample"].dim(1).unwrap();
    let conditioning = net.condition(&want["context"], frames, &ids).unwrap();
    let timestep = want["timestep"].to_vec1::<f32>().unwrap()[0];
    let out = net.forward(&want["sample"], timestep, &conditioning).unwrap();
    assert_eq!(out.dtype(), DType::F32);
    assert_near("mixed", &out, &want["out"], 2e-2);
}

#[test]
fn vae() {
    let want = tensors("small/vae.golden.safetensors");
    for (dtype, fraction) in TYPES {
        let weights = model_as("small/vae/diffusion_pytorch_model.fp16.safetensors", dtype);
        let net = vae::TemporalVae::new(&config("small/vae/config.json"), weights).unwrap();
        let typed = |name: &str| want[name].to_dtype(dtype).unwrap();
        let mode = net.encode(&typed("encode.image")).unwrap();
        assert_near(&format!("mode {dtype:?}"), &mode, &want["encode.mode"], fraction);
        let image =
            net.decode(&typed("decode.latents"), want["decode.latents"].dim(0).unwrap()).unwrap();
        assert_near(&format!("image {dtype:?}"), &image, &want["decode.image"], fraction);
    }
}

#[test]
fn image_encoder() {
    for set in ["small", "odd"] {
        let want = tensors(&format!("{set}/image_encoder.golden.safetensors"));
        for (dtype, fraction) in TYPES {
            let weights = model_as(&format!("{set}/image_encoder/model.fp16.safetensors"), dtype);
            let net = clip::VisionModel::new(
                &config(&format!("{set}/image_encoder/config.json")),
                weights,
            )
            .unwrap();
            let out = net.forward(&want["pixels"].to_dtype(dtype).unwrap()).unwrap();
            assert_near(&format!("{set} {dtype:?}"), &out, &want["embeds"], fraction);
        }
    }
}
