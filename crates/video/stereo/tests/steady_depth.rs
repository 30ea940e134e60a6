//! What a depth network says becomes depth that can be watched, whatever the network is like.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

#[allow(dead_code)]
mod scene;

use std::sync::LazyLock;

use parallax_frame::{Chroma, Frame, FrameRate};
use parallax_stereo::{
    ChainOptions, ChainSteps, Clip, DepthEstimator, Error, InverseDepth, Plane, Run, SteadyDepth,
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

/// Frames of the cards.
static CARDS: LazyLock<Vec<Frame>> =
    LazyLock::new(|| (0..24).map(|t| cards().frame(Chroma::Yuv420, 8, t as f32, t)).collect());

/// Another scene, of which everybody sees that it is another shot's.
static DARK: LazyLock<Frame> = LazyLock::new(|| {
    let everywhere = [-1e6, -1e6, 1e6, 1e6];
    let layers = vec![
        Layer { disparity: -2.0, area: everywhere, speed: 0.0, seed: 9.0 },
        Layer { disparity: 5.0, area: [20.0, 10.0, 90.0, 60.0], speed: 0.0, seed: 8.0 },
    ];
    let mut frame = Scene { layers, ..Scene::cards() }.frame(Chroma::Yuv420, 8, 0.0, 0);
    frame.plane_mut(0).iter_mut().for_each(|v| *v = 255 - *v / 2);
    frame
});

fn at(t: i64, frame: &Frame) -> Frame {
    let mut frame = frame.clone();
    frame.pts = t;
    frame
}

/// The cards before a cut, and what is dark after it.
fn frame(t: i64, cut: i64) -> Frame {
    if t < cut { CARDS[t as usize].clone() } else { at(t, &DARK) }
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
    let clip = Clip { format: CARDS[0].format().clone(), rate: RATE };
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
                let ready = estimator.push(frame(t, cut)).unwrap();
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
    let clip = Clip { format: CARDS[0].format().clone(), rate: RATE };
    for (curve, every) in [(3.5, 1), (f32::NAN, 1), (0.0, 0), (0.0, 9)] {
        let options = ChainOptions { curve, every, ..ChainOptions::default() };
        let refused = SteadyDepth::new(Counting::default(), &clip, &Run::default(), options);
        assert!(matches!(refused, Err(Error::Unsupported(_))), "{curve} {every}");
    }
}

/// A network that knows what `disparity` says of each time, at a quarter of the frame's width and height.
struct Knowing<F> {
    disparity: F,
    /// Deviation of its samples, and most by which its scale and shift differ from frame to frame.
    noise: f32,
    jitter: f32,
    consistent: bool,
}

impl<F> std::fmt::Debug for Knowing<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Knowing")
    }
}

/// -1 to 1, the same for the same number.
fn random(n: u64) -> f32 {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 32)) & 0xff_ffff) as f32 / (1 << 23) as f32 - 1.0
}

impl<F: Fn(i64) -> Plane + Send> InverseDepth for Knowing<F> {
    fn begin_shot(&mut self) {}

    fn push(&mut self, frame: &Frame) -> Result<Vec<Plane>, Error> {
        let (t, truth) = (frame.pts as u64, (self.disparity)(frame.pts));
        let scale = 1.0 + self.jitter * random(2 * t);
        let shift = 10.0 * self.jitter * random(2 * t + 1);
        Ok(vec![Plane::from_fn(48, 27, |x, y| {
            let noise = self.noise * random(t << 16 | (48 * y + x) as u64);
            let covered = (0..16).map(|i| truth.at(4 * x + i % 4, 4 * y + i / 4));
            scale * (covered.sum::<f32>() / 16.0 + noise) + shift
        })])
    }

    fn finish_shot(&mut self) -> Result<Vec<Plane>, Error> {
        Ok(Vec::new())
    }

    fn consistent(&self) -> bool {
        self.consistent
    }
}

fn knowing<F: Fn(i64) -> Plane + Send>(disparity: F) -> Knowing<F> {
    Knowing { disparity, noise: 0.0, jitter: 0.0, consistent: false }
}

