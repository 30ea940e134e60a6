//! The renderer against scenes whose other eye is known.

#[allow(dead_code)]
mod scene;

use std::sync::Arc;

use parallax_frame::{Chroma, Colour, Frame, PixelFormat, VideoFormat};
use parallax_stereo::{Geometry, Plane, View, ViewSynthesis, Warp};
use proptest::prelude::*;
use scene::{Scene, psnr};

/// Depth and geometry that amount to `disparity`.
fn as_depth(disparity: &Plane, width: usize) -> (Plane, Geometry) {
    let range = 0.1 * width as f32;
    let depth = disparity.data().iter().map(|d| d / range + 0.5).collect();
    let plane = Plane::new(disparity.width(), disparity.height(), depth);
    (plane, Geometry { disparity_percent: 10.0, convergence: 0.5 })
}

fn rendered(scene: &Scene, chroma: Chroma, bits: u8) -> View {
    let frame = scene.frame(chroma, bits, 0.0, 7);
    let (depth, geometry) = as_depth(&scene.disparity(0.0), scene.width);
    let mut synthesis = ViewSynthesis::new(frame.format(), geometry).expect("valid geometry");
    synthesis.render(&frame, &depth).expect("a frame of the clip")
}

#[test]
fn true_depth_reproduces_the_right_eye_outside_occlusions() {
    let scene = Scene::cards();
    for bits in [8, 10, 12] {
        let view = rendered(&scene, Chroma::Yuv420, bits);
        let scale = f32::from(1u16 << (bits - 8));
        let luma = view.frame.plane_f32(0).iter().map(|v| v / scale).collect();
        let luma = Plane::new(scene.width, scene.height, luma);
        let db = psnr(&luma, &scene.luma(1.0, 0.0), |x, y| !scene.occluded(x, y, 0.0));
        assert!(db >= 38.0, "{bits} bits: {db} dB");
    }
}

#[test]
fn the_mask_is_the_true_occlusion() {
    let scene = Scene::cards();
    let view = rendered(&scene, Chroma::Yuv420, 8);
    let (mut both, mut masked, mut hidden) = (0.0, 0.0, 0.0);
    for y in 0..scene.height {
        for x in 0..scene.width {
            let (m, o) = (view.mask.at(x, y) > 0.5, scene.occluded(x, y, 0.0));
            both += f64::from(u8::from(m && o));
            masked += f64::from(u8::from(m));
            hidden += f64::from(u8::from(o));
        }
    }
    let (precision, recall) = (both / masked, both / hidden);
    assert!(precision > 0.95 && recall > 0.95, "precision {precision}, recall {recall}");
}

#[test]
fn holes_take_the_background_and_not_the_card() {
    // A dark card before a bright wall: nothing dark may appear beside it.
    let (width, height) = (96, 16);
    let card = |x: usize| (30..60).contains(&x);
    let luma: Vec<f32> =
        (0..width * height).map(|i| if card(i % width) { 20.0 } else { 200.0 }).collect();
    let format = Arc::new(VideoFormat {
        width: width as u32,
        height: height as u32,
        pixels: PixelFormat::YUV420P,
        colour: Colour::default(),
    });
    let mut frame = Frame::zeroed(format, 0);
    frame.set_plane_f32(0, &luma);
    let disparity = Plane::from_fn(width, height, |x, _| if card(x) { 4.0 } else { 0.0 });
    let (depth, geometry) = as_depth(&disparity, width);
    let mut synthesis = ViewSynthesis::new(frame.format(), geometry).unwrap();
    let right = synthesis.right_eye(&frame, &depth).unwrap();
    for y in 0..height {
        for x in 0..width {
            let want = if card(x + 4) { 20 } else { 200 };
            assert_eq!(right.plane(0)[y * width + x], want, "at {x},{y}");
        }
    }
}

