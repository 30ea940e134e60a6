//! What a set of tensors seems to be, for messages.

use std::collections::BTreeMap;

use crate::header::Entry;

/// A few words for the network that these tensors make up.
pub(crate) fn describe(entries: &BTreeMap<String, Entry>) -> String {
    let has = |name: &str| entries.contains_key(name);
    let starts = |prefix: &str| {
        entries.range(prefix.to_owned()..).next().is_some_and(|(k, _)| k.starts_with(prefix))
    };
    let channels = |name: &str| entries.get(name).and_then(|e| e.shape.get(1)).copied();
    if has("down_blocks.0.resnets.0.temporal_res_block.conv1.weight") {
        return match channels("conv_in.weight") {
            Some(8) => "a spatio-temporal UNet of 8 input channels (Stable Video Diffusion or DepthCrafter)".into(),
            Some(9) => "a spatio-temporal UNet of 9 input channels (StereoCrafter inpainting)".into(),
            Some(n) => format!("a spatio-temporal UNet of {n} input channels"),
            None => "a spatio-temporal UNet without its first layer".into(),
        };
    }
    if has("decoder.time_conv_out.weight") {
        return "a temporal VAE".into();
    }
    if starts("vision_model.") {
        return "a CLIP image encoder".into();
    }
    if starts("text_model.") {
        return "a CLIP text encoder".into();
    }
    if starts("model.diffusion_model.") {
        return "a single-file checkpoint with other names (the folder layout is read)".into();
    }
    if has("decoder.conv_in.weight") {
        return "an image VAE without temporal layers".into();
    }
    if has("conv_in.weight") && starts("down_blocks.") {
        return "an image UNet without temporal layers".into();
    }
    match entries.keys().next() {
        Some(name) => format!("{} tensors of an unknown network ({name}, ..)", entries.len()),
        None => "no tensors".into(),
    }
}