fn depths<N: InverseDepth>(
    network: N,
    options: ChainOptions,
    frames: impl IntoIterator<Item = Frame>,
) -> Vec<Plane> {
    let mut estimator = steady(network, options);
    let mut out = Vec::new();
    frames.into_iter().for_each(|frame| out.extend(estimator.push(frame).unwrap()));
    out.extend(estimator.finish().unwrap());
    out.into_iter().map(|(_, depth)| depth).collect()
}

/// Mean change from frame to frame.
fn flicker(depths: &[Plane]) -> f32 {
    let change = |pair: &[Plane]| {
        let values = pair[0].data().iter().zip(pair[1].data());
        values.map(|(a, b)| (a - b).abs()).sum::<f32>() / pair[0].data().len() as f32
    };
    depths.windows(2).map(change).sum::<f32>() / (depths.len() - 1) as f32
}

#[test]
fn a_scale_that_jitters_does_not_make_a_held_shot_flicker() {
    let held = cards().disparity(0.0);
    let told = |jitter: f32, steps: ChainSteps| {
        let network = Knowing { noise: 0.15, jitter, ..knowing(|_| held.clone()) };
        let options = ChainOptions { steps, ..ChainOptions::default() };
        flicker(&depths(network, options, (0..40).map(|t| at(t, &CARDS[0]))))
    };
    let all = ChainSteps::default();
    let (calm, jittered) = (told(0.0, all), told(0.1, all));
    assert!(jittered < 1.1 * calm, "{jittered}, without jitter {calm}");
    let unaligned = told(0.1, ChainSteps { align: false, ..all });
    assert!(unaligned > 3.0 * calm, "{unaligned}, without jitter {calm}: it should show");
}

#[test]
fn a_held_shot_does_not_jump_where_its_opening_ends() {
    let held = cards().disparity(0.0);
    for every in [1, 2, 3, 5, 6] {
        let network = Knowing { jitter: 0.1, ..knowing(|_| held.clone()) };
        let options = ChainOptions { every, ..ChainOptions::default() };
        let depths = depths(network, options, (0..28).map(|t| at(t, &CARDS[0])));
        let changes: Vec<f32> = depths.windows(2).map(flicker).collect();
        let most =
            |range: std::ops::Range<usize>| changes[range].iter().copied().fold(0.0, f32::max);
        assert!(most(0..14) < 2.0 * most(14..27) + 2e-3, "every {every}: {changes:?}");
    }
}

#[test]
fn what_comes_nearer_in_a_consistent_network_is_not_aligned_away() {
    // The picture stands still, and so alignment takes what depth does for a network's whim.
    let held = cards().disparity(0.0);
    let growing = |t: i64| {
        let mut depth = held.clone();
        depth.data_mut().iter_mut().for_each(|v| *v *= 0.7 + 0.02 * t as f32);
        depth
    };
    let spans = |consistent: bool| {
        let network = Knowing { consistent, ..knowing(growing) };
        let depths = depths(network, ChainOptions::default(), (0..16).map(|t| at(t, &CARDS[0])));
        let span = |depth: &Plane| depth.at(120, 80) - depth.at(10, 100);
        (span(&depths[0]), span(&depths[15]))
    };
    let (first, last) = spans(true);
    assert!(last > 1.15 * first, "{first} to {last}");
    let (first, last) = spans(false);
    assert!((last - first).abs() < 0.05, "{first} to {last}");
}

#[test]
fn edges_are_steps_where_the_picture_has_them() {
    let truth = cards().disparity(0.0);
    let told = |sharpen: bool| {
        let steps = ChainSteps { sharpen, spread: false, ..ChainSteps::default() };
        let options = ChainOptions { steps, ..ChainOptions::default() };
        let network = knowing(|_| truth.clone());
        depths(network, options, (0..8).map(|t| at(t, &CARDS[0]))).swap_remove(7)
    };
    // Of the right card, which nears 1 before the wall at 0: pixels of its rows that lie between, and how
    // many columns its edges are off.
    let read = |depth: &Plane| {
        let rows = (50..100).map(|y| &depth.row(y)[84..166]);
        let between = |row: &[f32]| row.iter().filter(|d| (0.1..0.9).contains(*d)).count();
        let near = |row: &[f32]| row.iter().filter(|d| **d >= 0.5).count();
        let counts: Vec<_> = rows.map(|row| (between(row), near(row).abs_diff(50))).collect();
        let mean = |value: fn(&(usize, usize)) -> usize| {
            counts.iter().map(value).sum::<usize>() as f32 / counts.len() as f32
        };
        (mean(|c| c.0), mean(|c| c.1))
    };
    let (soft, sharp) = (read(&told(false)), read(&told(true)));
    assert!(sharp.0 < 0.5 && sharp.1 < 1.5, "{sharp:?}, soft {soft:?}");
    assert!(soft.0 > 3.0, "{soft:?}: it should show");
}

