//! The network stage by stage against the published classes, on tiny random weights.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use common::{Tensors, build, by_authors_names, tensors, tiny, tiny_video, transformers};
use parallax_dpt::{Config, DepthNetwork, Layout, Output, Positions, Transformer};
use parallax_test_networks::assert_parity;

/// Pictures (N, H, W, 3) of bytes as the network wants them.
fn normalised(pixels: &Tensor) -> Tensor {
    let constant =
        |v: [f64; 3]| Tensor::new(&v, &Device::Cpu).unwrap().reshape((1, 3, 1, 1)).unwrap();
    let x = pixels.permute((0, 3, 1, 2)).unwrap().to_dtype(DType::F64).unwrap();
    let x = (x / 255.0).unwrap().broadcast_sub(&constant([0.485, 0.456, 0.406])).unwrap();
    let x = x.broadcast_div(&constant([0.229, 0.224, 0.225])).unwrap();
    x.to_dtype(DType::F32).unwrap().contiguous().unwrap()
}

/// Runs the network and keeps the stages.
fn stages(network: &DepthNetwork, images: &Tensor) -> BTreeMap<String, Tensor> {
    let mut seen = BTreeMap::<String, Vec<Tensor>>::new();
    let depth = network
        .forward(images, &mut |name, output| {
            seen.entry(name.to_owned()).or_default().push(output.clone());
            Ok(())
        })
        .unwrap();
    let mut all: BTreeMap<String, Tensor> =
        seen.into_iter().map(|(name, parts)| (name, Tensor::cat(&parts, 0).unwrap())).collect();
    if let Some(sky) = depth.sky {
        all.insert("sky".to_owned(), sky);
    }
    all
}

/// Every stage that the file `name` has; how many they were.
fn compare(network: &DepthNetwork, name: &str, prefix: &str) -> usize {
    let want = tensors(name);
    let got = stages(network, &normalised(&want["in.pixels_u8"]));
    let mut compared = 0;
    for (stage, got) in &got {
        let Some(want) = want.get(&format!("{prefix}{stage}")) else { continue };
        assert_parity(&format!("{name} {stage}"), &got.reshape(want.dims()).unwrap(), want);
        compared += 1;
    }
    compared
}

#[test]
fn depth_anything_v2_by_transformers_names() {
    let network = build(&transformers(tiny()), Layout::Transformers, tensors("v2.hf.safetensors"));
    for grid in ["5x3", "6x11", "16x4", "8x8"] {
        assert!(compare(&network, &format!("v2_{grid}.safetensors"), "hf.") >= 1, "{grid}");
    }
}

#[test]
fn depth_anything_v2_by_its_authors_names() {
    let weights = by_authors_names(tensors("v2.hf.safetensors"));
    let network = build(&tiny(), Layout::DepthAnything, weights);
    for (grid, stages) in [("5x3", 25), ("6x11", 21), ("16x4", 5), ("8x8", 5)] {
        let compared = compare(&network, &format!("v2_{grid}.safetensors"), "");
        assert!(compared >= stages, "{grid}: {compared}");
    }
    // Depth at the picture's size.
    let want = tensors("v2_5x3.safetensors");
    let images = normalised(&want["in.pixels_u8"]);
    let depth = network.forward(&images, &mut parallax_nn::ignore).unwrap().depth;
    let upsampled = &want["upsampled"];
    let (h, w) = (upsampled.dim(1).unwrap(), upsampled.dim(2).unwrap());
    let got = parallax_nn::ops::bilinear_aligned(&depth, (h, w)).unwrap();
    assert_parity("upsampled", &got.reshape(upsampled.dims()).unwrap(), upsampled);
}

#[test]
fn depth_anything_v1_takes_the_last_blocks() {
    let network =
        build(&tiny().with_last_blocks(), Layout::DepthAnything, tensors("v1.safetensors"));
    assert!(compare(&network, "v1_5x3.safetensors", "") >= 5);
}

#[test]
fn metric_depth() {
    let config = Config { output: Output::Metric { farthest: 20.0 }, ..transformers(tiny()) };
    let network = build(&config, Layout::Transformers, tensors("v2.hf.safetensors"));
    assert_eq!(compare(&network, "metric_5x3.safetensors", "hf."), 1);
}

#[test]
fn positions_on_real_grids() {
    let golden = tensors("positions37.safetensors");
    for (prefix, rule) in [("orig", Positions::ByFactor), ("hf", Positions::BySize)] {
        for (h, w) in [(18, 32), (27, 47), (28, 49), (37, 37), (37, 66), (49, 28)] {
            let name = format!("{prefix}.{h}x{w}");
            let got = parallax_dpt::positions_on_grid(&golden["table"], 37, (h, w), rule).unwrap();
            assert_parity(&name, &got, &golden[&name]);
        }
    }
}

#[test]
fn depth_anything_3_tells_the_sky() {
    let mut config = Config { output: Output::ExponentialWithSky, ..tiny() };
    config.transformer.final_epsilon = Config::mono_large().transformer.final_epsilon;
    let network = build(&config, Layout::DepthAnything3, tensors("da3mono.safetensors"));
    assert!(compare(&network, "da3mono_5x7.safetensors", "") >= 18);
    let want = tensors("da3mono_5x7.safetensors");
    let got =
        network.forward(&normalised(&want["in.pixels_u8"]), &mut parallax_nn::ignore).unwrap();
    assert_parity("depth", &got.depth, &want["depth_raw"]);
    assert_parity("sky", &got.sky.unwrap(), &want["sky"]);
}

