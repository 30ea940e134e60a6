//! The configuration that transformers writes beside weights: `config.json` of a `Sam2VideoModel`, and of a
//! `Sam2Model`, which is a part of it.

use candle_core::{Result, bail};
use serde::Deserialize;

use crate::config::{Config, Decoder, Hiera, Memory, Several};

/// What a file leaves out has the value of SAM 2.1 tiny.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub(crate) struct Settings {
    vision_config: Vision,
    prompt_encoder_config: Prompts,
    mask_decoder_config: Masks,
    num_maskmem: Option<usize>,
    max_cond_frame_num: Option<i64>,
    max_object_pointers_in_encoder: Option<usize>,
    sigmoid_scale_for_mem_enc: Option<f64>,
    sigmoid_bias_for_mem_enc: Option<f64>,
    multimask_output_in_sam: Option<bool>,
    multimask_output_for_tracking: Option<bool>,
    multimask_min_pt_num: Option<usize>,
    multimask_max_pt_num: Option<usize>,
    memory_attention_num_attention_heads: Option<usize>,
    memory_attention_downsample_rate: Option<usize>,
    memory_attention_num_layers: Option<usize>,
    memory_attention_hidden_size: Option<usize>,
    memory_attention_feed_forward_hidden_size: Option<usize>,
    memory_encoder_output_channels: Option<usize>,
    mask_downsampler_total_stride: Option<usize>,
    memory_fuser_num_layers: Option<usize>,
    memory_fuser_intermediate_dim: Option<usize>,
    enable_occlusion_spatial_embedding: Option<bool>,
    enable_temporal_pos_encoding_for_object_pointers: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
struct Vision {
    backbone_config: Backbone,
    fpn_hidden_size: Option<usize>,
    fpn_top_down_levels: Option<Vec<usize>>,
    num_feature_levels: Option<usize>,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
struct Backbone {
    embed_dim_per_stage: Option<[usize; 4]>,
    num_attention_heads_per_stage: Option<[usize; 4]>,
    blocks_per_stage: Option<[usize; 4]>,
    window_size_per_stage: Option<[usize; 4]>,
    global_attention_blocks: Option<Vec<usize>>,
    window_positional_embedding_background_size: Option<[usize; 2]>,
    mlp_ratio: Option<f64>,
    layer_norm_eps: Option<f64>,
    num_query_pool_stages: Option<usize>,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
struct Prompts {
    hidden_size: Option<usize>,
    image_size: Option<usize>,
    patch_size: Option<usize>,
    mask_input_channels: Option<usize>,
    layer_norm_eps: Option<f64>,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
struct Masks {
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    mlp_dim: Option<usize>,
    attention_downsample_rate: Option<usize>,
    num_multimask_outputs: Option<usize>,
    iou_head_hidden_dim: Option<usize>,
    iou_head_depth: Option<usize>,
    dynamic_multimask_via_stability: Option<bool>,
    dynamic_multimask_stability_delta: Option<f64>,
    dynamic_multimask_stability_thresh: Option<f64>,
}

impl Settings {
    /// The network.
    ///
    /// # Errors
    /// When a number is one that no network of the family has.
    pub(crate) fn network(&self) -> Result<Config> {
        let plain = Config::tiny();
        let (vision, prompts) = (&self.vision_config, &self.prompt_encoder_config);
        let width = vision.fpn_hidden_size.unwrap_or(plain.width);
        let same = |name: &str, found: Option<usize>, wanted: usize| match found {
            Some(found) if found != wanted => bail!("{name} {found}: expected is {wanted}"),
            _ => Ok(()),
        };
        same("prompt_encoder_config.hidden_size", prompts.hidden_size, width)?;
        same("prompt_encoder_config.patch_size", prompts.patch_size, 16)?;
        same("memory_attention_hidden_size", self.memory_attention_hidden_size, width)?;
        let heads = self.memory_attention_num_attention_heads;
        same("memory_attention_num_attention_heads", heads, 1)?;
        let narrowing = self.memory_attention_downsample_rate;
        same("memory_attention_downsample_rate", narrowing, 1)?;
        let levels = vision.num_feature_levels;
        same("vision_config.num_feature_levels", levels, 3)?;
        let outputs = self.mask_decoder_config.num_multimask_outputs;
        same("mask_decoder_config.num_multimask_outputs", outputs, 3)?;
        let pooled = vision.backbone_config.num_query_pool_stages;
        same("backbone_config.num_query_pool_stages", pooled, 3)?;
        let top_down = vision.fpn_top_down_levels.clone().unwrap_or(plain.top_down);
        let config = Config {
            image_size: prompts.image_size.unwrap_or(plain.image_size),
            backbone: vision.backbone_config.network(plain.backbone)?,
            width,
            top_down,
            mask_channels: prompts.mask_input_channels.unwrap_or(plain.mask_channels),
            prompt_epsilon: prompts.layer_norm_eps.unwrap_or(plain.prompt_epsilon),
            decoder: self.mask_decoder_config.network(&plain.decoder),
            memory: self.memory(&plain.memory),
        };
        config.check()?;
        Ok(config)
    }

