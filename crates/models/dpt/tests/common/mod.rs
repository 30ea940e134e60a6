//! The goldens and the networks that they are of.
#![allow(dead_code, unreachable_pub)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use parallax_dpt::{Config, DepthNetwork, Layout, Positions, Temporal, Transformer};

pub type Tensors = HashMap<String, Tensor>;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

pub fn tensors(name: &str) -> Tensors {
    candle_core::safetensors::load(golden(name), &Device::Cpu).unwrap()
}

/// The goldens' network of single pictures.
pub fn tiny() -> Config {
    Config {
        transformer: Transformer {
            width: 48,
            heads: 3,
            blocks: 5,
            table: 8,
            ..Config::small().transformer
        },
        taken: [0, 1, 3, 4],
        reassembled: [8, 12, 20, 24],
        features: 16,
        ..Config::small()
    }
}

/// The goldens' network of films.
pub fn tiny_video() -> Config {
    Config {
        transformer: Transformer { width: 32, heads: 2, table: 9, ..tiny().transformer },
        reassembled: [12, 20, 32, 64],
        features: 32,
        temporal: Some(Temporal { heads: 8, frames: 32 }),
        ..tiny()
    }
}

pub fn transformers(config: Config) -> Config {
    let transformer = Transformer { positions: Positions::BySize, ..config.transformer };
    Config { transformer, ..config }
}

pub fn build(config: &Config, layout: Layout, weights: Tensors) -> DepthNetwork {
    let wide = weights.into_iter().map(|(name, t)| (name, t.to_dtype(DType::F32).unwrap()));
    let vb = VarBuilder::from_tensors(wide.collect(), DType::F32, &Device::Cpu);
    DepthNetwork::new(config, layout, vb).unwrap()
}

/// The same numbers by the authors' names: the published mapping, written the other way round.
pub fn by_authors_names(weights: Tensors) -> Tensors {
    let mut named = Tensors::new();
    let mut parts = BTreeMap::<String, [Option<Tensor>; 3]>::new();
    for (name, tensor) in weights {
        let mut name = name
            .replace("backbone.embeddings.position_embeddings", "pretrained.pos_embed")
            .replace(
                "backbone.embeddings.patch_embeddings.projection",
                "pretrained.patch_embed.proj",
            )
            .replace("backbone.embeddings", "pretrained")
            .replace("backbone.encoder.layer", "pretrained.blocks")
            .replace("backbone.layernorm", "pretrained.norm")
            .replace("attention.output.dense", "attn.proj")
            .replace("layer_scale1.lambda1", "ls1.gamma")
            .replace("layer_scale2.lambda1", "ls2.gamma");
        for (i, part) in ["query", "key", "value"].iter().enumerate() {
            if let Some((block, leaf)) = name.split_once(&format!("attention.attention.{part}")) {
                let whole = format!("{block}attn.qkv{leaf}");
                parts.entry(whole).or_default()[i] = Some(tensor.clone());
            }
        }
        if name.contains("attention.attention") {
            continue;
        }
        for i in 0..4 {
            let k = i + 1;
            let swaps = [
                (
                    format!("neck.reassemble_stage.layers.{i}.projection"),
                    format!("depth_head.projects.{i}"),
                ),
                (
                    format!("neck.reassemble_stage.layers.{i}.resize"),
                    format!("depth_head.resize_layers.{i}"),
                ),
                (format!("neck.convs.{i}."), format!("depth_head.scratch.layer{k}_rn.")),
                (
                    format!("neck.fusion_stage.layers.{}.", 3 - i),
                    format!("depth_head.scratch.refinenet{k}."),
                ),
            ];
            for (from, to) in swaps {
                name = name.replace(&from, &to);
            }
        }
        for unit in 1..=2 {
            for conv in 1..=2 {
                name = name.replace(
                    &format!("residual_layer{unit}.convolution{conv}"),
                    &format!("resConfUnit{unit}.conv{conv}"),
                );
            }
        }
        if name.contains("refinenet") {
            name = name.replace(".projection.", ".out_conv.");
        }
        let name = name
            .replace("head.conv1", "depth_head.scratch.output_conv1")
            .replace("head.conv2", "depth_head.scratch.output_conv2.0")
            .replace("head.conv3", "depth_head.scratch.output_conv2.2");
        named.insert(name, tensor);
    }
    for (name, three) in parts {
        let three: Vec<Tensor> = three.into_iter().map(Option::unwrap).collect();
        named.insert(name, Tensor::cat(&three, 0).unwrap());
    }
    named
}