#[test]
fn frames_that_the_network_does_not_see_follow_the_motion() {
    let network = || knowing(|t| cards().disparity(t as f32));
    let seen = depths(network(), ChainOptions::default(), CARDS.iter().cloned());
    for every in [2, 4] {
        let options = ChainOptions { every, ..ChainOptions::default() };
        let between = depths(network(), options, CARDS.iter().cloned());
        // Where the moving card is, by columns that are near in a row that it crosses.
        let middle = |depth: &Plane| {
            let near: Vec<usize> = (60..192).filter(|&x| depth.at(x, 90) > 0.6).collect();
            near.iter().sum::<usize>() as f32 / near.len() as f32
        };
        for (t, (between, seen)) in between.iter().zip(&seen).enumerate() {
            let off = middle(between) - middle(seen);
            assert!(off.abs() < 1.0, "{off} columns at {t}, every {every}");
        }
    }
}

#[test]
fn nothing_crosses_a_cut() {
    let network = || knowing(|t| if t < 14 { cards().disparity(t as f32) } else { flat() });
    fn flat() -> Plane {
        Plane::from_fn(192, 108, |x, _| 30.0 + x as f32)
    }
    for every in [1, 3] {
        let options = ChainOptions { every, ..ChainOptions::default() };
        let whole = depths(network(), options, (0..26).map(|t| frame(t, 14)));
        let after = depths(network(), options, (14..26).map(|t| frame(t, 14)));
        assert!(whole[14..] == after[..], "every {every}");
    }
}

#[test]
fn pieces_are_the_whole_if_they_see_as_much_as_they_say() {
    let network = || Knowing { jitter: 0.05, ..knowing(|t| cards().disparity(t as f32)) };
    for every in [1, 3] {
        let options = ChainOptions { every, ..ChainOptions::default() };
        let ahead = options.reach(0).ahead;
        assert!(options.reach(0).within_shot);
        let whole = depths(network(), options, CARDS.iter().cloned());
        for border in [4, 9, 12] {
            let piece = depths(network(), options, CARDS[..border + ahead].iter().cloned());
            assert!(whole[..border] == piece[..border], "up to {border}, every {every}");
        }
    }
}

#[test]
fn a_long_shot_forgets_what_is_out_of_reach() {
    let reach = ChainOptions::default().reach(0).back;
    let most = (reach.as_secs_f64() * RATE.fps()) as i64;
    let held = cards().disparity(0.0);
    let clip = Clip { format: CARDS[0].format().clone(), rate: RATE };
    let told = |begin: i64| {
        // One frame in ten says most of it.
        let rate = FrameRate { num: RATE.num / 10, den: RATE.den };
        let clip = Clip { rate, ..clip.clone() };
        let network = Knowing { noise: 0.05, jitter: 0.08, ..knowing(|_| held.clone()) };
        let mut estimator =
            SteadyDepth::new(network, &clip, &Run::default(), ChainOptions::default()).unwrap();
        let border = 20 + most / 10;
        let mut out = Vec::new();
        (begin..border + 8).for_each(|t| out.extend(estimator.push(at(t, &CARDS[0])).unwrap()));
        out.into_iter().find(|(frame, _)| frame.pts == border).unwrap().1
    };
    let (whole, piece) = (told(0), told(20));
    let off = whole.data().iter().zip(piece.data()).map(|(a, b)| (a - b).abs()).sum::<f32>();
    let off = off / whole.data().len() as f32;
    assert!(off < 0.005, "{off}");
}

