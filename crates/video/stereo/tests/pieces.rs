//! A film converted in pieces is the film converted as a whole, whatever is decided by the shot.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod scene;

use std::ops::Range;
use std::sync::LazyLock;

use parallax_frame::{Chroma, Frame, FrameRate};
use parallax_stereo::{
    Clip, DepthEstimator, DepthSession, Error, Fill, Geometry, Plane, Rendering, Run, Session,
    Staging, StereoPair,
};
use scene::{Layer, Scene};

/// Few frames, so that seconds of memory are few as well.
const RATE: FrameRate = FrameRate { num: 10, den: 1 };
/// Where another shot begins, and where the film ends.
const CUT: i64 = 120;
const END: i64 = 150;
/// Where the film is cut into pieces; the last lies a few frames after a shot's beginning.
const BORDERS: [i64; 7] = [20, 40, 60, 80, 100, 125, 140];

/// A card moves to the left and comes to rest where it uncovers what was seen long ago; another one comes in
/// over the left edge soon after a border, and stops within the picture.
fn scene(t: i64) -> Scene {
    let everywhere = [-1e6, -1e6, 1e6, 1e6];
    let walked = 2.0 * t.min(30) as f32;
    let (since, speed) = if t < CUT { (80, 3) } else { (124, 10) };
    let front = (speed * (t - since)).clamp(0, 60) as f32;
    Scene {
        layers: vec![
            Layer { disparity: -6.0, area: everywhere, speed: 0.0, seed: 1.0 },
            Layer {
                disparity: 2.0,
                area: [80.0 - walked, 20.0, 120.0 - walked, 60.0],
                speed: 0.0,
                seed: 2.0,
            },
            Layer {
                disparity: 7.0,
                area: [front - 40.0, 60.0, front, 108.0],
                speed: 0.0,
                seed: 3.0,
            },
        ],
        ..Scene::cards()
    }
}

/// Every frame of the film and its true depth.
static FILM: LazyLock<Vec<(Frame, Plane)>> = LazyLock::new(|| (0..END).map(taken).collect());

fn frame(t: i64) -> Frame {
    FILM[t as usize].0.clone()
}

fn taken(t: i64) -> (Frame, Plane) {
    let mut frame = scene(t).frame(Chroma::Yuv420, 8, 0.0, t);
    if t >= CUT {
        let values: Vec<f32> =
            frame.plane_f32(0).iter().map(|v| (v * 3.0) % 200.0 + 30.0).collect();
        frame.set_plane_f32(0, &values);
    }
    let mut depth = scene(t).disparity(0.0);
    depth.data_mut().iter_mut().for_each(|v| *v = *v / 19.2 + 0.5);
    (frame, depth)
}

/// The true depth of every frame.
#[derive(Debug)]
struct True;

impl DepthEstimator for True {
    fn push(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        let depth = FILM[frame.pts as usize].1.clone();
        Ok(vec![(frame, depth)])
    }

    fn finish(&mut self) -> Result<Vec<(Frame, Plane)>, Error> {
        Ok(Vec::new())
    }
}

/// The pairs of the frames of `piece`, led in and out by those around them.
fn converted(run: &Run, around: Range<i64>, piece: Range<i64>) -> Vec<StereoPair> {
    let clip = Clip { format: frame(0).format().clone(), rate: RATE };
    let mut session = DepthSession::new(True, &clip, run).unwrap();
    (around.start..piece.start).for_each(|t| session.lead_in(frame(t)).unwrap());
    let mut pairs = Vec::new();
    piece.clone().for_each(|t| pairs.extend(session.push(frame(t)).unwrap()));
    (piece.end..around.end).for_each(|t| pairs.extend(session.lead_out(frame(t)).unwrap()));
    pairs.extend(session.finish().unwrap());
    assert_eq!(session.finish().unwrap().len(), 0);
    let times: Vec<i64> = pairs.iter().map(|pair| pair.left.pts).collect();
    assert_eq!(times, piece.collect::<Vec<_>>());
    pairs
}