    fn memory(&self, plain: &Memory) -> Memory {
        let hidden = self.memory_attention_feed_forward_hidden_size;
        let times = self.enable_temporal_pos_encoding_for_object_pointers;
        let stride = self.mask_downsampler_total_stride;
        Memory {
            halvings: stride.map_or(plain.halvings, |stride| stride.max(1).ilog2() as usize),
            layers: self.memory_attention_num_layers.unwrap_or(plain.layers),
            hidden: hidden.unwrap_or(plain.hidden),
            channels: self.memory_encoder_output_channels.unwrap_or(plain.channels),
            frames: self.num_maskmem.unwrap_or(plain.frames),
            // -1 is for all.
            prompted: self.max_cond_frame_num.and_then(|most| usize::try_from(most).ok()),
            pointers: self.max_object_pointers_in_encoder.unwrap_or(plain.pointers),
            mask_scale: self.sigmoid_scale_for_mem_enc.unwrap_or(plain.mask_scale),
            mask_bias: self.sigmoid_bias_for_mem_enc.unwrap_or(plain.mask_bias),
            several: self.several(&plain.several),
            fuser_layers: self.memory_fuser_num_layers.unwrap_or(plain.fuser_layers),
            fuser_hidden: self.memory_fuser_intermediate_dim.unwrap_or(plain.fuser_hidden),
            occlusion: self.enable_occlusion_spatial_embedding.unwrap_or(plain.occlusion),
            pointer_times: times.unwrap_or(plain.pointer_times),
        }
    }
}

impl Settings {
    fn several(&self, plain: &Several) -> Several {
        let (least, most) = plain.points;
        Several {
            ever: self.multimask_output_in_sam.unwrap_or(plain.ever),
            followed: self.multimask_output_for_tracking.unwrap_or(plain.followed),
            points: (
                self.multimask_min_pt_num.unwrap_or(least),
                self.multimask_max_pt_num.unwrap_or(most),
            ),
        }
    }
}

impl Backbone {
    fn network(&self, plain: Hiera) -> Result<Hiera> {
        let ratio = self.mlp_ratio.unwrap_or(plain.mlp_ratio as f64);
        if ratio < 1.0 || ratio.fract() != 0.0 || ratio > 64.0 {
            bail!("mlp_ratio {ratio}: allowed are whole numbers from 1 to 64");
        }
        let background = self.window_positional_embedding_background_size;
        Ok(Hiera {
            widths: self.embed_dim_per_stage.unwrap_or(plain.widths),
            heads: self.num_attention_heads_per_stage.unwrap_or(plain.heads),
            blocks: self.blocks_per_stage.unwrap_or(plain.blocks),
            windows: self.window_size_per_stage.unwrap_or(plain.windows),
            global: self.global_attention_blocks.clone().unwrap_or(plain.global),
            background: background.map_or(plain.background, |[rows, columns]| (rows, columns)),
            mlp_ratio: ratio as usize,
            epsilon: self.layer_norm_eps.unwrap_or(plain.epsilon),
        })
    }
}

impl Masks {
    fn network(&self, plain: &Decoder) -> Decoder {
        let least = self.dynamic_multimask_stability_thresh.or(plain.stability);
        let dynamic = self.dynamic_multimask_via_stability.unwrap_or(true);
        Decoder {
            layers: self.num_hidden_layers.unwrap_or(plain.layers),
            heads: self.num_attention_heads.unwrap_or(plain.heads),
            hidden: self.mlp_dim.unwrap_or(plain.hidden),
            narrowing: self.attention_downsample_rate.unwrap_or(plain.narrowing),
            score_hidden: self.iou_head_hidden_dim.unwrap_or(plain.score_hidden),
            score_layers: self.iou_head_depth.unwrap_or(plain.score_layers),
            stability_delta: self
                .dynamic_multimask_stability_delta
                .unwrap_or(plain.stability_delta),
            stability: least.filter(|_| dynamic),
        }
    }
}
