//! Tiny random models in the on-disk layout of the published ones.
//!
//! Names and shapes are asked of the networks' own constructors, so the folders are what the loader
//! expects by construction. Values keep activations near unit size, as trained weights do: a network
//! whose output explodes would test nothing but clipping.

mod captions;

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_nn::VarBuilder;
use parallax_dinov3 as dinov3;
use parallax_dpt::{Config, DepthNetwork, Layout, Transformer};
use parallax_nn::noise::Generator;
use parallax_qwen3_vl as qwen3_vl;
use parallax_svd::{clip, unet, vae};
use parallax_weights::Inventory;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// One of the files of weights that [`write`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// The image encoder's.
    ImageEncoder,
    /// The VAE's.
    Vae,
    /// The depth denoiser's.
    Depth,
    /// The inpainting denoiser's.
    Inpainting,
}

impl File {
    /// Its place within a folder of all models.
    pub fn path(self) -> &'static str {
        match self {
            Self::ImageEncoder => {
                "stable-video-diffusion-img2vid-xt-1-1/image_encoder/model.fp16.safetensors"
            }
            Self::Vae => {
                "stable-video-diffusion-img2vid-xt-1-1/vae/diffusion_pytorch_model.fp16.safetensors"
            }
            Self::Depth => "DepthCrafter/diffusion_pytorch_model.safetensors",
            Self::Inpainting => "StereoCrafter/unet_diffusers/diffusion_pytorch_model.safetensors",
        }
    }
}

/// Changes the values of one tensor in a file that [`write`] made within `dir`: `value` is given each
/// one's index and what it was. What damage does can be seen so.
///
/// # Errors
/// When the file cannot be read or written, or has no such tensor.
pub fn rewrite(
    dir: &Path,
    file: File,
    tensor: &str,
    value: impl Fn(usize, f32) -> f32,
) -> Result<()> {
    let path = dir.join(file.path());
    let context = || format!("change {tensor} in {}", path.display());
    let mut bytes = fs::read(&path).with_context(context)?;
    let (length, rest) = bytes.split_first_chunk().with_context(context)?;
    let length = u64::from_le_bytes(*length) as usize;
    let header: Value = rest
        .get(..length)
        .with_context(context)
        .and_then(|header| serde_json::from_slice(header).with_context(context))?;
    let offset = |i: usize| header[tensor]["data_offsets"][i].as_u64();
    let (Some(start), Some(end)) = (offset(0), offset(1)) else { bail!("{}: no such", context()) };
    let data = 8 + length;
    let values = bytes.get_mut(data + start as usize..data + end as usize).with_context(context)?;
    for (i, pair) in values.chunks_exact_mut(2).enumerate() {
        let old = half::f16::from_le_bytes([pair[0], pair[1]]).to_f32();
        pair.copy_from_slice(&half::f16::from_f32(value(i, old)).to_le_bytes());
    }
    fs::write(&path, bytes).with_context(context)
}

/// StereoCrafter's denoiser lies in a sub-folder.
const INPAINTING: &str = "StereoCrafter/unet_diffusers";

/// Writes the folder of a Stable Video Diffusion within `dir`, which makes clips of pictures, with random weights from
/// `seed`.
///
/// # Errors
/// When a file cannot be written.
pub fn write_animation(dir: &Path, seed: u64) -> Result<()> {
    let folder = dir.join(parallax_svd::manifest::SVD_XT.folder());
    write_shared(&folder, seed)?;
    let names = inventory(&denoiser(8), |c, vb| unet::Unet::new(c, vb))?;
    let stem = "diffusion_pytorch_model.fp16";
    store(&folder.join("unet"), stem, &denoiser(8), &names, seed + 2)
}

/// Writes the three model folders within `dir`, each with its own random weights from `seed`.
///
/// # Errors
/// When a file cannot be written.
pub fn write(dir: &Path, seed: u64) -> Result<()> {
    write_shared(&dir.join("stable-video-diffusion-img2vid-xt-1-1"), seed)?;
    for (folder, channels, seed) in [("DepthCrafter", 8, seed + 2), (INPAINTING, 9, seed + 3)] {
        let config = denoiser(channels);
        let names = inventory(&config, |c, vb| unet::Unet::new(c, vb))?;
        store(&dir.join(folder), "diffusion_pytorch_model", &config, &names, seed)?;
    }
    Ok(())
}

