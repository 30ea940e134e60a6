//! The networks stage by stage against the published classes, on tiny random weights.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{NETWORKS, Seen, Tensors, golden, network, picture, prompts, stages};
use parallax_sam2::manifest::Folder;
use parallax_sam2::{Candidates, Config, Layout, Mask, Sam2, at_size, network_input};
use parallax_test_networks::{assert_close, assert_parity};
use parallax_weights::Inventory;

const CASES: [&str; 10] = [
    "nothing",
    "box1",
    "boxes3",
    "point1",
    "points3",
    "two_objects",
    "box_and_point",
    "mask",
    "small_mask",
    "large_mask",
];

/// Those whose every stage was kept.
const STAGED: [&str; 4] = ["boxes3", "two_objects", "box_and_point", "large_mask"];

/// Channels last as the library has them first, or the other way round: whatever the shape asks for.
fn like(got: &Tensor, want: &Tensor) -> Tensor {
    if got.elem_count() == want.elem_count() && got.dims().len() == 4 && want.dims().len() == 4 {
        let turned = got.permute((0, 3, 1, 2)).unwrap();
        if got.dims() != want.dims() && turned.dims() == want.dims() {
            return turned.contiguous().unwrap();
        }
    }
    got.reshape(want.dims()).unwrap()
}

/// Every stage of `seen` that is wanted; how many they were.
fn compare(name: &str, prefix: &str, seen: &Seen, want: &Tensors) -> usize {
    let mut compared = 0;
    for (stage, got) in &seen.0 {
        let Some(want) = want.get(&format!("{prefix}{stage}")) else { continue };
        let what = format!("{name} {prefix}{stage}");
        if stage.ends_with("_head") {
            // A few numbers behind all layers: there is no range to measure them by.
            assert_close(&what, &like(got, want), want, 0.0, 1e-4);
        } else {
            assert_parity(&what, &like(got, want), want);
        }
        compared += 1;
    }
    compared
}

/// Whole levels (H, W, 3) as the network takes them.
fn normalised(levels: &Tensor) -> Tensor {
    let constant = |v: [f64; 3]| Tensor::new(&v, &Device::Cpu).unwrap();
    let x = (levels.to_dtype(DType::F64).unwrap() / 255.0).unwrap();
    let x = x.broadcast_sub(&constant([0.485, 0.456, 0.406])).unwrap();
    let x = x.broadcast_div(&constant([0.229, 0.224, 0.225])).unwrap();
    let x = x.permute((2, 0, 1)).unwrap().unsqueeze(0).unwrap();
    x.to_dtype(DType::F32).unwrap().contiguous().unwrap()
}

#[test]
fn a_picture_is_seen_as_the_published_processor_shows_it() {
    for name in NETWORKS {
        let want = stages(name);
        let side = want["resized"].dim(0).unwrap();
        let got = network_input(&picture(&want), side).unwrap();
        assert_close(name, &got, &normalised(&want["resized"]), 1e-6, 1e-6);
    }
}

#[test]
fn a_picture_is_encoded_block_by_block() {
    for (name, blocks) in [("plain", 6), ("uneven", 7)] {
        let (want, network) = (stages(name), network(&golden(name)));
        let mut seen = Seen::default();
        network.features(&normalised(&want["resized"]), &mut seen.tap()).unwrap();
        assert_eq!(compare(name, "", &seen, &want), blocks + 4, "patches, blocks, three maps");
    }
}

/// What the network makes of a case.
fn decoded(network: &Sam2, want: &Tensors, case: &str, seen: &mut Seen) -> Candidates {
    let features =
        network.features(&normalised(&want["resized"]), &mut parallax_nn::ignore).unwrap();
    let of = (picture(want).size(), network.config().image_size);
    let (prompts, mask) = prompts(want, case, of);
    network.decode(&features, &prompts, mask.as_ref(), &mut seen.tap()).unwrap()
}

