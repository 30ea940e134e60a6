//! What becomes of pictures, films and text before the network, and of its numbers after it.

use candle_core::{DType, Tensor};
use parallax_qwen3_vl::{
    Choice, Options, Pixels, Sampling, VideoPreprocessing, frame_indices, smart_resize,
    smart_resize_film, timestamps,
};
use serde_json::Value;

use crate::goldens::{Case, Golden, NAMES, folder, picture};

fn numbers(value: &Value) -> Vec<usize> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn patches_are_those_of_the_published_processors() {
    for name in NAMES {
        let golden = Golden::open(name);
        for case in &Case::ALL[1..] {
            let prompt = golden.prompt(case);
            let wanted = &golden.expected["cases"][case];
            let grids: Vec<[usize; 3]> = ["image_grid_thw", "video_grid_thw"]
                .iter()
                .filter(|key| !wanted[**key].is_null())
                .flat_map(|key| {
                    serde_json::from_value::<Vec<[usize; 3]>>(wanted[*key].clone()).unwrap()
                })
                .collect();
            let own: Vec<[usize; 3]> = prompt
                .pictures
                .iter()
                .map(|p| [p.grid.pairs, p.grid.rows, p.grid.columns])
                .collect();
            assert_eq!(own, grids, "{name} {case}");
            let values: Vec<&Tensor> = prompt.pictures.iter().map(|p| &p.values).collect();
            let own = Tensor::cat(&values, 0).unwrap();
            let levels = ["pixel_values", "pixel_values_videos"].map(|key| {
                golden.stages.get(&format!("{case}.{key}")).map(|t| t.to_dtype(DType::F32).unwrap())
            });
            let levels = Tensor::cat(&levels.into_iter().flatten().collect::<Vec<_>>(), 0).unwrap();
            let own = (((own * 0.5).unwrap() + 0.5).unwrap() * 255.0).unwrap().round().unwrap();
            let off = (own - &levels).unwrap().abs().unwrap().flatten_all().unwrap();
            let off = off.to_vec1::<f32>().unwrap();
            let (most, some) = off
                .iter()
                .fold((0f32, 0), |(most, some), &x| (most.max(x), some + usize::from(x > 0.0)));
            // Kernels that round differently are one level off in a few places.
            assert!(
                most <= 1.0 && some * 1000 <= off.len(),
                "{name} {case}: {most}, {some} of {}",
                off.len()
            );
        }
    }
}

#[test]
fn sizes_are_the_published_ones() {
    for name in NAMES {
        let golden = Golden::open(name);
        let sizes = &golden.expected["sizes"];
        let factor = sizes["factor"].as_u64().unwrap() as usize;
        for row in sizes["pictures"].as_array().unwrap() {
            let [h, w, low, high] = numbers(&Value::from(&row.as_array().unwrap()[..4]))[..] else {
                panic!()
            };
            let pixels = Pixels { shortest_edge: low, longest_edge: high };
            let want = (!row[4].is_null()).then(|| numbers(&row[4]));
            let got = smart_resize((h, w), factor, pixels).ok().map(|(h, w)| vec![h, w]);
            assert_eq!(got, want, "{h}x{w} within {low} to {high}");
        }
        for row in sizes["films"].as_array().unwrap() {
            let [n, h, w, low, high] = numbers(&Value::from(&row.as_array().unwrap()[..5]))[..]
            else {
                panic!()
            };
            let pixels = Pixels { shortest_edge: low, longest_edge: high };
            let (got_h, got_w) = smart_resize_film(n, (h, w), factor, pixels).unwrap();
            assert_eq!(
                vec![got_h, got_w],
                numbers(&row[5]),
                "{n} of {h}x{w} within {low} to {high}"
            );
        }
    }
    let any = Pixels { shortest_edge: 1, longest_edge: 1 << 30 };
    assert!(smart_resize((10, 2010), 32, any).is_err() && smart_resize((0, 5), 32, any).is_err());
    assert!(smart_resize((usize::MAX, 5), 32, any).is_err());
}

#[test]
fn frames_and_their_times_are_the_published_ones() {
    let golden = Golden::open("hub");
    for row in golden.expected["frames"].as_array().unwrap() {
        let (total, rate) =
            (row["total"].as_u64().unwrap() as usize, row["rate"].as_f64().unwrap());
        let indices = frame_indices(total, rate, &VideoPreprocessing::default());
        assert_eq!(indices, numbers(&row["indices"]), "{total} at {rate}");
        let seconds: Vec<f64> = indices.iter().map(|&i| i as f64 / rate).collect();
        let times = timestamps(&seconds);
        let texts: Vec<String> = times.iter().map(|t| format!("{t:.1}")).collect();
        assert_eq!(Value::from(texts), row["texts"]);
        let wanted: Vec<f64> = serde_json::from_value(row["times"].clone()).unwrap();
        assert!(times.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-9));
    }
    assert!(frame_indices(0, 25.0, &VideoPreprocessing::default()).is_empty());
}

