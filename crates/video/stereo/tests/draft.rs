//! The draft engine as a viewer meets it: calm, plausible, and never wrong about time.

#[allow(dead_code)]
mod scene;

use std::sync::Arc;

use parallax_frame::{Chroma, Frame, FrameRate, VideoFormat};
use parallax_stereo::{
    Clip, Copy, DepthEstimator, Draft, DraftDepth, Engine, Error, Geometry, Plane, Run,
};
use scene::{Layer, Scene};

const RATE: FrameRate = FrameRate { num: 25, den: 1 };
const ENGINES: [&dyn Engine; 2] = [&Copy, &Draft];

/// A wall and two cards that a camera passes sideways: parallax grows towards the viewer.
fn passing() -> Scene {
    let mut scene = Scene::cards();
    (scene.width, scene.height) = (320, 180);
    scene.layers = vec![
        Layer { disparity: 0.0, area: [-1e6, -1e6, 1e6, 1e6], speed: -0.5, seed: 1.0 },
        Layer { disparity: 0.0, area: [60.0, 60.0, 120.0, 120.0], speed: -2.0, seed: 2.0 },
        Layer { disparity: 0.0, area: [220.0, 60.0, 280.0, 120.0], speed: -5.0, seed: 3.0 },
    ];
    scene
}

fn depths(frames: impl IntoIterator<Item = Frame>) -> Vec<(Frame, Plane)> {
    let mut frames = frames.into_iter().peekable();
    let format = frames.peek().expect("a frame").format().clone();
    let clip = Clip { format, rate: RATE };
    let mut estimator = DraftDepth::new(&clip, Default::default());
    let mut out = Vec::new();
    for frame in frames {
        out.extend(estimator.push(frame).expect("a frame of the clip"));
    }
    out.extend(estimator.finish().expect("the rest"));
    out
}

fn mean(plane: &Plane, [left, top, right, bottom]: [usize; 4]) -> f32 {
    let mut sum = 0.0;
    for y in top..bottom {
        sum += plane.row(y)[left..right].iter().sum::<f32>();
    }
    sum / ((right - left) * (bottom - top)) as f32
}