#[test]
fn prompts_are_decoded_stage_by_stage() {
    for name in NETWORKS {
        let (want, network) = (stages(name), network(&golden(name)));
        for case in CASES {
            let mut seen = Seen::default();
            let found = decoded(&network, &want, case, &mut seen);
            // Where there is no mask, one number for each channel stands for the map.
            if let Some(map) = seen.0.get_mut("prompt.out1")
                && let Some(wanted) = want.get(&format!("{case}.prompt.out1"))
            {
                let shape = wanted.dims();
                let cells = shape[2] * shape[3];
                let whole = map.broadcast_as((1, cells, shape[1])).unwrap().contiguous().unwrap();
                *map = whole.reshape((1, shape[2], shape[3], shape[1])).unwrap();
            }
            let stages = if STAGED.contains(&case) { 7 } else { 0 };
            let compared = compare(name, &format!("{case}."), &seen, &want);
            assert_eq!(compared, stages, "{name} {case}");
            let three = found.logits.narrow(1, 1, 3).unwrap();
            let wanted = &want[&format!("{case}.multi.low_res")];
            assert_parity(&format!("{name} {case} logits"), &like(&three, wanted), wanted);
            let presence = Tensor::new(found.presence.as_slice(), &Device::Cpu).unwrap();
            let wanted = &want[&format!("{case}.presence")];
            assert_close(&format!("{name} {case} presence"), &presence, wanted, 0.0, 1e-4);
        }
    }
}

/// Logits (h, w) at a picture's size, as candle's operation makes them.
fn at_size_of(logits: &Tensor, (width, height): (usize, usize)) -> Vec<f32> {
    let logits = logits.unsqueeze(0).unwrap().unsqueeze(0).unwrap();
    let logits = logits.upsample_bilinear2d(height, width, false).unwrap();
    logits.flatten_all().unwrap().to_vec1().unwrap()
}

/// Masks, which are to be those of `kind`.
fn compare_masks(what: &str, want: &Tensors, masks: &[Mask], kind: &str) {
    let tensor = |name: &str| &want[&format!("{kind}.{name}")];
    let size = picture(want).size();
    let scores = tensor("iou").to_vec2::<f32>().unwrap();
    let best = tensor("best").to_vec1::<i64>().unwrap();
    let low_res = tensor("low_res");
    assert_eq!(masks.len(), best.len(), "{what}");
    for (i, mask) in masks.iter().enumerate() {
        let chosen = best[i] as usize;
        assert!((mask.score - scores[i][chosen]).abs() < 1e-4, "{what} {i}: {mask:?}");
        let wanted = low_res.get(i).unwrap().get(chosen).unwrap();
        let logits = Tensor::new(mask.logits.as_slice(), &Device::Cpu).unwrap();
        assert_parity(&format!("{what} {i}"), &logits.reshape(wanted.dims()).unwrap(), &wanted);
        let bytes = tensor("masks").get(i).unwrap().to_vec1::<u8>().unwrap();
        let near = at_size_of(&wanted, size);
        let got = at_size(mask, size);
        let other = |at: usize| (got[at] == 255) != (bytes[at / 8] >> (7 - at % 8) & 1 == 1);
        let wrong: Vec<usize> = (0..got.len()).filter(|&at| other(at)).collect();
        let excused = wrong.iter().all(|&at| near[at].abs() < 1e-3);
        assert!(excused && 1000 * wrong.len() <= got.len(), "{what} {i}: {wrong:?}");
    }
}

#[test]
fn the_mask_that_is_taken_is_the_librarys_to_the_pixel() {
    let mut unstable = 0;
    for name in NETWORKS {
        let (want, network) = (stages(name), network(&golden(name)));
        for case in CASES {
            let found = decoded(&network, &want, case, &mut Seen::default());
            let best = found.best().unwrap();
            compare_masks(&format!("{name} {case}"), &want, &best, &format!("{case}.multi"));
            let one = found.stable(&network.config().decoder).unwrap();
            compare_masks(&format!("{name} {case}"), &want, &one, &format!("{case}.single"));
            unstable += one.iter().filter(|mask| mask.index > 0).count();
            assert!(best.iter().all(|mask| mask.index > 0));
        }
    }
    assert!((4..24).contains(&unstable), "{unstable}: both rules must have been at work");
}

