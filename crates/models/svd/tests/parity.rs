//! Each network against the published PyTorch class, at every block.

#![allow(clippy::unwrap_used)]

mod common;

use candle_core::Tensor;
use candle_nn::VarBuilder;
use common::{
    Tensors, assert_close, assert_parity, compare_taps, config, model, quiet_model, taps, tensors,
};
use parallax_svd::{clip, unet, vae};

fn ids(want: &Tensors) -> Vec<Vec<f32>> {
    want["added_time_ids"].to_vec2().unwrap()
}

fn timestep(want: &Tensors) -> f32 {
    want["timestep"].to_vec1().unwrap()[0]
}

fn check_unet(cfg: &str, weights: VarBuilder, golden: &str) {
    let net = unet::Unet::new(&config(cfg), weights).unwrap();
    let want = tensors(golden);
    let frames = want["sample"].dim(1).unwrap();
    let conditioning = net.condition(&want["context"], frames, &ids(&want)).unwrap();
    let mut seen = 0;
    let mut tap = compare_taps(&want, &mut seen);
    let out =
        net.forward_tapped(&want["sample"], timestep(&want), &conditioning, &mut tap).unwrap();
    assert_parity("out", &out, &want["out"]);
    // conv_norm_out is tapped before its activation by the reference; it is fused here.
    drop(tap);
    assert_eq!(seen, taps(&want, "") - 1);
}

#[test]
fn unet_of_8_channels_in_a_batch() {
    check_unet(
        "small/unet/config.json",
        model("small/unet/diffusion_pytorch_model.fp16.safetensors"),
        "small/unet.golden.safetensors",
    );
}

#[test]
fn unet_of_9_channels_on_odd_sides() {
    check_unet(
        "odd/unet/config.json",
        model("odd/unet/diffusion_pytorch_model.fp16.safetensors"),
        "odd/unet.golden.safetensors",
    );
}

#[test]
fn unet_with_small_activations() {
    let weights = quiet_model("small/unet/diffusion_pytorch_model.fp16.safetensors");
    check_unet("small/unet/config.json", weights, "quiet/unet.golden.safetensors");
}

fn small_unet() -> unet::Unet {
    let weights = model("small/unet/diffusion_pytorch_model.fp16.safetensors");
    unet::Unet::new(&config("small/unet/config.json"), weights).unwrap()
}

#[test]
fn unet_with_one_context_token_per_frame() {
    let (net, want) = (small_unet(), tensors("small/unet_per_frame.golden.safetensors"));
    let conditioning = net.condition_per_frame(&want["context"], &ids(&want)).unwrap();
    let mut seen = 0;
    let mut tap = compare_taps(&want, &mut seen);
    let out =
        net.forward_tapped(&want["sample"], timestep(&want), &conditioning, &mut tap).unwrap();
    assert_parity("out", &out, &want["out"]);
    drop(tap);
    assert_eq!(seen, taps(&want, ""));
}

#[test]
fn unet_with_several_context_tokens() {
    let (net, want) = (small_unet(), tensors("small/unet_tokens.golden.safetensors"));
    let frames = want["sample"].dim(1).unwrap();
    let conditioning = net.condition(&want["context"], frames, &ids(&want)).unwrap();
    let out = net.forward(&want["sample"], timestep(&want), &conditioning).unwrap();
    assert_parity("out", &out, &want["out"]);
}

#[test]
fn folding_a_single_context_token_changes_nothing() {
    let (net, want) = (small_unet(), tensors("small/unet.golden.safetensors"));
    let frames = want["sample"].dim(1).unwrap();
    let folded = net.condition(&want["context"], frames, &ids(&want)).unwrap();
    let whole = net.condition_unfolded(&want["context"], frames, &ids(&want)).unwrap();
    let run = |c| net.forward(&want["sample"], timestep(&want), c).unwrap();
    let (a, b) = (run(&folded), run(&whole));
    assert_close("folded", &a, &b, 1e-5, 1e-5);
}

#[test]
fn conditioning_is_reused_across_steps() {
    let (net, want) = (small_unet(), tensors("small/unet.golden.safetensors"));
    let frames = want["sample"].dim(1).unwrap();
    let once = net.condition(&want["context"], frames, &ids(&want)).unwrap();
    for t in [1.63777f32, -1.55365] {
        let again = net.condition(&want["context"], frames, &ids(&want)).unwrap();
        let a = net.forward(&want["sample"], t, &once).unwrap();
        let b = net.forward(&want["sample"], t, &again).unwrap();
        assert_close("reused", &a, &b, 0.0, 0.0);
    }
}

