//! What a depth network says becomes depth that can be watched, whatever the network is like.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

#[allow(dead_code)]
mod scene;

use parallax_frame::{Chroma, Frame, FrameRate};
use parallax_stereo::{
    ChainOptions, Clip, DepthEstimator, Error, InverseDepth, Plane, Run, SteadyDepth,
};
use scene::{Layer, Scene};

const RATE: FrameRate = FrameRate { num: 25, den: 1 };
/// Frames by which what the chain gives out lags at most, beside the network's lag.
const LAG: usize = 7;

/// A wall and two cards, one of which moves.
fn cards() -> Scene {
    let mut scene = Scene::cards();
    scene.layers[2].speed = -1.0;
    scene
}

/// Another scene with another picture.
fn elsewhere() -> Scene {
    let everywhere = [-1e6, -1e6, 1e6, 1e6];
    let layers = vec![
        Layer { disparity: -2.0, area: everywhere, speed: 0.0, seed: 9.0 },
        Layer { disparity: 5.0, area: [20.0, 10.0, 90.0, 60.0], speed: 0.0, seed: 8.0 },
    ];
    Scene { layers, ..Scene::cards() }
}

fn frame(scene: &Scene, t: i64) -> Frame {
    scene.frame(Chroma::Yuv420, 8, t as f32, t)
}

/// A darker picture, of which everybody sees that it is another shot's.
fn dark(t: i64) -> Frame {
    let mut frame = frame(&elsewhere(), t);
    frame.plane_mut(0).iter_mut().for_each(|v| *v = 255 - *v / 2);
    frame
}

/// A network that says its number of the shot's frame, and lags.
#[derive(Debug, Default)]
struct Counting {
    lag: usize,
    consistent: bool,
    seen: usize,
    given: usize,
}

impl Counting {
    fn plane(&mut self) -> Plane {
        self.given += 1;
        let offset = self.given as f32;
        Plane::from_fn(48, 27, |x, _| offset + x as f32)
    }
}

impl InverseDepth for Counting {
    fn begin_shot(&mut self) {
        (self.seen, self.given) = (0, 0);
    }

    fn push(&mut self, _: &Frame) -> Result<Vec<Plane>, Error> {
        self.seen += 1;
        Ok((self.given + self.lag < self.seen).then(|| self.plane()).into_iter().collect())
    }

    fn finish_shot(&mut self) -> Result<Vec<Plane>, Error> {
        Ok((self.given..self.seen).map(|_| self.plane()).collect())
    }

    fn consistent(&self) -> bool {
        self.consistent
    }
}

fn steady<N: InverseDepth>(network: N, options: ChainOptions) -> SteadyDepth<N> {
    let clip = Clip { format: frame(&cards(), 0).format().clone(), rate: RATE };
    SteadyDepth::new(network, &clip, &Run::default(), options).unwrap()
}

#[test]
fn each_frame_comes_back_once_in_order_and_in_time() {
    for (lag, consistent, every) in [(0, false, 1), (4, true, 1), (0, false, 3), (2, true, 2)] {
        let options = ChainOptions { every, ..ChainOptions::default() };
        let most = LAG + every as usize * (lag + 1);
        for (count, cut) in [(0, 0), (1, 1), (2, 1), (9, 9), (20, 12), (20, 19), (20, 3)] {
            let network = Counting { lag, consistent, ..Counting::default() };
            let mut estimator = steady(network, options);
            let (mut times, mut begun) = (Vec::new(), Vec::new());
            let mut collect = |estimator: &SteadyDepth<Counting>, ready: Vec<(Frame, Plane)>| {
                for (frame, depth) in ready {
                    assert_eq!((depth.width(), depth.height()), (192, 108));
                    assert!(depth.data().iter().all(|d| (0.0..=1.0).contains(d)));
                    begun.extend(estimator.begins_shot(frame.pts).unwrap().then_some(frame.pts));
                    times.push(frame.pts);
                }
                times.len()
            };
            for t in 0..count {
                let frame = if t < cut { frame(&cards(), t) } else { dark(t) };
                let ready = estimator.push(frame).unwrap();
                let out = collect(&estimator, ready);
                assert!(t as usize + 1 - out <= most, "{t} with {out} given out");
            }
            let rest = estimator.finish().unwrap();
            collect(&estimator, rest);
            assert_eq!(estimator.finish().unwrap().len(), 0);
            assert_eq!(times, (0..count).collect::<Vec<_>>());
            let mut cuts: Vec<i64> = [0, cut].into_iter().filter(|&t| t < count).collect();
            cuts.dedup();
            assert_eq!(begun, cuts, "{count} frames");
        }
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let clip = Clip { format: frame(&cards(), 0).format().clone(), rate: RATE };
    for (curve, every) in [(3.5, 1), (f32::NAN, 1), (0.0, 0), (0.0, 9)] {
        let options = ChainOptions { curve, every, ..ChainOptions::default() };
        let refused = SteadyDepth::new(Counting::default(), &clip, &Run::default(), options);
        assert!(matches!(refused, Err(Error::Unsupported(_))), "{curve} {every}");
    }
}