/// What all have of Stable Video Diffusion: everything but its denoiser.
fn write_shared(svd: &Path, seed: u64) -> Result<()> {
    let encoder = inventory(&image_encoder(), |c, vb| clip::VisionModel::new(c, vb))?;
    store(&svd.join("image_encoder"), "model.fp16", &image_encoder(), &encoder, seed)?;
    let autoencoder = inventory(&vae(), |c, vb| vae::TemporalVae::new(c, vb))?;
    store(&svd.join("vae"), "diffusion_pytorch_model.fp16", &vae(), &autoencoder, seed + 1)?;
    text(&svd.join("scheduler"), "scheduler_config.json", &scheduler())?;
    text(&svd.join("feature_extractor"), "preprocessor_config.json", &extractor())?;
    text(svd, "model_index.json", &index())
}

/// Writes the folders of a network of single frames and of one of films within `dir`, with random weights
/// from `seed`.
///
/// # Errors
/// When a file cannot be written.
pub fn write_depth(dir: &Path, seed: u64) -> Result<()> {
    depth_networks(dir, tiny_depth(), seed)
}

/// [`write_depth`] in the published sizes: 99 and 116 MB as f32, half of it here.
///
/// # Errors
/// When a file cannot be written.
pub fn write_small_depth(dir: &Path, seed: u64) -> Result<()> {
    depth_networks(dir, Config::small(), seed)
}

fn depth_networks(dir: &Path, network: Config, seed: u64) -> Result<()> {
    let single = dir.join("Depth-Anything-V2-Small-hf");
    let names = Inventory::of(|vb| DepthNetwork::new(&network, Layout::Transformers, vb))?;
    store(&single, "model", &depth_settings(&network), &names, seed)?;
    let video = dir.join("Video-Depth-Anything-Small");
    let network = network.with_time();
    let names = Inventory::of(|vb| DepthNetwork::new(&network, Layout::Video, vb))?;
    fs::create_dir_all(&video)?;
    let path = video.join("model.safetensors");
    tensors(&path, &names, seed + 1).with_context(|| format!("write {}", path.display()))
}

/// Writes the folder of a DINOv3 within `dir`, with random weights from `seed`, as ViT-S is published.
///
/// # Errors
/// When a file cannot be written.
pub fn write_perception(dir: &Path, seed: u64) -> Result<()> {
    let folder = dir.join(dinov3::manifest::SMALL.folder());
    let config = json!({
        "architectures": ["DINOv3ViTModel"], "hidden_act": "gelu", "hidden_size": 32, "intermediate_size": 48,
        "model_type": "dinov3_vit", "num_attention_heads": 2, "num_hidden_layers": 2, "num_register_tokens": 4,
        "patch_size": 16, "use_gated_mlp": false,
    });
    let names = inventory(&config, |c, vb| dinov3::Network::new(c, vb))?;
    let preparation = json!({
        "image_processor_type": "DINOv3ViTImageProcessorFast", "size": {"height": 224, "width": 224},
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 2,
    });
    text(&folder, "preprocessor_config.json", &preparation)?;
    store(&folder, "model", &config, &names, seed)
}

/// Writes a model folder of a Qwen3-VL within `dir`, whose tokens are single bytes.
///
/// # Errors
/// When a file cannot be written.
pub fn write_captions(dir: &Path, seed: u64) -> Result<()> {
    let folder = dir.join(qwen3_vl::manifest::SMALL.folder());
    let tokenizer = captions::tokenizer();
    let config = captions::config();
    let names = inventory(&config, |c, vb| qwen3_vl::Network::new(c, vb))?;
    text(&folder, "tokenizer.json", &tokenizer)?;
    let pixels = json!({
        "size": {"shortest_edge": 4096, "longest_edge": 65_536}, "patch_size": 16, "merge_size": 2,
        "temporal_patch_size": 2, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    });
    text(&folder, "preprocessor_config.json", &pixels)?;
    text(&folder, "video_preprocessor_config.json", &pixels)?;
    store(&folder, "model", &config, &names, seed)
}

/// A depth network of a few thousand numbers. Channels are multiples of 32, for the norms of films.
fn tiny_depth() -> Config {
    let small = Config::small();
    let transformer = Transformer { width: 64, heads: 1, blocks: 4, ..small.transformer };
    let (taken, reassembled) = ([0, 1, 2, 3], [32; 4]);
    Config { transformer, taken, reassembled, features: 32, hidden: 32, ..small }
}

/// What transformers writes beside such a network.
fn depth_settings(network: &Config) -> Value {
    let Config { transformer, taken, reassembled, features, hidden, .. } = network;
    json!({
        "backbone_config": {
            "hidden_size": transformer.width, "num_attention_heads": transformer.heads,
            "num_hidden_layers": transformer.blocks, "mlp_ratio": transformer.mlp_ratio,
            "image_size": transformer.table * transformer.patch, "patch_size": transformer.patch,
            "layer_norm_eps": transformer.block_epsilon, "out_indices": taken.map(|i| i + 1),
        },
        "depth_estimation_type": "relative", "fusion_hidden_size": features,
        "head_hidden_size": hidden, "neck_hidden_sizes": reassembled,
    })
}