#[test]
fn clips_of_a_batch_do_not_see_each_other() {
    let (net, want) = (small_unet(), tensors("small/unet.golden.safetensors"));
    let (batch, frames, ..) = want["sample"].dims5().unwrap();
    for i in 0..batch {
        let one = |t: &Tensor| t.narrow(0, i, 1).unwrap();
        let conditioning =
            net.condition(&one(&want["context"]), frames, &ids(&want)[i..=i]).unwrap();
        let out = net.forward(&one(&want["sample"]), timestep(&want), &conditioning).unwrap();
        assert_parity("clip", &out, &one(&want["out"]));
    }
}

#[test]
fn unet_refuses_a_sample_of_another_network() {
    let (net, want) = (small_unet(), tensors("small/unet.golden.safetensors"));
    let frames = want["sample"].dim(1).unwrap();
    let conditioning = net.condition(&want["context"], frames, &ids(&want)).unwrap();
    let sample = want["sample"].pad_with_zeros(2, 0, 1).unwrap();
    let error = net.forward(&sample, 1.0, &conditioning).unwrap_err().to_string();
    assert!(error.contains("8 channels"), "{error}");
}

fn check_vae(cfg: &str, weights: VarBuilder, golden: &str) {
    let net = vae::TemporalVae::new(&config(cfg), weights).unwrap();
    let want = tensors(golden);
    let mut seen = 0;
    let mode =
        net.encode_tapped(&want["encode.image"], &mut compare_taps(&want, &mut seen)).unwrap();
    assert_parity("mode", &mode, &want["encode.mode"]);
    assert_eq!(seen, taps(&want, "encoder.") - 1);
    let latents = &want["decode.latents"];
    let frames = latents.dim(0).unwrap();
    let mut seen = 0;
    let image = net.decode_tapped(latents, frames, &mut compare_taps(&want, &mut seen)).unwrap();
    assert_parity("image", &image, &want["decode.image"]);
    assert_eq!(seen, taps(&want, "decoder.") - 1);
    let pairs: Vec<_> = (0..frames)
        .step_by(2)
        .map(|i| {
            let part = latents.narrow(0, i, 2.min(frames - i)).unwrap();
            net.decode(&part, part.dim(0).unwrap()).unwrap()
        })
        .collect();
    assert_parity("two at a time", &Tensor::cat(&pairs, 0).unwrap(), &want["decode.two_at_a_time"]);
    // Encoding does not depend on how many images share a call.
    let first = net.encode(&want["encode.image"].narrow(0, 0, 1).unwrap()).unwrap();
    assert_close("first", &first, &mode.narrow(0, 0, 1).unwrap(), 1e-5, 1e-6);
}

#[test]
fn vae_with_attention_in_the_decoder() {
    check_vae(
        "small/vae/config.json",
        model("small/vae/diffusion_pytorch_model.fp16.safetensors"),
        "small/vae.golden.safetensors",
    );
}

#[test]
fn vae_of_one_block_per_level() {
    check_vae(
        "odd/vae/config.json",
        model("odd/vae/diffusion_pytorch_model.fp16.safetensors"),
        "odd/vae.golden.safetensors",
    );
}

#[test]
fn vae_with_small_activations() {
    let weights = quiet_model("small/vae/diffusion_pytorch_model.fp16.safetensors");
    check_vae("small/vae/config.json", weights, "quiet/vae.golden.safetensors");
}

fn check_clip(cfg: &str, weights: VarBuilder, golden: &str) {
    let net = clip::VisionModel::new(&config(cfg), weights).unwrap();
    let want = tensors(golden);
    let mut seen = 0;
    let out = net.forward_tapped(&want["pixels"], &mut compare_taps(&want, &mut seen)).unwrap();
    assert_parity("embeds", &out, &want["embeds"]);
    assert_eq!(seen, taps(&want, ""));
}

#[test]
fn image_encoder() {
    check_clip(
        "small/image_encoder/config.json",
        model("small/image_encoder/model.fp16.safetensors"),
        "small/image_encoder.golden.safetensors",
    );
}

#[test]
fn image_encoder_with_the_sigmoid_activation() {
    check_clip(
        "odd/image_encoder/config.json",
        model("odd/image_encoder/model.fp16.safetensors"),
        "odd/image_encoder.golden.safetensors",
    );
}

#[test]
fn image_encoder_with_small_activations() {
    let weights = quiet_model("small/image_encoder/model.fp16.safetensors");
    check_clip(
        "small/image_encoder/config.json",
        weights,
        "quiet/image_encoder.golden.safetensors",
    );
}
