//! Folders as people have them: layouts, variants, shards, and what is wrong with wrong ones.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::error::Error as _;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use parallax_svd::{clip, manifest, unet, vae};
use parallax_weights::{Checkpoint, Error, Inventory, config, part_dir};

/// A UNet small enough to write many times.
fn tiny(in_channels: usize) -> unet::Config {
    unet::Config {
        in_channels,
        down_block_types: vec![unet::DownBlock::Plain],
        up_block_types: vec![unet::UpBlock::Plain],
        block_out_channels: vec![32],
        addition_time_embed_dim: 4,
        projection_class_embeddings_input_dim: 12,
        layers_per_block: unet::PerLevel::One(1),
        cross_attention_dim: unet::PerLevel::One(6),
        num_attention_heads: unet::PerLevel::One(2),
        ..unet::Config::svd()
    }
}

fn build(cfg: &unet::Config) -> impl Fn(VarBuilder) -> candle_core::Result<unet::Unet> {
    |vb| unet::Unet::new(cfg, vb)
}

fn tensors(cfg: &unet::Config) -> HashMap<String, Tensor> {
    let inventory = Inventory::of(build(cfg)).unwrap();
    let random = |shape: &[usize]| {
        Tensor::randn(0f32, 0.1, shape, &Device::Cpu).unwrap().to_dtype(DType::F16).unwrap()
    };
    inventory.iter().map(|(name, shape)| (name.to_owned(), random(shape))).collect()
}

fn save(tensors: &HashMap<String, Tensor>, path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    candle_core::safetensors::save(tensors, path).unwrap();
}

fn opened(dir: &Path) -> Result<Checkpoint, Error> {
    Ok(Checkpoint::open(dir)?.recognised_by(manifest::recognise))
}

fn load(dir: &Path, cfg: &unet::Config) -> Result<unet::Unet, Error> {
    let what = format!("the inpainting UNet ({} input channels)", cfg.in_channels);
    opened(dir)?.build(&what, DType::F32, &Device::Cpu, build(cfg))
}

#[test]
fn half_precision_is_preferred_and_every_tensor_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let weights = tensors(&tiny(9));
    save(&weights, &dir.path().join("diffusion_pytorch_model.fp16.safetensors"));
    fs::write(dir.path().join("diffusion_pytorch_model.safetensors"), "not even opened").unwrap();
    load(dir.path(), &tiny(9)).unwrap();
    let checkpoint = opened(dir.path()).unwrap();
    let plan = checkpoint.plan(DType::F32);
    assert_eq!(plan.tensors, weights.len());
    assert_eq!(
        (plan.stored_bytes, plan.resident_bytes),
        (2 * plan.parameters, 4 * plan.parameters)
    );
    assert!(checkpoint.describe().contains("9 input channels"));
}

#[test]
fn shards_are_one_model() {
    for index in
        ["diffusion_pytorch_model.safetensors.index.fp16.json", "model.safetensors.index.json"]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut map = HashMap::new();
        let mut shards = [HashMap::new(), HashMap::new(), HashMap::new()];
        for (i, (name, tensor)) in tensors(&tiny(8)).into_iter().enumerate() {
            map.insert(name.clone(), format!("part-{}-of-3.safetensors", i % 3));
            shards[i % 3].insert(name, tensor);
        }
        for (i, shard) in shards.iter().enumerate() {
            save(shard, &dir.path().join(format!("part-{i}-of-3.safetensors")));
        }
        let write = |map: &HashMap<String, String>| {
            fs::write(
                dir.path().join(index),
                serde_json::json!({"metadata": {}, "weight_map": map}).to_string(),
            )
            .unwrap();
        };
        write(&map);
        load(dir.path(), &tiny(8)).unwrap();

        let mut wrong = map.clone();
        wrong.insert("conv_in.weight".into(), "../elsewhere.safetensors".into());
        write(&wrong);
        assert!(load(dir.path(), &tiny(8)).unwrap_err().to_string().contains("elsewhere"));

        let mut wrong = map.clone();
        wrong.insert("nowhere.weight".into(), "part-0-of-3.safetensors".into());
        write(&wrong);
        assert!(
            load(dir.path(), &tiny(8))
                .unwrap_err()
                .to_string()
                .contains("nowhere.weight is in no shard")
        );

        let mut wrong = map;
        wrong.remove("conv_in.bias");
        write(&wrong);
        assert!(load(dir.path(), &tiny(8)).unwrap_err().to_string().contains("conv_in.bias"));
    }
}

