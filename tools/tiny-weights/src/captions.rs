//! What a tiny Qwen3-VL is told by.

use serde_json::{Map, Value, json};

/// The first control token: before it there is one for each byte.
const CONTROL: u32 = 256;
const CONTROLS: [&str; 7] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

fn id(token: &str) -> Option<u32> {
    let at = CONTROLS.iter().position(|control| *control == token)?;
    Some(CONTROL + at as u32)
}

/// A `config.json`.
pub(crate) fn config() -> Value {
    json!({
        "architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", "tie_word_embeddings": true,
        "image_token_id": id("<|image_pad|>"), "video_token_id": id("<|video_pad|>"),
        "vision_start_token_id": id("<|vision_start|>"), "vision_end_token_id": id("<|vision_end|>"),
        "text_config": {
            "model_type": "qwen3_vl_text", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "hidden_act": "silu",
            "vocab_size": CONTROL as usize + CONTROLS.len(), "rms_norm_eps": 1e-6, "rope_theta": 5_000_000,
            "rope_scaling": {"mrope_interleaved": true, "mrope_section": [4, 2, 2], "rope_type": "default"},
        },
        "vision_config": {
            "model_type": "qwen3_vl", "hidden_size": 32, "intermediate_size": 48, "depth": 2, "num_heads": 2,
            "out_hidden_size": 32, "num_position_embeddings": 16, "deepstack_visual_indexes": [0], "patch_size": 16,
            "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3, "hidden_act": "gelu_pytorch_tanh",
        },
    })
}

/// A `tokenizer.json` of bytes and control tokens.
pub(crate) fn tokenizer() -> Value {
    // Letters stand for bytes: those that are seen for themselves, then others from 256 on.
    let seen = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let (mut letters, mut next) = (Map::new(), 256);
    for byte in 0..256u32 {
        let letter = if seen(byte) {
            byte
        } else {
            next += 1;
            next - 1
        };
        let letter = char::from_u32(letter).map(String::from).unwrap_or_default();
        letters.insert(letter, json!(byte));
    }
    let control = |token: &&str| {
        json!({
            "id": id(token), "content": token, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null, "post_processor": null,
        "added_tokens": CONTROLS.iter().map(control).collect::<Vec<_>>(), "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": letters, "merges": [],
        },
    })
}
