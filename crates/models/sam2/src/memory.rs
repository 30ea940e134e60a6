//! The networks that follow a mask through a clip: their tensors lie in the same file.
//!
//! A picture needs none of them. They are asked for by name and shape so that a file is known to be whole, and
//! let go.

use candle_core::Result;
use candle_nn::VarBuilder;

use crate::config::Config;

/// Asks for all of them.
pub(crate) fn skip(config: &Config, vb: &VarBuilder) -> Result<()> {
    let (width, memory) = (config.width, &config.memory);
    vb.get((memory.frames, 1, 1, memory.channels), "memory_temporal_positional_encoding")?;
    vb.get((1, 1, width), "no_memory_positional_encoding")?;
    vb.get((1, width), "no_object_pointer")?;
    vb.get((1, 1, 4, 4), "mask_downsample.weight")?;
    vb.get(1, "mask_downsample.bias")?;
    if memory.occlusion {
        vb.get((1, memory.channels), "occlusion_spatial_embedding_parameter")?;
    }
    if memory.pointer_times {
        let vb = vb.pp("temporal_positional_encoding_projection_layer");
        linear((width, memory.channels), &vb)?;
    }
    let pointer = vb.pp("object_pointer_proj");
    for name in ["proj_in", "layers.0", "proj_out"] {
        linear((width, width), &pointer.pp(name))?;
    }
    attention(config, &vb.pp("memory_attention"))?;
    encoder(config, &vb.pp("memory_encoder"))
}

fn linear((inputs, outputs): (usize, usize), vb: &VarBuilder) -> Result<()> {
    vb.get((outputs, inputs), "weight")?;
    vb.get(outputs, "bias").map(drop)
}

fn convolution((inputs, outputs): (usize, usize), kernel: usize, vb: &VarBuilder) -> Result<()> {
    vb.get((outputs, inputs, kernel, kernel), "weight")?;
    vb.get(outputs, "bias").map(drop)
}

fn norm(width: usize, vb: &VarBuilder) -> Result<()> {
    vb.get(width, "weight")?;
    vb.get(width, "bias").map(drop)
}

fn attention(config: &Config, vb: &VarBuilder) -> Result<()> {
    let (width, memory) = (config.width, &config.memory);
    for i in 0..memory.layers {
        let vb = vb.pp("layers").pp(i);
        for (name, keys) in [("self_attn", width), ("cross_attn_image", memory.channels)] {
            let vb = vb.pp(name);
            for (part, inputs) in [("q", width), ("k", keys), ("v", keys), ("o", width)] {
                linear((inputs, width), &vb.pp(format!("{part}_proj")))?;
            }
        }
        for name in ["layer_norm1", "layer_norm2", "layer_norm3"] {
            norm(width, &vb.pp(name))?;
        }
        linear((width, memory.hidden), &vb.pp("linear1"))?;
        linear((memory.hidden, width), &vb.pp("linear2"))?;
    }
    norm(width, &vb.pp("layer_norm"))
}

fn encoder(config: &Config, vb: &VarBuilder) -> Result<()> {
    let (width, memory) = (config.width, &config.memory);
    convolution((width, width), 1, &vb.pp("feature_projection"))?;
    convolution((width, memory.channels), 1, &vb.pp("projection"))?;
    let masks = vb.pp("mask_downsampler");
    let mut channels = 1;
    for i in 0..memory.halvings {
        let vb = masks.pp("layers").pp(i);
        convolution((channels, 4 * channels), 3, &vb.pp("conv"))?;
        channels *= 4;
        norm(channels, &vb.pp("layer_norm"))?;
    }
    convolution((channels, width), 1, &masks.pp("final_conv"))?;
    for i in 0..memory.fuser_layers {
        let vb = vb.pp("memory_fuser.layers").pp(i);
        convolution((1, width), 7, &vb.pp("depthwise_conv"))?;
        norm(width, &vb.pp("layer_norm"))?;
        linear((width, memory.fuser_hidden), &vb.pp("pointwise_conv1"))?;
        linear((memory.fuser_hidden, width), &vb.pp("pointwise_conv2"))?;
        vb.get(width, "scale")?;
    }
    Ok(())
}
