//! Pictures and films from their samples to their depth, against the authors' programs.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use candle_core::{DType, Tensor};
use common::{build, by_authors_names, tensors, tiny, tiny_video};
use parallax_dpt::{
    DepthMap, DepthNetwork, Layout, Resampling, SizeRule, Stream, WindowOptions, Windows,
    network_input,
};
use parallax_nn::ignore;
use parallax_nn::ops::bilinear_aligned;
use parallax_test_networks::assert_close;

/// Red, green and blue of a picture (H, W, 3) of bytes.
fn channels(picture: &Tensor) -> ([Vec<f32>; 3], (usize, usize)) {
    let (height, width, _) = picture.dims3().unwrap();
    let wide = (picture.to_dtype(DType::F32).unwrap() / 255.0).unwrap();
    let channel =
        |i: usize| wide.narrow(2, i, 1).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    ([0, 1, 2].map(channel), (width, height))
}

fn input(picture: &Tensor, rule: SizeRule) -> Tensor {
    let (channels, size) = channels(picture);
    let channels = [0, 1, 2].map(|i| channels[i].as_slice());
    network_input(channels, size, rule.size(size, 14), Resampling::Cubic).unwrap()
}

#[test]
fn sizes_are_those_of_the_authors_programs() {
    for ((w, h), want) in [
        ((1920, 1080), (924, 518)),
        ((1280, 720), (924, 518)),
        ((1920, 804), (1232, 518)),
        ((640, 480), (686, 518)),
        ((320, 240), (686, 518)),
        ((1080, 1920), (518, 924)),
        ((518, 518), (518, 518)),
        ((519, 517), (518, 518)),
        ((720, 576), (644, 518)),
        ((1998, 1080), (952, 518)),
        ((777, 525), (770, 518)),
    ] {
        assert_eq!(SizeRule::Shorter(518).size((w, h), 14), want, "{w}x{h}");
    }
    for ((w, h), want) in [
        ((1920, 1080), (924, 518)),
        ((1920, 1078), (924, 518)),
        ((1920, 804), (938, 392)),
        ((720, 1280), (518, 924)),
        ((640, 480), (686, 518)),
        ((1280, 640), (924, 462)),
        ((1998, 1080), (938, 504)),
        ((540, 1280), (392, 924)),
    ] {
        assert_eq!(SizeRule::ShorterUpTo16To9(518).size((w, h), 14), want, "{w}x{h}");
    }
    for ((w, h), want) in [
        ((1920, 1080), (504, 280)),
        ((640, 480), (504, 378)),
        ((1080, 1920), (280, 504)),
        ((504, 504), (504, 504)),
        ((320, 240), (504, 378)),
        ((1920, 804), (504, 210)),
        ((777, 525), (504, 336)),
    ] {
        assert_eq!(SizeRule::Longer(504).size((w, h), 14), want, "{w}x{h}");
    }
    // Whatever the shape, there is a patch.
    assert_eq!(SizeRule::Longer(504).size((10_000, 1), 14), (504, 14));
}

#[test]
fn pictures_are_resampled_as_opencv_does() {
    let golden = tensors("v2_pictures.safetensors");
    let got = input(&golden["portrait.pixels_u8"], SizeRule::Shorter(112));
    assert_close("portrait", &got, &golden["portrait.net_input"], 0.0, 2e-4);
    let clips = tensors("vda_clips.safetensors");
    let got = input(&clips["clip60.frames_u8"].get(0).unwrap(), SizeRule::Shorter(56));
    let want = clips["clip20.net_input.frame0"].unsqueeze(0).unwrap();
    assert_close("clip", &got, &want, 0.0, 2e-4);
}

#[test]
fn resampling_without_aliases_keeps_means_and_linear_slopes() {
    let (width, height) = (300, 170);
    let ramp: Vec<f32> = (0..width * height).map(|i| (i % width) as f32 / width as f32).collect();
    // What alternates from one sample to the next is grey at a third of the size.
    let checks: Vec<f32> =
        (0..width * height).map(|i| ((i % width + i / width) % 2) as f32).collect();
    let of = |samples: &[f32], resampling| {
        let got = network_input([samples; 3], (width, height), (98, 56), resampling).unwrap();
        let got: Vec<f32> =
            got.get(0).unwrap().get(0).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        got.into_iter().map(|v| v * 0.229 + 0.485).collect::<Vec<f32>>()
    };
    let got = of(&ramp, Resampling::Antialiased);
    for x in 6..92 {
        let want = ((x as f32 + 0.5) / 98.0 * width as f32 - 0.5) / width as f32;
        assert!((got[20 * 98 + x] - want).abs() < 2e-3, "{x}: {} for {want}", got[20 * 98 + x]);
    }
    let spread = |v: &[f32]| v.iter().fold(0f32, |a, b| a.max((b - 0.5).abs()));
    assert!(spread(&of(&checks, Resampling::Antialiased)) < 0.01);
    assert!(spread(&of(&checks, Resampling::Cubic)) > 0.1, "the published way aliases");
}

#[test]
fn pictures_have_the_published_depth() {
    let network =
        build(&tiny(), Layout::DepthAnything, by_authors_names(tensors("v2.hf.safetensors")));
    let golden = tensors("v2_pictures.safetensors");
    for name in ["landscape", "portrait", "wide"] {
        let images = input(&golden[&format!("{name}.pixels_u8")], SizeRule::Shorter(112));
        let want = &golden[&format!("{name}.depth")];
        let depth = network.forward(&images, &mut ignore).unwrap().depth;
        let got = bilinear_aligned(&depth, want.dims2().unwrap()).unwrap();
        let scale = want.max_all().unwrap().to_scalar::<f32>().unwrap();
        assert_close(name, &got.reshape(want.dims()).unwrap(), want, 0.0, 2e-4 * scale);
    }
}