#[test]
fn any_number_of_threads_gives_the_same_depth() {
    let told = || {
        let network = Knowing { noise: 0.2, jitter: 0.05, ..knowing(|_| cards().disparity(0.0)) };
        let options = ChainOptions { every: 2, ..ChainOptions::default() };
        depths(network, options, CARDS[..10].iter().cloned())
    };
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    assert!(pool(1).install(told) == pool(4).install(told));
}

#[test]
fn what_is_no_depth_is_refused() {
    let odd = |t: i64| Plane::filled(192, 108, if t == 2 { f32::NAN } else { 1.0 });
    let mut estimator = steady(knowing(odd), ChainOptions::default());
    let mut pushed = (0..4).map(|t| estimator.push(CARDS[t].clone()));
    assert!(matches!(pushed.find_map(Result::err), Some(Error::NotFinite { .. })));

    /// Gives so many planes for every frame.
    #[derive(Debug)]
    struct Giving(usize);

    impl InverseDepth for Giving {
        fn begin_shot(&mut self) {}

        fn push(&mut self, _: &Frame) -> Result<Vec<Plane>, Error> {
            Ok(vec![Plane::filled(4, 4, 1.0); self.0])
        }

        fn finish_shot(&mut self) -> Result<Vec<Plane>, Error> {
            Ok(Vec::new())
        }
    }

    for planes in [0, 2] {
        let mut estimator = steady(Giving(planes), ChainOptions::default());
        let pushed = estimator.push(CARDS[0].clone()).and_then(|_| estimator.finish());
        assert!(matches!(pushed, Err(Error::Failed(_))), "{planes} planes for a frame");
    }
}

#[test]
fn pictures_and_planes_of_any_size_have_a_finite_depth() {
    /// Gives planes of a size, with an edge in them.
    #[derive(Debug)]
    struct Sized(usize, usize);

    impl InverseDepth for Sized {
        fn begin_shot(&mut self) {}

        fn push(&mut self, _: &Frame) -> Result<Vec<Plane>, Error> {
            Ok(vec![Plane::from_fn(self.0, self.1, |x, y| if x + y < 2 { 1.0 } else { 9.0 })])
        }

        fn finish_shot(&mut self) -> Result<Vec<Plane>, Error> {
            Ok(Vec::new())
        }
    }

    for (chroma, bits, width, height) in [
        (Chroma::Yuv420, 8, 1, 1),
        (Chroma::Gray, 10, 2, 2),
        (Chroma::Yuv420, 10, 17, 3),
        (Chroma::Yuv444, 8, 641, 2),
        (Chroma::Yuv422, 8, 3, 90),
    ] {
        let scene = Scene { width, height, ..cards() };
        for (columns, rows) in [(1, 1), (5, 1), (1, 6), (48, 27)] {
            let frames: Vec<Frame> = (0..3).map(|t| scene.frame(chroma, bits, 0.0, t)).collect();
            let clip = Clip { format: frames[0].format().clone(), rate: RATE };
            let options = ChainOptions { every: 2, ..ChainOptions::default() };
            let network = Sized(columns, rows);
            let mut estimator = SteadyDepth::new(network, &clip, &Run::default(), options).unwrap();
            frames.into_iter().for_each(|frame| drop(estimator.push(frame).unwrap()));
            let rest = estimator.finish().unwrap();
            assert_eq!(rest.len(), 3);
            for (_, depth) in rest {
                assert_eq!((depth.width(), depth.height()), (width, height));
                assert!(depth.data().iter().all(|d| (0.0..=1.0).contains(d)), "{width}x{height}");
            }
        }
    }
}

#[test]
fn a_run_that_is_cancelled_gives_no_more_depth() {
    let clip = Clip { format: CARDS[0].format().clone(), rate: RATE };
    let run = Run::default();
    let options = ChainOptions::default();
    let mut estimator = SteadyDepth::new(Counting::default(), &clip, &run, options).unwrap();
    estimator.push(CARDS[0].clone()).unwrap();
    run.cancel.cancel();
    assert!(matches!(estimator.push(CARDS[1].clone()), Err(Error::Cancelled)));
    assert!(matches!(estimator.finish(), Err(Error::Cancelled)));
}