#[test]
fn a_network_of_other_channels_is_named() {
    let dir = tempfile::tempdir().unwrap();
    save(&tensors(&tiny(8)), &dir.path().join("diffusion_pytorch_model.safetensors"));
    let error = load(dir.path(), &tiny(9)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("expected the inpainting UNet (9 input channels)"), "{text}");
    assert!(text.contains(
        "found a spatio-temporal UNet of 8 input channels (Stable Video Diffusion or DepthCrafter)"
    ));
    assert!(text.contains("conv_in.weight is 32x8x3x3 instead of 32x9x3x3"), "{text}");
    let Error::Mismatch(mismatch) = error else { panic!("{text}") };
    assert!(mismatch.missing.is_empty() && mismatch.extra.is_empty());
}

#[test]
fn missing_extra_and_misshapen_tensors_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("diffusion_pytorch_model.safetensors");
    let mut weights = tensors(&tiny(9));
    let zero = |n: usize| Tensor::zeros(n, DType::F16, &Device::Cpu).unwrap();
    weights.remove("conv_out.bias");
    weights.insert("conv_norm_out.bias".into(), zero(33));
    for i in 0..20 {
        weights.insert(format!("stray.{i}"), zero(1));
    }
    // Stored by some exporters, follows from the shapes.
    weights.insert("embeddings.position_ids".into(), zero(3));
    save(&weights, &path);
    let error = load(dir.path(), &tiny(9)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("1 missing: conv_out.bias"), "{text}");
    assert!(text.contains("conv_norm_out.bias is 33 instead of 32"), "{text}");
    assert!(
        text.contains("20 not of this network: stray.0") && text.contains("and 12 more"),
        "{text}"
    );
    let Error::Mismatch(mismatch) = error else { panic!("{text}") };
    assert_eq!(
        (mismatch.missing.len(), mismatch.extra.len(), mismatch.misshapen.len()),
        (1, 20, 1)
    );
}

#[test]
fn every_single_missing_tensor_is_noticed() {
    let weights = tensors(&tiny(9));
    let inventory = Inventory::of(build(&tiny(9))).unwrap();
    for name in weights.keys() {
        let dir = tempfile::tempdir().unwrap();
        let mut fewer = weights.clone();
        fewer.remove(name);
        save(&fewer, &dir.path().join("model.safetensors"));
        let error =
            Checkpoint::open(dir.path()).unwrap().check("it", &inventory).unwrap_err().to_string();
        assert!(error.contains(&format!("1 missing: {name}")), "{error}");
    }
}

#[test]
fn pickles_are_refused() {
    for name in ["diffusion_pytorch_model.bin", "model.ckpt", "weights.PT"] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), b"\x80\x02").unwrap();
        let error = load(dir.path(), &tiny(8)).unwrap_err();
        assert!(matches!(error, Error::Pickle { .. }), "{error}");
        assert!(error.to_string().contains("can run code"), "{error}");
        // Beside safetensors they are left alone.
        save(&tensors(&tiny(8)), &dir.path().join("model.safetensors"));
        load(dir.path(), &tiny(8)).unwrap();
    }
    let empty = tempfile::tempdir().unwrap();
    let error = load(empty.path(), &tiny(8)).unwrap_err();
    assert!(error.to_string().contains("diffusion_pytorch_model.fp16.safetensors"), "{error}");
}