#[test]
fn images_of_odd_sides_are_refused() {
    let network =
        build(&tiny().with_last_blocks(), Layout::DepthAnything, tensors("v1.safetensors"));
    let image = Tensor::zeros((1, 3, 70, 43), DType::F32, &Device::Cpu).unwrap();
    let error = network.forward(&image, &mut parallax_nn::ignore).unwrap_err().to_string();
    assert!(error.contains("43x70") && error.contains("multiples of 14"), "{error}");
}

/// The published clips' pictures, (F, H, W, 3).
fn video() -> (DepthNetwork, Tensor) {
    let network = build(&tiny_video(), Layout::Video, tensors("vda.safetensors"));
    (network, tensors("vda_window32.safetensors")["in.pixels_u8"].clone())
}

#[test]
fn video_depth_anything_sees_a_window() {
    let (network, pixels) = video();
    let want = tensors("vda_window32.safetensors");
    let mut seen = stages(&network, &normalised(&pixels));
    // Some stages were kept of one frame, and some of some.
    let frame = |t: &Tensor, i: usize| t.narrow(0, i, 1).unwrap();
    for (stage, at) in [
        ("tokens.frame0", 0),
        ("normed.0.frame31", 31),
        ("normed.1.frame31", 31),
        ("normed.3.frame31", 31),
        ("reassembled.0.frame31", 31),
        ("reassembled.1.frame31", 31),
        ("motion.3.frame31", 31),
        ("path_2.frame31", 31),
        ("path_1.frame31", 31),
        ("output_conv1.frame31", 31),
        ("logits.frame31", 31),
    ] {
        let (name, _) = stage.rsplit_once('.').unwrap();
        let got = frame(&seen[name], at);
        assert_parity(stage, &got.reshape(want[stage].dims()).unwrap(), &want[stage]);
    }
    for stage in ["normed.2", "path_4", "path_3"] {
        assert_parity(stage, &seen[stage], &want[stage]);
    }
    for i in 0..3 {
        // (1, C, F, h, w)
        let want = want[&format!("motion.{i}")].squeeze(0).unwrap().transpose(0, 1).unwrap();
        assert_parity(
            &format!("motion.{i}"),
            &seen[&format!("motion.{i}")],
            &want.contiguous().unwrap(),
        );
    }
    let output = seen.remove("output").unwrap().squeeze(1).unwrap();
    for (i, at) in [0, 1, 9, 20, 31].into_iter().enumerate() {
        let want = frame(&want["output.frames_0_1_9_20_31"], i);
        assert_parity(&format!("frame {at}"), &frame(&output, at), &want);
    }
}

#[test]
fn a_short_window_is_seen_as_it_is() {
    let (network, pixels) = video();
    let images = normalised(&pixels.narrow(0, 0, 7).unwrap());
    let depth = network.forward(&images, &mut parallax_nn::ignore).unwrap().depth;
    let want = &tensors("vda_window7.safetensors")["output"];
    assert_parity("7 frames", &depth.reshape(want.dims()).unwrap(), want);
    // More than it was trained on are refused.
    let images = normalised(&Tensor::cat(&[&pixels, &pixels], 0).unwrap());
    let error = network.forward(&images, &mut parallax_nn::ignore).unwrap_err().to_string();
    assert!(error.contains("64 frames"), "{error}");
}

/// A network of `real_grids.safetensors`: heads, blocks that are taken, channels, fused and hidden ones.
fn real_grids(golden: &Tensors, name: &str) -> DepthNetwork {
    let (heads, blocks, taken, reassembled, features, hidden) = match name {
        "narrow" => (2, 4, [0, 1, 2, 3], [6, 8, 12, 16], 12, 8),
        _ => (5, 9, [1, 2, 6, 8], [12, 8, 16, 24], 8, 32),
    };
    let prefix = format!("{name}.weights.");
    let weights = golden
        .iter()
        .filter_map(|(key, tensor)| Some((key.strip_prefix(&prefix)?.to_owned(), tensor.clone())));
    let weights: Tensors = weights.collect();
    let width = weights["backbone.embeddings.cls_token"].dim(2).unwrap();
    let transformer = Transformer { width, heads, blocks, ..Config::small().transformer };
    let config = Config { transformer, taken, reassembled, features, hidden, ..Config::small() };
    build(&transformers(config), Layout::Transformers, weights)
}

#[test]
fn networks_on_real_grids() {
    let golden = tensors("real_grids.safetensors");
    for name in ["narrow", "deep"] {
        let network = real_grids(&golden, name);
        for (rows, columns) in [(37, 37), (28, 49), (37, 66), (27, 36)] {
            let (h, w) = (14 * rows, 14 * columns);
            let value = |c: usize, i: usize| {
                let (y, x) = (i / w, i % w);
                ((y * 7 + x * 13 + y * x) % (31 + 6 * c)) as f32 / 16.0 - 1.0
            };
            let samples = (0..3).flat_map(|c| (0..h * w).map(move |i| value(c, i))).collect();
            let image = Tensor::from_vec(samples, (1, 3, h, w), &Device::Cpu).unwrap();
            let depth = network.forward(&image, &mut parallax_nn::ignore).unwrap().depth;
            let every =
                |length: usize| Tensor::arange_step(0u32, length as u32, 7, &Device::Cpu).unwrap();
            let got = depth.index_select(&every(h), 2).unwrap().index_select(&every(w), 3).unwrap();
            let want = &golden[&format!("{name}.{rows}x{columns}")];
            assert_parity(
                &format!("{name} {rows}x{columns}"),
                &got.reshape(want.dims()).unwrap(),
                want,
            );
        }
    }
}
