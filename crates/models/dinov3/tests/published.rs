//! The network and the preparation of pictures against the published classes, stage by stage, on tiny random weights.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use parallax_dinov3::manifest::Opened;
use parallax_dinov3::{Config, Network, Preprocessing, Size, angles, normalised};
use parallax_nn::ignore;
use parallax_test_networks::{assert_close, assert_parity};

type Tensors = HashMap<String, Tensor>;

fn goldens() -> Tensors {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/dinov3.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

/// The goldens' networks.
fn config(name: &str) -> Config {
    let common = Config { num_register_tokens: 3, ..Config::default() };
    match name {
        "gated" => Config {
            hidden_size: 40,
            num_attention_heads: 2,
            num_hidden_layers: 3,
            intermediate_size: 56,
            use_gated_mlp: true,
            hidden_act: "silu".to_owned(),
            rope_theta: 30.0,
            key_bias: true,
            proj_bias: false,
            patch_size: 8,
            ..common
        },
        _ => Config {
            hidden_size: 48,
            num_attention_heads: 3,
            num_hidden_layers: 2,
            intermediate_size: 84,
            num_register_tokens: 5,
            layer_norm_eps: 1e-3,
            value_bias: false,
            ..common
        },
    }
}

fn network(goldens: &Tensors, name: &str, dtype: DType) -> Network {
    let prefix = format!("{name}.weights.");
    let own = goldens.iter().filter_map(|(key, t)| {
        Some((key.strip_prefix(&prefix)?.to_owned(), t.to_dtype(dtype).unwrap()))
    });
    let vb = VarBuilder::from_tensors(own.collect(), dtype, &Device::Cpu);
    Network::new(&config(name), vb).unwrap()
}

/// The stages that the network goes through, by name.
fn stages(network: &Network, pixels: &Tensor) -> Tensors {
    let mut seen = Tensors::new();
    let features = network
        .forward(pixels, &mut |name, output| {
            seen.insert(name.to_owned(), output.clone());
            Ok(())
        })
        .unwrap();
    seen.insert("class".to_owned(), features.class.clone());
    // The parts together are the whole.
    let (n, rows, columns, width) = features.patches.dims4().unwrap();
    let patches = features.patches.reshape((n, rows * columns, width)).unwrap();
    let parts = [&features.class.unsqueeze(1).unwrap(), &features.registers, &patches];
    seen.insert("parts".to_owned(), Tensor::cat(&parts, 1).unwrap());
    seen
}

/// Cosines and sines of a grid's angles as transformers has them, twice beside each other.
fn turns(config: &Config, grid: (usize, usize)) -> [Tensor; 2] {
    let half = config.head() / 2;
    let angles = angles(grid, config.head(), config.rope_theta);
    let angles = Tensor::from_vec(angles, (grid.0 * grid.1, half), &Device::Cpu).unwrap();
    let twice = Tensor::cat(&[&angles, &angles], 1).unwrap();
    [twice.cos().unwrap(), twice.sin().unwrap()]
}

/// The picture of (rows, samples of a row) that the goldens' formula makes, in 0 to 1.
fn picture((h, w): (usize, usize)) -> [Vec<f32>; 3] {
    [0, 1, 2].map(|c| {
        let byte = |i: usize| {
            let (y, x) = (i / w, i % w);
            (y * 7 + x * 13 + y * x * (c + 1)) % (191 + 32 * c)
        };
        (0..h * w).map(|i| byte(i) as f32 / 255.0).collect()
    })
}

const PICTURES: [(&str, (usize, usize), Size); 5] = [
    ("squashed", (61, 97), Size::Squash { height: 48, width: 80 }),
    ("enlarged", (19, 23), Size::Squash { height: 64, width: 32 }),
    ("wide", (61, 97), Size::Shortest { shortest_edge: 40 }),
    ("tall", (310, 201), Size::Shortest { shortest_edge: 35 }),
    ("published", (150, 211), Size::Squash { height: 224, width: 224 }),
];

fn input(shape: (usize, usize), size: Size) -> Tensor {
    let [r, g, b] = picture(shape);
    let preprocessing = Preprocessing { size, ..Preprocessing::default() };
    normalised([&r, &g, &b], shape, &preprocessing).unwrap()
}

#[test]
fn pictures_become_what_the_published_processor_makes_of_them() {
    let goldens = goldens();
    for (name, shape, size) in PICTURES {
        let mut got = input(shape, size);
        if name == "published" {
            let every = |n: u32| Tensor::arange_step(0, n, 13, &Device::Cpu).unwrap();
            got = got.index_select(&every(224), 2).unwrap().index_select(&every(224), 3).unwrap();
        }
        assert_parity(name, &got, &goldens[&format!("pixels.{name}")]);
    }
}

#[test]
fn networks_go_through_the_published_stages() {
    let goldens = goldens();
    for (name, blocks) in [("gated", 3), ("plain", 2)] {
        let network = network(&goldens, name, DType::F32);
        for (case, ..) in &PICTURES[..4] {
            let pixels = &goldens[&format!("pixels.{case}")];
            let mut got = stages(&network, pixels);
            let (_, _, h, w) = pixels.dims4().unwrap();
            let grid = network.config().grid((h, w)).unwrap();
            let [cos, sin] = turns(network.config(), grid);
            got.extend([("cos".to_owned(), cos), ("sin".to_owned(), sin)]);
            got.insert("last_hidden_state".to_owned(), got["parts"].clone());
            let layers = (0..blocks).map(|i| format!("layer{i}"));
            let others = ["embeddings", "cos", "sin", "last_hidden_state", "class"];
            for stage in layers.chain(others.map(str::to_owned)) {
                let want = &goldens[&format!("{name}.{case}.{stage}")];
                assert_parity(&format!("{name} {case} {stage}"), &got[&stage], want);
            }
        }
        let squashed = &goldens["pixels.squashed"];
        let backwards: Vec<u32> = (0..80).rev().collect();
        let backwards = Tensor::new(backwards, &Device::Cpu).unwrap();
        let flipped = squashed.index_select(&backwards, 3).unwrap();
        let both = Tensor::cat(&[squashed, &flipped], 0).unwrap();
        let want = &goldens[&format!("{name}.batch.last_hidden_state")];
        assert_parity(&format!("{name} batch"), &stages(&network, &both)["parts"], want);
        // From the picture itself to its vector.
        let (_, shape, size) = PICTURES[4];
        let class = network.forward(&input(shape, size), &mut ignore).unwrap().class;
        let want = &goldens[&format!("{name}.published.class")];
        // What pictures differ by after resampling, attention this sharp makes several times as much of.
        let range = want.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        let limit = 1e-4 * range.to_scalar::<f32>().unwrap();
        assert_close(&format!("{name} published"), &class, want, 0.0, limit);
    }
}

/// What runs on other devices and in other types is made of other operations.
#[test]
fn both_bodies_compute_the_same() {
    let goldens = goldens();
    for name in ["gated", "plain"] {
        let wide = network(&goldens, name, DType::F64);
        let class = wide.forward(&goldens["pixels.tall"], &mut ignore).unwrap().class;
        let class = class.to_dtype(DType::F32).unwrap();
        assert_parity(name, &class, &goldens[&format!("{name}.tall.class")]);
    }
}

/// Parameters of a network, by the tensors that it asks for.
fn parameters(config: &Config) -> u64 {
    let inventory = parallax_weights::Inventory::of(|vb| Network::new(config, vb)).unwrap();
    inventory.iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
}

#[test]
fn published_sizes_have_the_published_numbers_of_parameters() {
    for (config, want) in [
        (Config::small(), 21_596_544),
        (Config::small_plus(), 28_692_864),
        (Config::base(), 85_660_416),
        (Config::large(), 303_129_600),
        (Config::huge_plus(), 840_592_640),
        (Config::seven_billion(), 6_716_035_072),
    ] {
        assert_eq!(parameters(&config), want, "{config:?}");
    }
}

/// A folder as it is published, of the goldens' network `name`.
fn folder(goldens: &Tensors, name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let prefix = format!("{name}.weights.");
    let own = goldens
        .iter()
        .filter_map(|(key, t)| Some((key.strip_prefix(&prefix)?.to_owned(), t.clone())));
    let own: Tensors = own.collect();
    candle_core::safetensors::save(&own, folder.path().join("model.safetensors")).unwrap();
    folder
}

#[test]
fn folders_are_opened_by_their_configuration_and_wrong_ones_are_named() {
    let goldens = goldens();
    let folder = folder(&goldens, "gated");
    let write = |text: &str| std::fs::write(folder.path().join("config.json"), text).unwrap();
    let right = r#"{"model_type": "dinov3_vit", "hidden_size": 40, "num_attention_heads": 2,
        "num_hidden_layers": 3, "intermediate_size": 56, "num_register_tokens": 3, "use_gated_mlp": true,
        "hidden_act": "silu", "rope_theta": 30.0, "key_bias": true, "proj_bias": false, "patch_size": 8,
        "pos_embed_rescale": 2.0, "drop_path_rate": 0.0}"#;
    write(right);
    let opened = Opened::at(folder.path()).unwrap();
    assert_eq!(opened.config, config("gated"));
    assert_eq!(opened.preprocessing, Preprocessing::default());
    let network = opened.build("tiny", DType::F32, &Device::Cpu).unwrap();
    let class = network.forward(&goldens["pixels.wide"], &mut ignore).unwrap().class;
    assert_parity("from a folder", &class, &goldens["gated.wide.class"]);
    for (wrong, named) in [
        (right.replace("\"key_bias\": true", "\"key_bias\": false"), "k_proj.bias"),
        (right.replace("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4"), "layer.3."),
        (right.replace("dinov3_vit", "dinov2"), "model_type"),
        (right.replace("\"silu\"", "\"gelu\""), "hidden_act"),
    ] {
        write(&wrong);
        let error = Opened::at(folder.path()).and_then(|opened| opened.check("tiny")).unwrap_err();
        assert!(error.to_string().contains(named), "{named}: {error}");
    }
}