#[test]
fn damaged_files_are_refused_before_they_are_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    save(&tensors(&tiny(8)), &path);
    let whole = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], why: &str| {
        fs::write(&path, bytes).unwrap();
        let error = load(dir.path(), &tiny(8)).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    refused(&whole[..whole.len() - 1], "cut short");
    refused(&[&whole[..], b"!"].concat(), "after the last tensor");
    refused(b"", "no safetensors file");
    refused(b"version https://git-lfs.github.com/spec/v1\n", "no safetensors file");
    refused(&[&8u64.to_le_bytes()[..], b"{\"a\": 1}"].concat(), "header");
}

#[test]
fn a_key_read_twice_is_an_error() {
    let twice = |vb: VarBuilder| {
        vb.get(3, "a")?;
        vb.get(3, "a")
    };
    assert!(Inventory::of(twice).unwrap_err().to_string().contains("a is read twice"));
}

#[test]
fn parts_are_found_in_every_layout() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small");
    // A Stable Video Diffusion folder.
    let clip_config: clip::Config = config(&golden, manifest::IMAGE_ENCODER).unwrap();
    let vae_config: vae::Config = config(&golden, manifest::VAE).unwrap();
    let unet_config: unet::Config = config(&golden, manifest::VIDEO_UNET).unwrap();
    let open = |part| manifest::open(&golden, part).unwrap();
    let cpu = Device::Cpu;
    open(manifest::IMAGE_ENCODER)
        .build("CLIP", DType::F32, &cpu, |vb| clip::VisionModel::new(&clip_config, vb))
        .unwrap();
    open(manifest::VAE)
        .build("VAE", DType::F32, &cpu, |vb| vae::TemporalVae::new(&vae_config, vb))
        .unwrap();
    open(manifest::VIDEO_UNET)
        .build("UNet", DType::F16, &cpu, |vb| unet::Unet::new(&unet_config, vb))
        .unwrap();
    config::<parallax_svd::scheduler::Config>(&golden, manifest::SCHEDULER).unwrap();

    // The VAE's files where a UNet should be.
    let error = open(manifest::VAE)
        .build("the UNet", DType::F32, &cpu, |vb| unet::Unet::new(&unet_config, vb));
    assert!(error.unwrap_err().to_string().contains("expected the UNet, found a temporal VAE"));

    // DepthCrafter's flat folder, StereoCrafter's sub-folder, and copies with `unet`.
    let source = part_dir(&golden, manifest::VIDEO_UNET).unwrap();
    for (part, folder) in [
        (manifest::DEPTH_UNET, "."),
        (manifest::DEPTH_UNET, "unet"),
        (manifest::INPAINTING_UNET, "unet_diffusers"),
        (manifest::INPAINTING_UNET, "."),
    ] {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join(folder);
        fs::create_dir_all(&dir).unwrap();
        for file in ["config.json", "diffusion_pytorch_model.fp16.safetensors"] {
            fs::copy(source.join(file), dir.join(file)).unwrap();
        }
        let found: unet::Config = config(root.path(), part).unwrap();
        assert_eq!(found, unet_config);
        let checkpoint = manifest::open(root.path(), part).unwrap();
        checkpoint.build("UNet", DType::F32, &cpu, |vb| unet::Unet::new(&found, vb)).unwrap();
    }
    let nothing = tempfile::tempdir().unwrap();
    let error = part_dir(nothing.path(), manifest::INPAINTING_UNET).unwrap_err().to_string();
    assert!(error.contains("StereoCrafter UNet") && error.contains("unet_diffusers"), "{error}");
}

#[test]
fn broken_configurations_say_which_file() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("vae")).unwrap();
    fs::write(root.path().join("vae/config.json"), "{\"layers_per_block\": 2}").unwrap();
    let error = config::<vae::Config>(root.path(), manifest::VAE).unwrap_err();
    assert!(
        error.to_string().contains("vae") && error.to_string().contains("block_out_channels"),
        "{error}"
    );
    assert!(error.source().is_none());
}
