//! Staging as a viewer meets it: through a whole session.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod scene;

use std::sync::{Arc, Mutex};

use parallax_frame::{Chroma, Frame, FrameRate};
use parallax_stereo::{
    Clip, Comfort, DepthEstimator, DepthSession, Error, Eyes, Geometry, Plane, Rendering, Run,
    Session, ShotReport, Staging, StereoPair, Watch,
};
use scene::Scene;

/// Gives each frame the depth that goes with it.
#[derive(Debug)]
struct Known(std::vec::IntoIter<Plane>);

impl DepthEstimator for Known {
    fn push(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        Ok(self.0.next().map(|depth| (frame, depth)).into_iter().collect())
    }

    fn finish(&mut self) -> Result<Vec<(Frame, Plane)>, Error> {
        Ok(Vec::new())
    }
}

/// A picture of one of two scenes, which differ enough to be two shots.
fn frame(scene: usize, pts: i64) -> Frame {
    let mut frame = Scene::cards().frame(Chroma::Yuv420, 8, 0.0, pts);
    if scene == 1 {
        let values: Vec<f32> =
            frame.plane_f32(0).iter().rev().map(|v| (v * 3.0) % 200.0 + 30.0).collect();
        frame.set_plane_f32(0, &values);
    }
    frame
}

/// A wall and a card before it, at depths of its own in each scene.
fn depth(scene: usize) -> Plane {
    let (far, near) = if scene == 0 { (0.2, 0.8) } else { (0.5, 0.9) };
    Plane::from_fn(192, 108, |x, _| if x < 60 { near } else { far })
}

/// Twelve frames of the first scene and ten of the second.
fn converted(run: &Run) -> (Vec<StereoPair>, Vec<ShotReport>) {
    let scenes: Vec<usize> = [vec![0; 12], vec![1; 10]].concat();
    let shots = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&shots);
    let watch = Watch::default().with_shots(move |shot| told.lock().unwrap().push(*shot));
    let run = Run { watch, ..run.clone() };
    let clip = Clip { format: frame(0, 0).format().clone(), rate: FrameRate { num: 25, den: 1 } };
    let depths: Vec<Plane> = scenes.iter().map(|&scene| depth(scene)).collect();
    let mut session = DepthSession::new(Known(depths.into_iter()), &clip, &run).unwrap();
    let mut pairs = Vec::new();
    for (i, &scene) in scenes.iter().enumerate() {
        pairs.extend(session.push(frame(scene, i as i64)).unwrap());
        assert!(i + 1 - pairs.len() < 8, "it lags by {} frames", i + 1 - pairs.len());
    }
    pairs.extend(session.finish().unwrap());
    let times: Vec<i64> = pairs.iter().map(|pair| pair.left.pts).collect();
    assert_eq!(times, (0..22).collect::<Vec<_>>());
    let shots = shots.lock().unwrap().clone();
    (pairs, shots)
}

fn run(staging: Staging) -> Run {
    let geometry = Geometry { disparity_percent: 5.0, convergence: 0.5 };
    Run { geometry, staging, ..Run::default() }
}

#[test]
fn every_shot_is_measured_when_it_is_over() {
    let (_, shots) = converted(&run(Staging::default()));
    let frames: Vec<_> = shots.iter().map(|shot| (shot.first_frame, shot.frames)).collect();
    assert_eq!(frames, [(0, 12), (12, 10)]);
    for (shot, (front, behind)) in shots.iter().zip([(-1.5, 1.5), (-2.0, 0.0)]) {
        let (near, far) = shot.parallax_percent;
        assert!((near - front).abs() < 0.02 && (far - behind).abs() < 0.02, "{shot:?}");
    }
}

#[test]
fn convergence_is_settled_for_each_shot_and_holds_still_with_it() {
    let staging = Staging { auto_convergence: true, ..Staging::default() };
    let (pairs, shots) = converted(&run(staging));
    for (shot, range) in shots.iter().zip([3.0, 2.0]) {
        let (near, far) = shot.parallax_percent;
        assert!((near + range / 3.0).abs() < 0.03, "{shot:?}");
        assert!((far - 2.0 * range / 3.0).abs() < 0.03, "{shot:?}");
    }
    for shot in [0..12, 12..22] {
        let rights: Vec<_> = pairs[shot].iter().map(|pair| pair.right.plane(0)).collect();
        assert!(rights.windows(2).all(|two| two[0] == two[1]), "a still shot stands still");
    }
}

#[test]
fn comfort_limits_what_is_drawn_and_reported() {
    let comfort = Comfort { front_percent: 1.0, behind_percent: 0.5 };
    let limited = run(Staging { comfort: Some(comfort), ..Staging::default() });
    let (pairs, shots) = converted(&limited);
    for shot in &shots {
        let (near, far) = shot.parallax_percent;
        assert!((-1.0..-0.8).contains(&near) && (-0.01..=0.5).contains(&far), "{shot:?}");
    }
    // The second shot's wall is at the screen and its card, 3.84 columns in front without limits, no more
    // than 1.92 in front of it.
    let most = |pair: &StereoPair| {
        let (left, right) = (pair.left.plane(0), pair.right.plane(0));
        let differs = |shift: usize| {
            let row = 50 * 192..50 * 192 + 40;
            let (l, r) = (&left[row.start + shift..row.end + shift], &right[row]);
            l.iter().zip(r).map(|(l, r)| u32::from(l.abs_diff(*r))).sum::<u32>()
        };
        (0..9).min_by_key(|&shift| differs(shift))
    };
    assert_eq!(most(&pairs[15]), Some(2));
    assert_eq!(most(&converted(&run(Staging::default())).0[15]), Some(4));
    // Two eyes share the limit.
    let eyes = Rendering { eyes: Eyes::Both, ..Rendering::default() };
    let (_, both) = converted(&Run { rendering: eyes, ..limited });
    assert_eq!(both, shots);
}

#[test]
fn bars_stand_where_the_card_is_cut() {
    let staging = Staging { floating_window: true, ..Staging::default() };
    let (pairs, _) = converted(&run(staging));
    let (plain, _) = converted(&run(Staging::default()));
    for (i, (pair, plain)) in pairs.iter().zip(&plain).enumerate() {
        // 1.5 and 2 percent of 192 columns: 2.88 and 3.84.
        let full = if i < 12 { 2 } else { 3 };
        let row = &pair.left.plane(0)[50 * 192..51 * 192];
        assert!(row[..full].iter().all(|&v| v == 16), "frame {i}: {:?}", &row[..6]);
        assert!(row[full] > 16 && row[full] < plain.left.plane(0)[50 * 192 + full], "frame {i}");
        assert_eq!(row[full + 1..], plain.left.plane(0)[50 * 192 + full + 1..51 * 192]);
        assert_eq!(pair.right, plain.right, "nothing crosses there");
    }
}

#[test]
fn staging_depends_on_nothing_but_the_frames() {
    let staging = Staging {
        auto_convergence: true,
        comfort: Some(Comfort::default()),
        floating_window: true,
    };
    let render = || {
        let (pairs, shots) = converted(&run(staging));
        (pairs.into_iter().map(|p| (p.left, p.right)).collect::<Vec<_>>(), shots)
    };
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    assert_eq!(pool(1).install(render), pool(4).install(render));
}
