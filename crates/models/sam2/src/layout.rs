//! Names of tensors in published files.
//!
//! Networks ask by the names of transformers; where a file has those of its authors, each name is turned into
//! theirs on the way.

use std::collections::BTreeMap;

use candle_nn::VarBuilder;
use parallax_weights::Entry;

/// The code of places, as transformers calls it for pictures.
pub(crate) const IMAGE_CODE: &str = "shared_image_embedding.positional_embedding";
/// The same once more, as transformers calls it for prompts.
pub(crate) const PROMPT_CODE: &str = "prompt_encoder.shared_embedding.positional_embedding";

/// How a file calls its tensors, and which of those that a picture does not need it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Whether the names are those of the authors' `.pt` files, not transformers'.
    pub original: bool,
    /// Whether the code of places is there by the name that pictures have for it.
    pub image_code: bool,
    /// Whether it is there by the name that prompts have for it.
    pub prompt_code: bool,
    /// Whether the networks that follow a mask through a clip are there.
    pub memory: bool,
}

impl Layout {
    /// A whole file by transformers' names.
    pub const TRANSFORMERS: Self =
        Self { original: false, image_code: true, prompt_code: true, memory: true };
    /// A whole file by its authors' names.
    pub const ORIGINAL: Self = Self { original: true, prompt_code: false, ..Self::TRANSFORMERS };

    /// That of a file with these tensors.
    pub fn of(entries: &BTreeMap<String, Entry>) -> Self {
        let has = |name: &str| entries.contains_key(name);
        if has("image_encoder.trunk.pos_embed") {
            return Self { memory: has("maskmem_tpos_enc"), ..Self::ORIGINAL };
        }
        let prompt_code = has(PROMPT_CODE);
        Self {
            original: false,
            // Where neither is there, one is missed.
            image_code: has(IMAGE_CODE) || !prompt_code,
            prompt_code,
            memory: has("memory_temporal_positional_encoding"),
        }
    }

    /// The builder that is asked by transformers' names.
    pub(crate) fn named<'a>(self, vb: VarBuilder<'a>) -> VarBuilder<'a> {
        if self.original { vb.rename_f(original_name) } else { vb }
    }
}