fn change(a: &Plane, b: &Plane) -> f32 {
    let pairs = a.data().iter().zip(b.data());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn what_moves_faster_past_the_camera_is_nearer() {
    let scene = passing();
    let depths = depths((0..14).map(|t| scene.frame(Chroma::Yuv420, 8, t as f32, t)));
    let (_, last) = &depths[13];
    let wall = mean(last, [140, 75, 150, 105]);
    let card = mean(last, [50, 75, 80, 105]);
    let near_card = mean(last, [165, 75, 205, 105]);
    assert!(card > wall + 0.1, "card {card}, wall {wall}");
    assert!(near_card > card, "near card {near_card}, card {card}");
}

#[test]
fn turning_the_camera_brings_nothing_forward() {
    // A plain floor with one slanted line: block motion alone brings the line forward by half of
    // the whole range, because an edge fits anywhere along itself.
    let scene = Scene { width: 320, height: 180, layers: Vec::new() };
    let panned = |t: i64| {
        let mut frame = Scene::cards().frame(Chroma::Yuv420, 8, 0.0, t);
        let wide = Arc::new(VideoFormat {
            width: scene.width as u32,
            height: scene.height as u32,
            ..(**frame.format()).clone()
        });
        frame = Frame::zeroed(wide, t);
        frame.data_mut().fill(128);
        let luma = Plane::from_fn(320, 180, |x, y| {
            let x = x as f32 + 3.0 * t as f32;
            let line = (x - 1.6 * (180.0 - y as f32) - 80.0).abs() < 4.0;
            let wall = 40.0 * (x * 0.37).sin() * (y as f32 * 0.31 + x * 0.05).cos();
            if y < 60 {
                120.0 + wall
            } else if line {
                60.0
            } else {
                160.0
            }
        });
        frame.set_plane_f32(0, luma.data());
        frame
    };
    let depths = depths((0..16).map(panned));
    let (first, last) = (&depths[0].1, &depths[15].1);
    for y in (0..180).step_by(12) {
        for x in (0..320).step_by(20) {
            let area = [x, y, x + 20, y + 12];
            let forward = mean(last, area) - mean(first, area);
            assert!(forward.abs() < 0.1, "{forward} at {x},{y}");
        }
    }
}

#[test]
fn the_ground_comes_nearer_towards_the_viewer() {
    let scene = passing();
    let depth = &depths([scene.frame(Chroma::Gray, 10, 0.0, 0)])[0].1;
    assert!(mean(depth, [0, 170, 320, 180]) > mean(depth, [0, 100, 320, 110]) + 0.2);
    assert!(mean(depth, [0, 100, 320, 110]) > mean(depth, [0, 50, 320, 60]) + 0.1);
}

#[test]
fn a_still_scene_keeps_its_depth() {
    let scene = Scene::cards();
    let depths = depths((0..20).map(|t| scene.frame(Chroma::Yuv420, 8, 0.0, t)));
    for pair in depths.windows(2) {
        assert!(change(&pair[0].1, &pair[1].1) < 1e-3);
    }
}

#[test]
fn sensor_noise_does_not_make_depth_flicker() {
    let scene = Scene::cards();
    let noisy = |t: u32| {
        let mut frame = scene.frame(Chroma::Yuv420, 8, 0.0, i64::from(t));
        let mut state = t.wrapping_mul(2_654_435_761) | 1;
        for v in frame.plane_mut(0) {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            *v = v.saturating_add_signed((state % 5) as i8 - 2);
        }
        frame
    };
    let depths = depths((0..20).map(noisy));
    for pair in depths.windows(2) {
        let flicker = change(&pair[0].1, &pair[1].1);
        assert!(flicker < 0.01, "{flicker}");
    }
}

#[test]
fn a_cut_forgets_the_shot_before() {
    let scene = passing();
    let mut other = Scene::cards();
    (other.width, other.height) = (320, 180);
    other.layers.truncate(1);
    other.layers[0].seed = 9.0;
    let dark = |t: i64| {
        let mut frame = other.frame(Chroma::Yuv420, 8, 0.0, t);
        frame.plane_mut(0).iter_mut().for_each(|v| *v = 255 - *v / 2);
        frame
    };
    let after = depths((10..20).map(dark));
    for first in [3, 12] {
        let shot = (0..first).map(|t| scene.frame(Chroma::Yuv420, 8, t as f32, t));
        let joined = depths(shot.chain((first..first + 10).map(dark)));
        let cut = first as usize;
        for (k, (_, depth)) in after.iter().enumerate() {
            assert_eq!(&joined[cut + k].1, depth, "{k} frames after a cut at {first}");
        }
    }
}

#[test]
fn constant_pictures_of_any_size_have_a_finite_depth() {
    for (width, height) in [(1, 1), (1, 40), (2, 2), (17, 3), (641, 2), (333, 200)] {
        let scene = Scene { width, height, ..Scene::cards() };
        for level in [0u8, 16, 255] {
            let frames = (0..8).map(|t| {
                let mut frame = scene.frame(Chroma::Yuv420, 8, 0.0, t);
                frame.data_mut().fill(level);
                frame
            });
            for (frame, depth) in depths(frames) {
                let format = frame.format();
                assert_eq!(
                    (depth.width() as u32, depth.height() as u32),
                    (format.width, format.height)
                );
                assert!(depth.data().iter().all(|d| (0.0..=1.0).contains(d)));
            }
        }
    }
}

#[test]
fn every_engine_gives_each_frame_back_once_in_order_and_in_time() {
    let scene = Scene::cards();
    for engine in ENGINES {
        let name = engine.name();
        for count in [0, 1, 5, 6, 7, 30] {
            let clip = Clip {
                format: scene.frame(Chroma::Yuv420, 8, 0.0, 0).format().clone(),
                rate: RATE,
            };
            let mut session = engine.start(&clip, &Run::default()).unwrap();
            let mut given = Vec::new();
            for t in 0..count {
                let frame = scene.frame(Chroma::Yuv420, 8, t as f32, 100 + t);
                given.extend(session.push(frame).unwrap());
                let lag = t as usize + 1 - given.len();
                assert!(lag <= 6, "{name} lags by {lag} frames");
            }
            given.extend(session.finish().unwrap());
            assert_eq!(given.len(), count as usize, "{name}");
            for (t, pair) in given.iter().enumerate() {
                let source = scene.frame(Chroma::Yuv420, 8, t as f32, 100 + t as i64);
                assert_eq!(pair.left, source, "{name} frame {t}");
                assert_eq!(pair.right.pts, source.pts);
                assert_eq!(pair.right.format(), source.format());
            }
        }
    }
}

#[test]
fn the_same_frames_give_the_same_pairs_on_any_number_of_threads() {
    let scene = passing();
    let render = || {
        let frame = |t: i64| scene.frame(Chroma::Yuv420, 8, t as f32, t);
        let clip = Clip { format: frame(0).format().clone(), rate: RATE };
        let mut session = Draft.start(&clip, &Run::default()).unwrap();
        let mut pairs: Vec<_> = (0..9).flat_map(|t| session.push(frame(t)).unwrap()).collect();
        pairs.extend(session.finish().unwrap());
        pairs.into_iter().map(|pair| pair.right).collect::<Vec<_>>()
    };
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    assert_eq!(pool(1).install(render), pool(4).install(render));
}

#[test]
fn cancellation_and_bad_options_stop_every_engine() {
    let scene = Scene::cards();
    let frame = scene.frame(Chroma::Yuv420, 8, 0.0, 0);
    let clip = Clip { format: frame.format().clone(), rate: RATE };
    for engine in ENGINES {
        let name = engine.name();
        let run = Run::default();
        let mut session = engine.start(&clip, &run).unwrap();
        run.cancel.cancel();
        assert!(matches!(session.push(frame.clone()), Err(Error::Cancelled)), "{name}");
        assert!(matches!(session.finish(), Err(Error::Cancelled)), "{name}");
        let geometry = Geometry { disparity_percent: 11.0, ..Geometry::default() };
        let refused = engine.start(&clip, &Run { geometry, ..Run::default() });
        assert!(matches!(refused, Err(Error::Unsupported(_))), "{name}");
    }
}