#[test]
fn text_is_never_a_control_token_and_otherwise_as_published() {
    for name in NAMES {
        let golden = Golden::open(name);
        let tokenizer = golden.model.tokenizer();
        for row in golden.expected["tokens"].as_array().unwrap() {
            let text = row[0].as_str().unwrap();
            let ids = tokenizer.tokens(text).unwrap();
            assert_eq!(ids, Golden::ids(&row[1]), "{text:?}");
            assert_eq!(tokenizer.text(&ids).unwrap(), row[2].as_str().unwrap(), "{text:?}");
        }
    }
}

#[test]
fn chances_are_the_published_ones() {
    for name in NAMES {
        let golden = Golden::open(name);
        let logits = &golden.stages["text.logits"];
        let last = logits.get(logits.dim(0).unwrap() - 1).unwrap().to_vec1::<f32>().unwrap();
        for row in golden.expected["chances"].as_array().unwrap() {
            let sampling = Sampling {
                temperature: row["temperature"].as_f64().unwrap(),
                top_k: row["top_k"].as_u64().unwrap() as usize,
                top_p: row["top_p"].as_f64().unwrap(),
                seed: 0,
            };
            let mut chances = sampling.chances(&last).unwrap();
            chances.sort_by_key(|(id, _)| *id);
            let (ids, shares): (Vec<u32>, Vec<f64>) = chances.into_iter().unzip();
            assert_eq!(ids, Golden::ids(&row["kept"]), "{row}");
            let wanted: Vec<f64> = serde_json::from_value(row["shares"].clone()).unwrap();
            assert!(shares.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{row}");
        }
        // A seed gives one answer, whatever else is asked.
        let prompt = golden.prompt("text");
        let write = |seed| {
            let choice =
                Choice::Sampled(Sampling { seed, temperature: 2.0, ..Sampling::PUBLISHED });
            let options = Options { most: 8, choice };
            golden.model.write(&[&prompt], options, &mut |_, _| (), &|| true).unwrap()
        };
        assert_eq!(write(4), write(4));
        assert!((5..12).any(|seed| write(seed) != write(4)));
    }
}

#[test]
fn folders_that_are_no_such_model_are_refused_by_name() {
    use parallax_qwen3_vl::manifest::Opened;
    let (from, to) = (folder("hub"), tempfile::tempdir().unwrap());
    for file in ["model.safetensors", "tokenizer.json", "preprocessor_config.json"] {
        std::fs::copy(from.join(file), to.path().join(file)).unwrap();
    }
    let config: Value =
        serde_json::from_str(&std::fs::read_to_string(from.join("config.json")).unwrap()).unwrap();
    let refused = |part: Option<&str>, key: &str, value: Value| {
        let mut config = config.clone();
        match part {
            Some(part) => config[part][key] = value,
            None => config[key] = value,
        }
        std::fs::write(to.path().join("config.json"), config.to_string()).unwrap();
        let opened = Opened::at(to.path()).and_then(|opened| opened.check("the network"));
        opened.unwrap_err().to_string()
    };
    let (text, vision) = (Some("text_config"), Some("vision_config"));
    for (part, key, value) in [
        (None, "model_type", Value::from("qwen3_vl_moe")),
        (None, "model_type", Value::from("llama")),
        (None, "image_token_id", Value::from(100_000)),
        (text, "num_key_value_heads", Value::from(4)),
        (text, "num_hidden_layers", Value::from(1u64 << 40)),
        (text, "head_dim", Value::from(0)),
        (text, "hidden_act", Value::from("gelu")),
        (text, "attention_bias", Value::from(true)),
        (text, "rope_scaling", serde_json::json!({ "mrope_section": [5, 2, 2] })),
        (
            text,
            "rope_scaling",
            serde_json::json!({ "rope_type": "yarn", "mrope_section": [4, 2, 2] }),
        ),
        (text, "rope_theta", Value::from(0.0)),
        (vision, "num_heads", Value::from(5)),
        (vision, "num_position_embeddings", Value::from(35)),
        (vision, "out_hidden_size", Value::from(40)),
        (vision, "deepstack_visual_indexes", serde_json::json!([2, 0])),
        (vision, "deepstack_visual_indexes", serde_json::json!([0, 9])),
        (vision, "hidden_act", Value::from("gelu")),
        (vision, "patch_size", Value::from(16)),
    ] {
        let error = refused(part, key, value);
        let named = if key == "rope_scaling" { "rope_type\0mrope_section" } else { key };
        assert!(named.split('\0').any(|name| error.contains(name)), "{key}: {error}");
    }
    assert!(
        refused(None, "model_type", Value::from("qwen3_vl_moe")).contains("mixtures of experts")
    );
    let wider = refused(text, "intermediate_size", Value::from(80));
    assert!(wider.contains("another shape") && wider.contains("gate_proj"), "{wider}");
    // One picture of the sizes that a side may have.
    assert!(Golden::open("hub").model.picture(&picture((1, 150), 0), 4096).is_ok());
}