/// Writes model folders of the published sizes whose values are holes in their files: they take no room,
/// and reading them gives zeros.
///
/// # Errors
/// When a file cannot be written.
pub fn write_hollow(dir: &Path) -> Result<()> {
    let svd = dir.join("stable-video-diffusion-img2vid-xt-1-1");
    let encoder = Inventory::of(|vb| clip::VisionModel::new(&clip::Config::vit_h(), vb))?;
    hollow(&svd.join("image_encoder"), "model.fp16", &published_encoder(), &encoder)?;
    let autoencoder = Inventory::of(|vb| vae::TemporalVae::new(&vae::Config::svd(), vb))?;
    hollow(&svd.join("vae"), "diffusion_pytorch_model.fp16", &published_vae(), &autoencoder)?;
    text(&svd.join("scheduler"), "scheduler_config.json", &scheduler())?;
    text(&svd.join("feature_extractor"), "preprocessor_config.json", &extractor())?;
    let both = [("DepthCrafter", unet::Config::svd()), (INPAINTING, unet::Config::stereocrafter())];
    for (folder, config) in both {
        let names = Inventory::of(|vb| unet::Unet::new(&config, vb))?;
        let json = published_denoiser(config.in_channels);
        hollow(&dir.join(folder), "diffusion_pytorch_model", &json, &names)?;
    }
    Ok(())
}

fn published_encoder() -> Value {
    json!({
        "hidden_act": "gelu", "hidden_size": 1280, "image_size": 224, "intermediate_size": 5120,
        "num_attention_heads": 16, "num_hidden_layers": 32, "patch_size": 14, "projection_dim": 1024,
    })
}