#[test]
fn a_flat_depth_at_the_screen_is_the_source_bit_for_bit() {
    let shapes =
        [(Chroma::Gray, 8), (Chroma::Yuv420, 8), (Chroma::Yuv422, 10), (Chroma::Yuv444, 12)];
    for (chroma, bits) in shapes {
        for (width, height) in [(1u32, 1u32), (2, 1), (5, 3), (33, 7)] {
            let pixels = PixelFormat::new(chroma, bits).unwrap();
            let format = Arc::new(VideoFormat { width, height, pixels, colour: Colour::default() });
            let mut frame = Frame::zeroed(format.clone(), 3);
            for plane in 0..chroma.planes() {
                let count = frame.plane_f32(plane).len();
                let max = usize::from(pixels.max_value()) + 1;
                let values: Vec<f32> = (0..count).map(|i| ((i * 977) % max) as f32).collect();
                frame.set_plane_f32(plane, &values);
            }
            let mut synthesis = ViewSynthesis::new(&format, Geometry::default()).unwrap();
            let view = synthesis.render(&frame, &Plane::filled(1, 1, 0.5)).unwrap();
            assert_eq!(view.frame, frame, "{chroma:?} {bits} {width}x{height}");
            assert!(view.mask.data().iter().all(|&m| m == 0.0));
        }
    }
}

#[test]
fn chroma_moves_with_luma() {
    // A coloured card shifted by an even number of pixels shifts its chroma by half of it.
    let (width, height) = (64usize, 8usize);
    let format = Arc::new(VideoFormat {
        width: width as u32,
        height: height as u32,
        pixels: PixelFormat::YUV420P,
        colour: Colour::default(),
    });
    let mut frame = Frame::zeroed(format.clone(), 0);
    let chroma: Vec<f32> = (0..width / 2 * height / 2).map(|i| (i % 32 * 7) as f32).collect();
    frame.set_plane_f32(1, &chroma);
    let mut warp = Warp::new(width, height);
    warp.splat(&Plane::filled(width, height, 6.0));
    let right = warp.frame(&frame);
    for (row, source) in right.plane(1).chunks(32).zip(frame.plane(1).chunks(32)) {
        assert_eq!(row[..29], source[3..]);
    }
}

#[test]
fn geometry_out_of_range_is_refused_by_field() {
    let format = Arc::new(VideoFormat {
        width: 8,
        height: 8,
        pixels: PixelFormat::YUV420P,
        colour: Colour::default(),
    });
    let cases = [
        (10.5, 0.5, "disparity_percent 10.5: allowed is 0 to 10"),
        (-0.1, 0.5, "disparity_percent -0.1: allowed is 0 to 10"),
        (f32::NAN, 0.5, "disparity_percent NaN: allowed is 0 to 10"),
        (2.0, 1.5, "convergence 1.5: allowed is 0 to 1"),
    ];
    for (disparity_percent, convergence, want) in cases {
        let geometry = Geometry { disparity_percent, convergence };
        let error = ViewSynthesis::new(&format, geometry).unwrap_err();
        assert_eq!(error.to_string(), want);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_depth_gives_a_frame_inside_the_format(
        width in 1u32..24, height in 1u32..6,
        bits in prop::sample::select(vec![8u8, 10, 12]),
        chroma in prop::sample::select(vec![
            Chroma::Gray, Chroma::Yuv420, Chroma::Yuv422, Chroma::Yuv444]),
        depth in prop::collection::vec(prop_oneof![8 => -0.5f32..1.5, 1 => any::<f32>()], 144),
        threads in 1usize..4,
    ) {
        let pixels = PixelFormat::new(chroma, bits).unwrap();
        let format = Arc::new(VideoFormat { width, height, pixels, colour: Colour::default() });
        let mut frame = Frame::zeroed(format.clone(), 0);
        for plane in 0..chroma.planes() {
            let count = frame.plane_f32(plane).len();
            frame.set_plane_f32(plane, &vec![f32::from(pixels.max_value()); count]);
        }
        let plane = Plane::from_fn(width as usize, height as usize, |x, y| depth[y * width as usize + x]);
        let geometry = Geometry { disparity_percent: 10.0, convergence: 0.3 };
        let render = || {
            let mut synthesis = ViewSynthesis::new(&format, geometry).unwrap();
            synthesis.render(&frame, &plane).unwrap()
        };
        let view = render();
        // White stays white wherever it goes, so every sample came from inside the source.
        prop_assert_eq!(&view.frame, &frame);
        prop_assert!(view.mask.data().iter().all(|m| (0.0..=1.0).contains(m)));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        prop_assert_eq!(pool.install(render).mask, view.mask);
    }
}