/// The film in pieces of which each is led in and out by so many frames.
fn in_pieces(run: &Run, back: impl Fn(i64) -> i64, ahead: i64) -> Vec<StereoPair> {
    let starts = [0].iter().chain(&BORDERS);
    let ends = BORDERS.iter().chain(&[END]);
    let pieces = starts.zip(ends).map(|(&start, &end)| {
        let around = (start - back(start)).max(0)..(end + ahead).min(END);
        converted(run, around, start..end)
    });
    pieces.flatten().collect()
}

/// Frames that differ, and by how much at most.
fn differing(a: &[StereoPair], b: &[StereoPair]) -> Vec<(i64, u8)> {
    assert_eq!(a.len(), b.len());
    let off = |a: &Frame, b: &Frame| {
        a.data().iter().zip(b.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    };
    let pairs = a.iter().zip(b);
    let differences =
        pairs.map(|(a, b)| (a.left.pts, off(&a.left, &b.left).max(off(&a.right, &b.right))));
    differences.filter(|(_, off)| *off > 0).collect()
}

fn run(staging: Staging, fill: Fill) -> Run {
    let geometry = Geometry { disparity_percent: 10.0, convergence: 0.5 };
    let rendering = Rendering { fill, ..Rendering::default() };
    Run { geometry, staging, rendering, ..Run::default() }
}

fn options() -> [(&'static str, Run); 3] {
    let auto = Staging { auto_convergence: true, ..Staging::default() };
    let window = Staging { floating_window: true, ..Staging::default() };
    [
        ("automatic convergence", run(auto, Fill::Mirror)),
        ("a floating window", run(window, Fill::Mirror)),
        ("memory behind the foreground", run(Staging::default(), Fill::Temporal)),
    ]
}

#[test]
fn pieces_that_see_their_shot_and_a_little_ahead_are_the_whole() {
    for (name, run) in options() {
        let reach = run.reach();
        assert!(reach.within_shot, "{name}");
        let most = (reach.back.as_secs_f64() * RATE.fps()) as i64;
        let ahead = reach.ahead as i64;
        let in_shot = |t: i64| (if t < CUT { t } else { t - CUT }).min(most);
        let whole = converted(&run, 0..END, 0..END);
        assert_eq!(differing(&whole, &in_pieces(&run, in_shot, ahead)), [], "{name}");
        // What lies before the shot changes nothing.
        assert_eq!(differing(&whole, &in_pieces(&run, |_| most, ahead)), [], "{name}");
        // The film is one that shows it.
        let cold = differing(&whole, &in_pieces(&run, |_| 0, ahead));
        assert!(cold.iter().any(|(_, off)| *off > 20), "{name}, not led in: {cold:?}");
        let blind = differing(&whole, &in_pieces(&run, in_shot, 0));
        assert!(blind.iter().any(|(_, off)| *off > 20), "{name}, not led out: {blind:?}");
    }
}

#[test]
fn of_a_long_shot_what_is_out_of_reach_is_not_missed() {
    // Everything has come to rest 300 frames ago and more, and half of the memory is of that.
    let staging = Staging { auto_convergence: true, floating_window: true, ..Staging::default() };
    let run = run(staging, Fill::Mirror);
    let most = (run.reach().back.as_secs_f64() * RATE.fps()) as i64;
    let clip = Clip { format: frame(0).format().clone(), rate: RATE };
    // The first shot's last picture goes on.
    let still = |begin: i64| {
        let mut session = DepthSession::new(True, &clip, &run).unwrap();
        let border = 90 + most;
        let at = |t: i64| frame(t.min(CUT - 1));
        (begin..border).for_each(|t| session.lead_in(at(t)).unwrap());
        session.push(at(border)).unwrap();
        session.finish().unwrap()
    };
    let (whole, piece) = (still(0), still(90));
    let off = differing(&whole, &piece);
    assert!(off.iter().all(|(_, off)| *off <= 1), "{off:?}");
}
