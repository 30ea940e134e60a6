//! The published networks at full size, from files that take no room: headers of the real shapes over
//! holes.
//!
//! The digests are of the published checkpoints' tensor lists: sha256 over the lines "name TAB shape",
//! shape as 320x8x3x3, sorted by name, each ended by a newline.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Device, Result};
use candle_nn::VarBuilder;
use parallax_svd::{clip, manifest, unet, vae};
use parallax_weights::{Checkpoint, Inventory, MemoryPlan};
use sha2::{Digest, Sha256};

fn video_unet(vb: VarBuilder) -> Result<unet::Unet> {
    unet::Unet::new(&unet::Config::svd(), vb)
}

fn inpainting_unet(vb: VarBuilder) -> Result<unet::Unet> {
    unet::Unet::new(&unet::Config::stereocrafter(), vb)
}

fn temporal_vae(vb: VarBuilder) -> Result<vae::TemporalVae> {
    vae::TemporalVae::new(&vae::Config::svd(), vb)
}

fn image_encoder(vb: VarBuilder) -> Result<clip::VisionModel> {
    clip::VisionModel::new(&clip::Config::vit_h(), vb)
}

fn opened(dir: &Path) -> Checkpoint {
    Checkpoint::open(dir).unwrap().recognised_by(manifest::recognise)
}

fn digest(inventory: &Inventory) -> String {
    let mut hash = Sha256::new();
    for (name, shape) in inventory.iter() {
        let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
        hash.update(format!("{name}\t{}\n", shape.join("x")));
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// A file of half-precision zeros that are never written.
fn sparse(inventory: &Inventory, path: &Path) {
    let mut at = 0u64;
    let mut header = serde_json::Map::new();
    for (name, shape) in inventory.iter() {
        let end = at + 2 * shape.iter().product::<usize>() as u64;
        header.insert(
            name.into(),
            serde_json::json!({"dtype": "F16", "shape": shape, "data_offsets": [at, end]}),
        );
        at = end;
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header.len() as u64 + at).unwrap();
}

fn check(inventory: &Inventory, tensors: usize, parameters: u64, want: &str) {
    assert_eq!(inventory.len(), tensors);
    assert_eq!(inventory.parameters(), parameters);
    assert_eq!(digest(inventory), want);
}

#[test]
fn inventories_are_the_published_ones() {
    check(
        &Inventory::of(video_unet).unwrap(),
        1428,
        1_524_623_082,
        "17737e7f9e9e7d804f3bb1ebc1105eb15c220e0f3c4721f467a3e59b497e6369",
    );
    check(
        &Inventory::of(inpainting_unet).unwrap(),
        1428,
        1_524_625_962,
        "87102fcc86652303d36499232af8f1723b3b2415b90e4ee62b7deb5e39c80de8",
    );
    check(
        &Inventory::of(temporal_vae).unwrap(),
        374,
        97_742_847,
        "30ba011f088769f4244e950a296b9380eb1961a7978afea6d2e64d3b8976e7fc",
    );
    check(
        &Inventory::of(image_encoder).unwrap(),
        520,
        632_076_800,
        "e4360eac55742ce51511aa5f5fb1754821b37f37d98c1e02240cc388c3aedc20",
    );
}

#[test]
fn full_size_files_open_and_report_their_memory() {
    let cases = [
        (Inventory::of(video_unet).unwrap(), "8 input channels", 3_049_246_164),
        (Inventory::of(inpainting_unet).unwrap(), "9 input channels", 3_049_251_924),
        (Inventory::of(temporal_vae).unwrap(), "temporal VAE", 195_485_694),
        (Inventory::of(image_encoder).unwrap(), "CLIP", 1_264_153_600),
    ];
    for (inventory, description, bytes) in cases {
        let dir = tempfile::tempdir().unwrap();
        sparse(&inventory, &dir.path().join("diffusion_pytorch_model.fp16.safetensors"));
        let checkpoint = opened(dir.path());
        checkpoint.check(description, &inventory).unwrap();
        assert!(checkpoint.describe().contains(description));
        let want = MemoryPlan {
            tensors: inventory.len(),
            parameters: inventory.parameters(),
            stored_bytes: bytes,
            resident_bytes: 2 * bytes,
        };
        assert_eq!(checkpoint.plan(DType::F32), want);
        assert_eq!(checkpoint.plan(DType::BF16).resident_bytes, bytes);
    }
}

#[test]
fn the_other_unet_at_full_size_is_refused_unread() {
    let dir = tempfile::tempdir().unwrap();
    sparse(
        &Inventory::of(video_unet).unwrap(),
        &dir.path().join("diffusion_pytorch_model.safetensors"),
    );
    let checkpoint = opened(dir.path());
    let error = checkpoint
        .build("StereoCrafter's UNet", DType::F16, &Device::Cpu, inpainting_unet)
        .unwrap_err();
    assert!(
        error.to_string().contains("conv_in.weight is 320x8x3x3 instead of 320x9x3x3"),
        "{error}"
    );
}

#[test]
fn the_vae_is_built_from_a_sparse_file() {
    let dir = tempfile::tempdir().unwrap();
    sparse(
        &Inventory::of(temporal_vae).unwrap(),
        &dir.path().join("diffusion_pytorch_model.fp16.safetensors"),
    );
    let checkpoint = opened(dir.path());
    checkpoint.build("the VAE", DType::F16, &Device::Cpu, temporal_vae).unwrap();
}

/// Takes 8.9 GB of memory, so by hand: `cargo test -p parallax-svd --test full_size -- --ignored`.
#[test]
#[ignore = "takes 8.9 GB of memory"]
fn every_network_is_built_from_a_sparse_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.fp16.safetensors");
    let cpu = Device::Cpu;
    sparse(&Inventory::of(video_unet).unwrap(), &path);
    let depth = opened(dir.path()).build("a", DType::F16, &cpu, video_unet).unwrap();
    sparse(&Inventory::of(inpainting_unet).unwrap(), &path);
    let inpainting = Checkpoint::open(dir.path())
        .unwrap()
        .build("b", DType::F16, &cpu, inpainting_unet)
        .unwrap();
    sparse(&Inventory::of(image_encoder).unwrap(), &path);
    let encoder = opened(dir.path()).build("c", DType::F16, &cpu, image_encoder).unwrap();
    drop((depth, inpainting, encoder));
}