/// The depth of the first `count` frames of a clip, each (H, W).
fn windows(
    network: &Arc<DepthNetwork>,
    frames: &Tensor,
    count: usize,
    published: bool,
) -> Vec<DepthMap> {
    let (_, height, width, _) = frames.dims4().unwrap();
    let options =
        WindowOptions { padded: published, enlarged: published.then_some((height, width)) };
    let mut windows = Windows::new(Arc::clone(network), options);
    let mut maps = Vec::new();
    for i in 0..count {
        let images = input(
            &frames.get(i).unwrap(),
            SizeRule::ShorterUpTo16To9(if width > height * 2 { 70 } else { 56 }),
        );
        for features in network.features(&images, &mut ignore).unwrap() {
            maps.extend(windows.push(features).unwrap());
        }
        // As many frames wait as one window and its blending need.
        assert!(i + 1 - maps.len() <= 31, "{i}: {}", maps.len());
    }
    maps.extend(windows.finish().unwrap());
    assert_eq!(windows.finish().unwrap(), []);
    maps
}

fn video() -> Arc<DepthNetwork> {
    Arc::new(build(&tiny_video(), Layout::Video, tensors("vda.safetensors")))
}

#[test]
fn films_have_the_published_depth() {
    let (network, golden) = (video(), tensors("vda_clips.safetensors"));
    for (clip, name, count) in
        [("clip60", "clip60", 60), ("wide33", "wide33", 33), ("clip60", "clip20", 20)]
    {
        let want = &golden[&format!("{name}.depth")];
        let got = windows(&network, &golden[&format!("{clip}.frames_u8")], count, true);
        assert_eq!(got.len(), count);
        let data: Vec<f32> = got.into_iter().flat_map(|map| map.data).collect();
        let got = Tensor::from_vec(data, want.dims(), want.device()).unwrap();
        let scale = want.max_all().unwrap().to_scalar::<f32>().unwrap();
        assert_close(name, &got, want, 0.0, 5e-4 * scale);
    }
}

#[test]
fn windows_that_see_what_there_is_give_every_frame_once() {
    let (network, golden) = (video(), tensors("vda_clips.safetensors"));
    let frames = &golden["clip60.frames_u8"];
    for count in [1, 31, 33, 54] {
        let maps = windows(&network, frames, count, false);
        assert_eq!(maps.len(), count);
        assert!(maps.iter().all(|m| m.data.iter().all(|v| v.is_finite() && *v >= 0.0)));
    }
    // A full window alone is what the network says of it.
    let whole = windows(&network, frames, 32, false);
    let padded = windows(&network, frames, 60, false);
    assert_eq!(whole[..24], padded[..24]);
}

/// A film of 80 frames: the clip of 60, and its last third once more, backwards.
fn film_of_80(golden: &common::Tensors) -> Vec<Tensor> {
    let frames = &golden["clip60.frames_u8"];
    (0..60).chain((40..60).rev()).map(|i| frames.get(i).unwrap()).collect()
}

/// The depth of frames that come one by one.
fn streamed(network: &Arc<DepthNetwork>, frames: &[Tensor], size: (usize, usize)) -> Vec<DepthMap> {
    let mut stream = Stream::new(Arc::clone(network), Some(size)).unwrap();
    let mut maps = Vec::new();
    for frame in frames {
        let images = input(frame, SizeRule::ShorterUpTo16To9(56));
        for features in network.features(&images, &mut ignore).unwrap() {
            maps.push(stream.push(&features).unwrap());
        }
    }
    maps
}

#[test]
fn films_that_come_frame_by_frame_have_the_published_depth() {
    let (network, golden) = (video(), tensors("vda_clips.safetensors"));
    let want = &golden["stream50.depth"];
    let (_, height, width) = want.dims3().unwrap();
    let maps = streamed(&network, &film_of_80(&golden), (height, width));
    assert_eq!(maps.len(), 80);
    let scale = want.max_all().unwrap().to_scalar::<f32>().unwrap();
    let whole = |maps: &[DepthMap]| {
        let data: Vec<f32> = maps.iter().flat_map(|map| map.data.clone()).collect();
        Tensor::from_vec(data, (maps.len(), height, width), want.device()).unwrap()
    };
    assert_close("first 50", &whole(&maps[..50]), want, 0.0, 2e-4 * scale);
    // Every other sample of the others, as its program's own kept cache makes them.
    let later = whole(&maps[50..]);
    let even = |side: usize| {
        Tensor::from_vec((0..side as u32).step_by(2).collect(), side.div_ceil(2), want.device())
    };
    let later = later.index_select(&even(height).unwrap(), 1).unwrap();
    let later = later.index_select(&even(width).unwrap(), 2).unwrap();
    let want = &tensors("vda_stream.safetensors")["stream80.depth"];
    assert_close("last 30", &later, want, 0.0, 2e-4 * scale);
}

#[test]
fn a_network_without_time_has_no_stream() {
    let weights = by_authors_names(tensors("v2.hf.safetensors"));
    let network = build(&tiny(), Layout::DepthAnything, weights);
    assert!(Stream::new(Arc::new(network), None).is_err());
}