#[test]
fn many_boxes_at_once_are_each_box_alone() {
    let (want, network) = (stages("plain"), network(&golden("plain")));
    let features = network.look(&picture(&want)).unwrap();
    let ignore = &mut parallax_nn::ignore;
    let of = (picture(&want).size(), network.config().image_size);
    let (three, _) = prompts(&want, "boxes3", of);
    // More than are decoded together.
    let many: Vec<_> = three.iter().cycle().take(37).cloned().collect();
    let together = network.decode(&features, &many, None, ignore).unwrap().best().unwrap();
    assert_eq!(together.len(), 37);
    for (i, mask) in together.iter().enumerate() {
        let alone = network.decode(&features, &many[i..=i], None, ignore).unwrap();
        let alone = alone.best().unwrap().remove(0);
        assert_eq!(mask.index, alone.index);
        let apart = mask.logits.iter().zip(&alone.logits).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0f32, f32::max) < 1e-4, "{i}");
    }
}

#[test]
fn prompts_that_do_not_go_together_are_refused() {
    let (want, network) = (stages("plain"), network(&golden("plain")));
    let features = network.look(&picture(&want)).unwrap();
    let of = (picture(&want).size(), network.config().image_size);
    let mixed = [prompts(&want, "box1", of).0, prompts(&want, "point1", of).0].concat();
    let ignore = &mut parallax_nn::ignore;
    let error = network.decode(&features, &mixed, None, ignore).unwrap_err().to_string();
    assert!(error.contains("1 of 2 prompts have a box"), "{error}");
    assert!(network.decode(&features, &[], None, ignore).is_err());
    let odd = Tensor::zeros((1, 3, 64, 60), DType::F32, &Device::Cpu).unwrap();
    assert!(network.features(&odd, ignore).is_err());
}

#[test]
fn a_file_by_its_authors_names_is_known_by_its_sizes() {
    let opened = Folder::open(&golden("uneven")).unwrap();
    assert!(opened.layout.original && !opened.layout.memory);
    let opened = Folder::open(&golden("plain")).unwrap();
    assert_eq!(opened.layout, Layout::TRANSFORMERS);
    // Without a configuration nothing says what an odd network is.
    let folder = tempfile::tempdir().unwrap();
    let name = "sam2.1_hiera_tiny.pt";
    std::fs::copy(golden("uneven").join(name), folder.path().join(name)).unwrap();
    let error = Folder::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("SAM 2 of 7 blocks, 8 wide at first by its authors' names"), "{error}");
}

#[test]
fn a_pickle_that_holds_more_than_its_tensors_is_refused() {
    let pt = golden("uneven").join("sam2.1_hiera_tiny.pt");
    let error = parallax_weights::Checkpoint::open_within(&pt, "ema").unwrap_err().to_string();
    assert!(error.contains("something else than one dict under \"ema\""), "{error}");
    let error = parallax_weights::Checkpoint::open_file(&pt).unwrap_err().to_string();
    assert!(error.contains("is a pickle"), "{error}");
    let nothing = tempfile::tempdir().unwrap();
    let error = Folder::open(nothing.path()).unwrap_err().to_string();
    assert!(error.contains("sam2.1_hiera_large.pt"), "{error}");
}

/// Parameters of the published files, which the codes of places are not.
#[test]
fn published_networks_have_as_many_parameters_as_were_published() {
    for (config, memory, parameters) in [
        (Config::tiny(), true, 38_962_498),
        (Config::small(), true, 46_060_354),
        (Config::base_plus(), true, 80_850_178),
        (Config::large(), true, 224_446_642),
        (Config::tiny(), false, 31_440_721),
        (Config::large(), false, 216_924_865),
    ] {
        for layout in [Layout::TRANSFORMERS, Layout::ORIGINAL] {
            let layout = Layout { memory, ..layout };
            let inventory = Inventory::of(|vb| Sam2::new(&config, layout, vb)).unwrap();
            let codes = if layout.original { 1 } else { 2 };
            let code = 2 * config.width as u64 / 2;
            assert_eq!(inventory.parameters() - codes * code, parameters, "{layout:?}");
        }
    }
}
