//! A clip that is told what preceded it goes on as if it had never been cut off.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

#[allow(dead_code)]
mod scene;

use parallax_frame::{Chroma, Frame, FrameRate};
use parallax_stereo::{Capabilities, Clip, Copy, DepthEstimator, Draft, DraftDepth, Engine, Run};
use scene::{Layer, Scene};

/// Few frames, so that seconds of memory are few as well.
const RATE: FrameRate = FrameRate { num: 10, den: 1 };

/// A textured card crosses in front of a textured wall for `moving` frames and then rests.
fn walker(moving: i64, t: i64) -> Frame {
    let mut scene = Scene::cards();
    (scene.width, scene.height) = (192, 108);
    let everywhere = [-1e6, -1e6, 1e6, 1e6];
    scene.layers = vec![
        Layer { disparity: 0.0, area: everywhere, speed: 0.0, seed: 1.0 },
        Layer { disparity: 0.0, area: [20.0, 30.0, 60.0, 108.0], speed: 2.0, seed: 2.0 },
    ];
    scene.frame(Chroma::Yuv420, 8, t.min(moving) as f32, t)
}

fn clip() -> Clip {
    Clip { format: walker(0, 0).format().clone(), rate: RATE }
}

/// The depth of frames `from..to`, as seen by an estimator that began at `begin`.
fn depths(moving: i64, begin: i64, from: i64, to: i64) -> Vec<Vec<f32>> {
    let mut estimator = DraftDepth::new(&clip(), Default::default());
    let mut out = Vec::new();
    for t in begin..to {
        out.extend(estimator.push(walker(moving, t)).unwrap());
    }
    out.extend(estimator.finish().unwrap());
    out.drain(..(from - begin) as usize);
    out.into_iter().map(|(_, depth)| depth.data().to_vec()).collect()
}

fn furthest(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn nothing_of_a_shot_is_remembered_longer_than_the_lead_in() {
    let back = Draft.reach(&Run::default()).back;
    let lead_in = (back.as_secs_f64() * RATE.fps()).round() as i64;
    let border = lead_in + 25;
    let mut coldest = 0.0f32;
    // The walker stops right before what is led in, soon after its beginning, and not at all.
    for moving in [border - lead_in, border - lead_in + 12, border + 9] {
        let whole = depths(moving, 0, border, border + 8);
        let told = depths(moving, border - lead_in, border, border + 8);
        let cold = depths(moving, border, border, border + 8);
        let seam = furthest(&whole, &told);
        // 2 % of the width from near to far is 38 pixels at 1920: a tenth of a pixel.
        assert!(seam < 0.0026, "{seam} for a walk of {moving} frames");
        coldest = coldest.max(furthest(&whole, &cold));
    }
    assert!(coldest > 0.05, "{coldest}: forgetting everything should show");
}

#[test]
fn frames_that_are_led_in_give_no_pairs() {
    for engine in [&Copy as &dyn Engine, &Draft] {
        let name = engine.name();
        for before in [0, 1, 5, 6, 7, 20] {
            for count in [1, 3, 9] {
                let mut session = engine.start(&clip(), &Run::default()).unwrap();
                (0..before).for_each(|t| session.lead_in(walker(99, t)).unwrap());
                let mut times = Vec::new();
                for t in before..before + count {
                    times.extend(session.push(walker(99, t)).unwrap().iter().map(|p| p.left.pts));
                }
                while let ready = session.finish().unwrap()
                    && !ready.is_empty()
                {
                    times.extend(ready.iter().map(|p| p.left.pts));
                }
                let wanted: Vec<i64> = (before..before + count).collect();
                assert_eq!(times, wanted, "{name} after {before}");
            }
        }
    }
}