fn published_vae() -> Value {
    json!({"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2})
}

fn published_denoiser(channels: usize) -> Value {
    let (plain, cross) = ("BlockSpatioTemporal", "CrossAttn");
    let named = |way: &str, cross: &str| format!("{cross}{way}{plain}");
    let downs = [cross, cross, cross, ""].map(|kind| named("Down", kind));
    let ups = ["", cross, cross, cross].map(|kind| named("Up", kind));
    json!({
        "addition_time_embed_dim": 256, "block_out_channels": [320, 640, 1280, 1280],
        "cross_attention_dim": 1024, "down_block_types": downs, "in_channels": channels,
        "layers_per_block": 2, "num_attention_heads": [5, 10, 20, 20], "num_frames": 25,
        "projection_class_embeddings_input_dim": 768, "up_block_types": ups,
    })
}

/// The published programs resize to 224 pixels whatever the encoder.
fn image_encoder() -> Value {
    json!({
        "architectures": ["CLIPVisionModelWithProjection"], "hidden_act": "gelu", "hidden_size": 32,
        "image_size": 224, "intermediate_size": 48, "layer_norm_eps": 1e-5, "num_attention_heads": 2,
        "num_channels": 3, "num_hidden_layers": 2, "patch_size": 32, "projection_dim": 24,
    })
}

/// Eight pixels to a latent, as in the published one.
fn vae() -> Value {
    let downs = ["DownEncoderBlock2D"; 4];
    json!({
        "_class_name": "AutoencoderKLTemporalDecoder", "block_out_channels": [32, 32, 32, 32],
        "down_block_types": downs, "force_upcast": true, "in_channels": 3, "latent_channels": 4, "layers_per_block": 1,
        "out_channels": 3, "scaling_factor": 0.18215,
    })
}

fn denoiser(channels: usize) -> Value {
    json!({
        "_class_name": "UNetSpatioTemporalConditionModel", "addition_time_embed_dim": 16,
        "block_out_channels": [32, 64], "cross_attention_dim": 24,
        "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
        "in_channels": channels, "layers_per_block": 1, "num_attention_heads": [2, 4],
        "num_frames": 25, "out_channels": 4, "projection_class_embeddings_input_dim": 48,
        "transformer_layers_per_block": 1,
        "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
    })
}

fn scheduler() -> Value {
    json!({
        "_class_name": "EulerDiscreteScheduler", "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "beta_start": 0.00085, "final_sigmas_type": "zero", "num_train_timesteps": 1000,
        "prediction_type": "v_prediction", "sigma_max": 700.0, "sigma_min": 0.002, "steps_offset": 1,
        "timestep_spacing": "leading", "timestep_type": "continuous", "use_karras_sigmas": true,
    })
}

/// What the published programs open the folder by.
fn index() -> Value {
    json!({
        "_class_name": "StableVideoDiffusionPipeline",
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "unet": ["diffusers", "UNetSpatioTemporalConditionModel"],
        "vae": ["diffusers", "AutoencoderKLTemporalDecoder"],
    })
}

fn extractor() -> Value {
    json!({
        "image_processor_type": "CLIPImageProcessor",
        "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
        "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
    })
}

fn inventory<C: DeserializeOwned, T>(
    config: &Value,
    build: impl Fn(&C, VarBuilder) -> candle_core::Result<T>,
) -> Result<Inventory> {
    let config: C = serde_json::from_value(config.clone())?;
    Ok(Inventory::of(|vb| build(&config, vb))?)
}

fn text(dir: &Path, name: &str, value: &Value) -> Result<()> {
    let path = dir.join(name);
    fs::create_dir_all(dir)
        .and_then(|()| fs::write(&path, format!("{value:#}\n")))
        .with_context(|| format!("write {}", path.display()))
}

fn store(dir: &Path, stem: &str, config: &Value, names: &Inventory, seed: u64) -> Result<()> {
    text(dir, "config.json", config)?;
    let path = dir.join(format!("{stem}.safetensors"));
    tensors(&path, names, seed).with_context(|| format!("write {}", path.display()))
}

fn hollow(dir: &Path, stem: &str, config: &Value, names: &Inventory) -> Result<()> {
    text(dir, "config.json", config)?;
    let path = dir.join(format!("{stem}.safetensors"));
    let made = create(&path, names).and_then(|(mut file, length)| {
        file.flush()?;
        file.get_ref().set_len(length)
    });
    made.with_context(|| format!("write {}", path.display()))
}

/// A safetensors file up to its values, and its length with them: the length of its header, the header,
/// and half-precision values in the order of names.
fn create(path: &Path, names: &Inventory) -> std::io::Result<(BufWriter<fs::File>, u64)> {
    let mut header = serde_json::Map::new();
    let mut at = 0;
    for (name, shape) in names.iter() {
        let end = at + 2 * shape.iter().product::<usize>() as u64;
        let entry = json!({"dtype": "F16", "shape": shape, "data_offsets": [at, end]});
        header.insert(name.to_owned(), entry);
        at = end;
    }
    // transformers opens no file without.
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let header = Value::Object(header).to_string();
    let mut file = BufWriter::new(fs::File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    Ok((file, 8 + header.len() as u64 + at))
}

fn tensors(path: &Path, names: &Inventory, seed: u64) -> std::io::Result<()> {
    let (mut file, _) = create(path, names)?;
    let mut noise = Generator::new(seed);
    for (name, shape) in names.iter() {
        let count = shape.iter().product();
        let (mean, deviation) = spread(name, shape);
        for value in noise.normal_f32(count) {
            let half = half::f16::from_f32(mean + deviation * value);
            file.write_all(&half.to_le_bytes())?;
        }
    }
    file.flush()
}

/// Mean and deviation of a tensor's values: scales of norms near one, biases small, and matrices that
/// keep the size of what they multiply.
fn spread(name: &str, shape: &[usize]) -> (f32, f32) {
    let scale = name.contains("norm") && name.ends_with("weight");
    match shape {
        [_] if scale => (1.0, 0.1),
        [_] => (0.0, 0.1),
        [_, rest @ ..] => (0.0, (rest.iter().product::<usize>() as f32).sqrt().recip()),
        [] => (0.0, 0.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use parallax_svd::manifest;

    #[test]
    fn folders_open_as_the_published_ones_do_and_follow_the_seed() {
        let dir = std::env::temp_dir().join(format!("tiny-weights-{}", std::process::id()));
        let read = |seed| {
            write(&dir, seed).unwrap();
            let root = dir.join("StereoCrafter");
            let config: unet::Config =
                parallax_weights::config(&root, manifest::INPAINTING_UNET).unwrap();
            assert_eq!(config.in_channels, 9);
            let build = |vb: VarBuilder| {
                unet::Unet::new(&config, vb.clone())?;
                Ok(())
            };
            let opened = manifest::open(&root, manifest::INPAINTING_UNET).unwrap();
            opened.build("the UNet", DType::F32, &Device::Cpu, build).unwrap();
            fs::read(&opened.paths()[0]).unwrap()
        };
        let (one, again, other) = (read(5), read(5), read(6));
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(one, again);
        assert_ne!(one, other);
    }
}
