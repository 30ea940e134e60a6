//! Hole fills, each where it should be better than drawing the background's edge across.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod scene;

use parallax_frame::{Chroma, FrameRate};
use parallax_stereo::{
    Clip, DepthEstimator, DepthSession, Error, Eyes, Fill, Geometry, Plane, Rendering, Run, Session,
};
use scene::{Layer, Scene, psnr};

const FRAMES: i64 = 24;

const FILLS: [Fill; 6] =
    [Fill::Black, Fill::Stretch, Fill::Mirror, Fill::Continue, Fill::Smooth, Fill::Temporal];

/// A wall and two cards; the camera pans, or one of the cards walks before a camera at rest.
fn film(pan: f32, walk: f32) -> Scene {
    let mut scene = Scene::cards();
    for layer in &mut scene.layers {
        layer.speed = pan;
    }
    scene.layers[2] =
        Layer { area: [40.0, 30.0, 90.0, 108.0], speed: pan + walk, ..scene.layers[2] };
    scene.layers.remove(1);
    scene
}

fn geometry() -> Geometry {
    Geometry { disparity_percent: 10.0, convergence: 0.5 }
}

/// True depth, frame by frame.
#[derive(Debug)]
struct True(Scene, i64);

impl DepthEstimator for True {
    fn push(
        &mut self,
        frame: parallax_frame::Frame,
    ) -> Result<Vec<(parallax_frame::Frame, Plane)>, Error> {
        let disparity = self.0.disparity(self.1 as f32);
        self.1 += 1;
        let range = 0.1 * self.0.width as f32;
        let depth = disparity.data().iter().map(|d| d / range + 0.5).collect();
        Ok(vec![(frame, Plane::new(self.0.width, self.0.height, depth))])
    }

    fn finish(&mut self) -> Result<Vec<(parallax_frame::Frame, Plane)>, Error> {
        Ok(Vec::new())
    }
}

fn rights(scene: &Scene, rendering: Rendering) -> Vec<Plane> {
    let frame = |t: i64| scene.frame(Chroma::Yuv420, 8, t as f32, t);
    let clip = Clip { format: frame(0).format().clone(), rate: FrameRate { num: 25, den: 1 } };
    let run = Run { geometry: geometry(), rendering, ..Run::default() };
    let mut session = DepthSession::new(True(scene.clone(), 0), &clip, &run).unwrap();
    let mut pairs: Vec<_> = (0..FRAMES).flat_map(|t| session.push(frame(t)).unwrap()).collect();
    pairs.extend(session.finish().unwrap());
    let luma =
        |frame: &parallax_frame::Frame| Plane::new(scene.width, scene.height, frame.plane_f32(0));
    pairs.iter().map(|pair| luma(&pair.right)).collect()
}

/// PSNR in the holes beside the card, in dB, over all frames from `from` on. What lies beyond the
/// picture's own borders nobody can know.
fn in_holes(scene: &Scene, fill: Fill, from: usize) -> f64 {
    let rendering = Rendering { fill, ..Rendering::default() };
    let inner = 8..scene.width - 8;
    let all: Vec<f64> = rights(scene, rendering)
        .iter()
        .enumerate()
        .skip(from)
        .map(|(t, right)| {
            let t = t as f32;
            psnr(right, &scene.luma(1.0, t), |x, y| inner.contains(&x) && scene.occluded(x, y, t))
        })
        .collect();
    all.iter().sum::<f64>() / all.len() as f64
}

#[test]
fn surroundings_fill_texture_better_than_streaks() {
    let scene = film(0.0, 0.0);
    let (smooth, stretch) = (in_holes(&scene, Fill::Smooth, 0), in_holes(&scene, Fill::Stretch, 0));
    assert!(smooth > stretch + 1.0, "{smooth} dB, {stretch} dB by stretching");
}

#[test]
fn the_default_is_the_best_of_those_that_know_only_the_frame() {
    for scene in [film(0.0, 0.0), film(0.0, 3.0)] {
        let default = in_holes(&scene, Fill::default(), 0);
        for fill in [Fill::Stretch, Fill::Mirror] {
            let other = in_holes(&scene, fill, 0);
            assert!(default > other, "{default} dB, {other} dB by {fill:?}");
        }
    }
}

#[test]
fn a_static_shot_shows_what_was_seen_behind_the_card() {
    let scene = film(0.0, 3.0);
    // The card walks to the right: what opens beside it was seen before it came, but for what it covered
    // when the film began.
    let temporal = in_holes(&scene, Fill::Temporal, 5);
    let stretch = in_holes(&scene, Fill::Stretch, 5);
    assert!(temporal > 30.0 && temporal > stretch + 10.0, "{temporal} dB, {stretch} dB");
}

#[test]
fn a_moving_camera_falls_back_to_the_default() {
    let scene = film(-2.5, 0.0);
    let of = |fill| rights(&scene, Rendering { fill, ..Rendering::default() });
    assert!(of(Fill::Temporal) == of(Fill::default()));
}

#[test]
fn either_eye_is_filled_from_memory() {
    let scene = film(0.0, -3.0);
    let fill = |fill| Rendering { eyes: Eyes::Both, fill, ..Rendering::default() };
    assert!(rights(&scene, fill(Fill::Temporal)) != rights(&scene, fill(Fill::default())));
}

#[test]
fn fills_give_the_same_bits_on_any_number_of_threads() {
    let scene = film(0.0, 3.0);
    for fill in FILLS {
        let render = || rights(&scene, Rendering { fill, ..Rendering::default() });
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        assert!(pool(1).install(render) == pool(4).install(render), "{fill:?}");
    }
}

#[test]
fn nothing_but_holes_depends_on_the_fill() {
    let scene = film(0.0, 3.0);
    let of = |fill| rights(&scene, Rendering { fill, ..Rendering::default() });
    let mirror = of(Fill::Mirror);
    for fill in FILLS {
        for (t, (a, b)) in of(fill).iter().zip(&mirror).enumerate() {
            for y in 0..scene.height {
                for x in 0..scene.width {
                    // Half a pixel around a hole is hole in part, and the next may be mixed.
                    let near = |k: usize| scene.occluded((x + k).saturating_sub(2), y, t as f32);
                    let open = (0..5).any(near);
                    assert!(open || a.at(x, y) == b.at(x, y), "{fill:?} frame {t} at {x},{y}");
                }
            }
        }
    }
}
