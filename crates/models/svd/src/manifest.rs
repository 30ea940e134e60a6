//! The models of the family: where they are published, which of their files are read, and where their
//! parts lie in the folders that people have.

use std::collections::BTreeMap;
use std::path::Path;

use parallax_weights::{Checkpoint, Entry, Error, Manifest, Part, part_dir};

/// Stable Video Diffusion, for its image encoder, VAE and schedule. Not asked for: its 8-channel UNet (3 GB),
/// which neither stage uses.
pub const SVD: Manifest = Manifest {
    name: "svd",
    repository: "stabilityai/stable-video-diffusion-img2vid-xt-1-1",
    files: &[
        &["scheduler/scheduler_config.json"],
        &["feature_extractor/preprocessor_config.json"],
        &["image_encoder/config.json"],
        &["image_encoder/model.fp16.safetensors", "image_encoder/model.safetensors"],
        &["vae/config.json"],
        &[
            "vae/diffusion_pytorch_model.fp16.safetensors",
            "vae/diffusion_pytorch_model.safetensors",
        ],
    ],
};

/// DepthCrafter: its repository is flat.
pub const DEPTHCRAFTER: Manifest = Manifest {
    name: "depthcrafter",
    repository: "tencent/DepthCrafter",
    files: &[&["config.json"], &["diffusion_pytorch_model.safetensors"]],
};

/// StereoCrafter: the second stage's network.
pub const STEREOCRAFTER: Manifest = Manifest {
    name: "stereocrafter",
    repository: "TencentARC/StereoCrafter",
    files: &[
        &["unet_diffusers/config.json"],
        &["unet_diffusers/diffusion_pytorch_model.safetensors"],
    ],
};

const IMAGE_TO_VIDEO_FILES: &[&[&str]] = &[
    &["scheduler/scheduler_config.json"],
    &["feature_extractor/preprocessor_config.json"],
    &["image_encoder/config.json"],
    &["image_encoder/model.fp16.safetensors", "image_encoder/model.safetensors"],
    &["vae/config.json"],
    &["vae/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.safetensors"],
    &["unet/config.json"],
    &["unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.safetensors"],
];

/// Stable Video Diffusion as a whole, for clips of 25 frames.
pub const SVD_XT: Manifest = Manifest {
    name: "svd-xt",
    repository: "stabilityai/stable-video-diffusion-img2vid-xt",
    files: IMAGE_TO_VIDEO_FILES,
};

/// The same for clips of 14 frames.
pub const SVD_14: Manifest = Manifest {
    name: "svd-14",
    repository: "stabilityai/stable-video-diffusion-img2vid",
    files: IMAGE_TO_VIDEO_FILES,
};

/// Those that make clips of pictures, the one to begin with first.
pub const IMAGE_TO_VIDEO: [Manifest; 2] = [SVD_XT, SVD_14];

/// All that conversions read.
pub const ALL: [Manifest; 3] = [SVD, DEPTHCRAFTER, STEREOCRAFTER];

/// CLIP vision tower, in a Stable Video Diffusion folder.
pub const IMAGE_ENCODER: Part =
    Part { name: "image encoder", places: &[("image_encoder", "config.json")] };
/// Temporal VAE, in a Stable Video Diffusion folder.
pub const VAE: Part = Part { name: "VAE", places: &[("vae", "config.json")] };
/// Noise schedule, in a Stable Video Diffusion folder.
pub const SCHEDULER: Part =
    Part { name: "scheduler", places: &[("scheduler", "scheduler_config.json")] };
/// Normalisation of the image encoder's input, in a Stable Video Diffusion folder.
pub const FEATURE_EXTRACTOR: Part = Part {
    name: "feature extractor",
    places: &[("feature_extractor", "preprocessor_config.json")],
};
/// The 8-channel network of a Stable Video Diffusion folder.
pub const VIDEO_UNET: Part =
    Part { name: "Stable Video Diffusion UNet", places: &[("unet", "config.json")] };
/// DepthCrafter's network: its repository is flat, some copies have it under `unet`.
pub const DEPTH_UNET: Part =
    Part { name: "DepthCrafter UNet", places: &[("", "config.json"), ("unet", "config.json")] };
/// StereoCrafter's 9-channel network: `unet_diffusers` of its repository.
pub const INPAINTING_UNET: Part = Part {
    name: "StereoCrafter UNet",
    places: &[("unet_diffusers", "config.json"), ("", "config.json"), ("unet", "config.json")],
};

/// Opens the weights of a part of the model at `root`. Those of another network are named, as far as
/// they are of the family or are taken for it.
///
/// # Errors
/// As `parallax_weights` has them.
pub fn open(root: &Path, part: Part) -> Result<Checkpoint, Error> {
    Ok(Checkpoint::open(&part_dir(root, part)?)?.recognised_by(recognise))
}

/// A few words for the network that these tensors make up, if it is one of the family or of those that
/// are taken for it.
pub fn recognise(entries: &BTreeMap<String, Entry>) -> Option<String> {
    let has = |name: &str| entries.contains_key(name);
    let starts = |prefix: &str| {
        entries.range(prefix.to_owned()..).next().is_some_and(|(k, _)| k.starts_with(prefix))
    };
    let channels = |name: &str| entries.get(name).and_then(|e| e.shape.get(1)).copied();
    if has("down_blocks.0.resnets.0.temporal_res_block.conv1.weight") {
        return Some(match channels("conv_in.weight") {
            Some(8) => "a spatio-temporal UNet of 8 input channels (Stable Video Diffusion or DepthCrafter)".into(),
            Some(9) => "a spatio-temporal UNet of 9 input channels (StereoCrafter inpainting)".into(),
            Some(n) => format!("a spatio-temporal UNet of {n} input channels"),
            None => "a spatio-temporal UNet without its first layer".into(),
        });
    }
    if has("decoder.time_conv_out.weight") {
        return Some("a temporal VAE".into());
    }
    if starts("vision_model.") {
        return Some("a CLIP image encoder".into());
    }
    if starts("text_model.") {
        return Some("a CLIP text encoder".into());
    }
    if starts("model.diffusion_model.") {
        return Some(
            "a single-file checkpoint with other names (the folder layout is read)".into(),
        );
    }
    if has("decoder.conv_in.weight") {
        return Some("an image VAE without temporal layers".into());
    }
    if has("conv_in.weight") && starts("down_blocks.") {
        return Some("an image UNet without temporal layers".into());
    }
    None
}