/// Parts of names: transformers', the authors'. The first that a name begins with is taken.
const STARTS: [(&str, &str); 18] = [
    (IMAGE_CODE, "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    ("vision_encoder.backbone.patch_embed.projection.", "image_encoder.trunk.patch_embed.proj."),
    ("vision_encoder.backbone.", "image_encoder.trunk."),
    ("vision_encoder.neck.", "image_encoder.neck."),
    ("prompt_encoder.mask_embed.conv1.", "sam_prompt_encoder.mask_downscaling.0."),
    ("prompt_encoder.mask_embed.layer_norm1.", "sam_prompt_encoder.mask_downscaling.1."),
    ("prompt_encoder.mask_embed.conv2.", "sam_prompt_encoder.mask_downscaling.3."),
    ("prompt_encoder.mask_embed.layer_norm2.", "sam_prompt_encoder.mask_downscaling.4."),
    ("prompt_encoder.mask_embed.conv3.", "sam_prompt_encoder.mask_downscaling.6."),
    ("prompt_encoder.", "sam_prompt_encoder."),
    ("mask_decoder.upscale_conv1.", "sam_mask_decoder.output_upscaling.0."),
    ("mask_decoder.upscale_layer_norm.", "sam_mask_decoder.output_upscaling.1."),
    ("mask_decoder.upscale_conv2.", "sam_mask_decoder.output_upscaling.3."),
    ("mask_decoder.", "sam_mask_decoder."),
    ("memory_encoder.projection.", "memory_encoder.out_proj."),
    ("memory_encoder.feature_projection.", "memory_encoder.pix_feat_proj."),
    ("object_pointer_proj.", "obj_ptr_proj."),
    ("temporal_positional_encoding_projection_layer.", "obj_ptr_tpos_proj."),
];

/// Whole names.
const WHOLE: [(&str, &str); 5] = [
    ("no_memory_embedding", "no_mem_embed"),
    ("no_memory_positional_encoding", "no_mem_pos_enc"),
    ("no_object_pointer", "no_obj_ptr"),
    ("memory_temporal_positional_encoding", "maskmem_tpos_enc"),
    ("occlusion_spatial_embedding_parameter", "no_obj_embed_spatial"),
];

/// Words between dots.
const WORDS: [(&str, &str); 11] = [
    ("o_proj", "out_proj"),
    ("layer_norm", "norm"),
    ("layer_norm1", "norm1"),
    ("layer_norm2", "norm2"),
    ("layer_norm3", "norm3"),
    ("layer_norm4", "norm4"),
    ("layer_norm_final_attn", "norm_final_attn"),
    ("memory_fuser", "fuser"),
    ("depthwise_conv", "dwconv"),
    ("pointwise_conv1", "pwconv1"),
    ("pointwise_conv2", "pwconv2"),
];

/// The authors' name for the tensor that transformers calls `name`.
pub fn original_name(name: &str) -> String {
    if let Some((_, theirs)) = WHOLE.iter().find(|(ours, _)| *ours == name) {
        return (*theirs).to_owned();
    }
    let begun = STARTS
        .iter()
        .find_map(|(ours, theirs)| name.strip_prefix(ours).map(|rest| format!("{theirs}{rest}")));
    let name = begun.unwrap_or_else(|| name.to_owned());
    let words: Vec<String> = name
        .split('.')
        .map(|word| {
            let found = WORDS.iter().find(|(ours, _)| *ours == word);
            found.map_or(word, |(_, theirs)| theirs).to_owned()
        })
        .collect();
    downsampler(&words).or_else(|| fuser(&words)).unwrap_or_else(|| layered(&words)).join(".")
}

/// Masks on their way into memory: convolution, norm and activation count as three.
fn downsampler(words: &[String]) -> Option<Vec<String>> {
    let at = words.iter().position(|word| word == "mask_downsampler")?;
    let mut out = words[..=at].to_vec();
    out.push("encoder".to_owned());
    match &words[at + 1..] {
        [layers, number, part, leaf] if layers == "layers" => {
            let step = usize::from(part == "norm");
            out.push((3 * number.parse::<usize>().ok()? + step).to_string());
            out.push(leaf.clone());
        }
        [_last, leaf] => out.extend(["12".to_owned(), leaf.clone()]),
        _ => return None,
    }
    Some(out)
}

/// The blocks of memory's fuser, whose scale has another name.
fn fuser(words: &[String]) -> Option<Vec<String>> {
    words.iter().any(|word| word == "fuser").then(|| {
        let mut out = words.to_vec();
        if let Some(last) = out.last_mut().filter(|last| *last == "scale") {
            "gamma".clone_into(last);
        }
        out
    })
}

/// Small networks have numbered layers, and the neck's layers a word more.
fn layered(words: &[String]) -> Vec<String> {
    if let [first, neck, rest @ ..] = words
        && first == "image_encoder"
        && neck == "neck"
        && let [convs, number, leaf] = rest
    {
        let all = [first, neck, convs, number, &"conv".to_owned(), leaf];
        return all.into_iter().cloned().collect();
    }
    let heads = ["iou_prediction_head", "output_hypernetworks_mlps", "pred_obj_score_head"];
    let is_head = |word: &String| heads.contains(&word.as_str()) || word == "obj_ptr_proj";
    let is_head = words.iter().any(is_head);
    let mut out = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "proj_in" => out.extend(["layers", "0"].map(str::to_owned)),
            "proj_out" if is_head => out.extend(["layers", "2"].map(str::to_owned)),
            "proj_out" => out.extend(["layers", "1"].map(str::to_owned)),
            "layers" if is_head => {
                let number = words.next().and_then(|number| number.parse::<usize>().ok());
                out.extend(["layers".to_owned(), (number.unwrap_or(0) + 1).to_string()]);
            }
            word => out.push(word.to_owned()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_authors_files() {
        for (ours, theirs) in [
            ("vision_encoder.backbone.pos_embed_window", "image_encoder.trunk.pos_embed_window"),
            (
                "vision_encoder.backbone.patch_embed.projection.bias",
                "image_encoder.trunk.patch_embed.proj.bias",
            ),
            (
                "vision_encoder.backbone.blocks.11.mlp.proj_out.weight",
                "image_encoder.trunk.blocks.11.mlp.layers.1.weight",
            ),
            (
                "vision_encoder.backbone.blocks.1.layer_norm2.bias",
                "image_encoder.trunk.blocks.1.norm2.bias",
            ),
            ("vision_encoder.neck.convs.0.bias", "image_encoder.neck.convs.0.conv.bias"),
            (IMAGE_CODE, "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
            (
                "mask_decoder.transformer.layers.1.cross_attn_image_to_token.o_proj.bias",
                "sam_mask_decoder.transformer.layers.1.cross_attn_image_to_token.out_proj.bias",
            ),
            (
                "mask_decoder.transformer.layer_norm_final_attn.bias",
                "sam_mask_decoder.transformer.norm_final_attn.bias",
            ),
            (
                "mask_decoder.output_hypernetworks_mlps.2.layers.0.bias",
                "sam_mask_decoder.output_hypernetworks_mlps.2.layers.1.bias",
            ),
            (
                "mask_decoder.iou_prediction_head.proj_out.weight",
                "sam_mask_decoder.iou_prediction_head.layers.2.weight",
            ),
            ("object_pointer_proj.layers.0.bias", "obj_ptr_proj.layers.1.bias"),
            ("memory_attention.layer_norm.bias", "memory_attention.norm.bias"),
            (
                "memory_attention.layers.3.cross_attn_image.o_proj.bias",
                "memory_attention.layers.3.cross_attn_image.out_proj.bias",
            ),
            ("memory_attention.layers.3.linear1.bias", "memory_attention.layers.3.linear1.bias"),
            (
                "memory_encoder.mask_downsampler.layers.2.layer_norm.bias",
                "memory_encoder.mask_downsampler.encoder.7.bias",
            ),
            (
                "memory_encoder.mask_downsampler.layers.3.conv.weight",
                "memory_encoder.mask_downsampler.encoder.9.weight",
            ),
            (
                "memory_encoder.mask_downsampler.final_conv.bias",
                "memory_encoder.mask_downsampler.encoder.12.bias",
            ),
            ("memory_encoder.memory_fuser.layers.1.scale", "memory_encoder.fuser.layers.1.gamma"),
            (
                "memory_encoder.memory_fuser.layers.0.pointwise_conv2.bias",
                "memory_encoder.fuser.layers.0.pwconv2.bias",
            ),
            ("memory_encoder.projection.bias", "memory_encoder.out_proj.bias"),
            ("occlusion_spatial_embedding_parameter", "no_obj_embed_spatial"),
            ("mask_downsample.weight", "mask_downsample.weight"),
        ] {
            assert_eq!(original_name(ours), theirs);
        }
    }
}
