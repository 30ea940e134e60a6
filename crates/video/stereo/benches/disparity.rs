//! From a network's planes to disparity, without the network: `cargo bench -p parallax-stereo --bench disparity`.
//!
//! A panning 1280x720 film with planes of 448x252. One line per way through the chain, name TAB milliseconds
//! of wall time and of CPU time per frame, best of a few runs.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use nix::time::{ClockId, clock_gettime};
use parallax_frame::{Colour, Frame, FrameRate, PixelFormat, VideoFormat};
use parallax_stereo::{
    ChainOptions, ChainSteps, Clip, DepthEstimator, Error, InverseDepth, Plane, Run, Shots,
    SteadyDepth,
};

const SIZE: (usize, usize) = (1280, 720);
const SEEN: (usize, usize) = (448, 252);
const FRAMES: usize = 16;
const RUNS: usize = 3;

/// Which card a place of the film is on, if any: the nearer of two layers before a wall.
fn depth(x: f32, y: f32) -> f32 {
    let card = |size: f32| ((x / size).floor() + (y / size).floor()).rem_euclid(5.0) < 1.0;
    let floor = 0.1 + 0.2 * y / SIZE.1 as f32;
    if card(480.0) {
        floor + 0.5
    } else if card(310.0) {
        floor + 0.2
    } else {
        floor
    }
}

fn frame(format: &Arc<VideoFormat>, t: usize) -> Frame {
    let mut frame = Frame::zeroed(Arc::clone(format), t as i64);
    let luma = (0..SIZE.0 * SIZE.1).map(|i| {
        let (x, y) = ((i % SIZE.0 + 3 * t) as f32, (i / SIZE.0) as f32);
        let texture = (x * 0.11 + y * 0.07).sin() + (y * 0.31 - x * 0.23).sin();
        60.0 + 20.0 * texture + 120.0 * depth(x, y)
    });
    frame.set_plane_f32(0, &luma.collect::<Vec<_>>());
    for index in [1, 2] {
        frame.plane_mut(index).fill(128);
    }
    frame
}

/// Says the film's depth, scaled anew for every frame.
#[derive(Debug)]
struct Knowing(Vec<Plane>);

impl InverseDepth for Knowing {
    fn begin_shot(&mut self) {}

    fn push(&mut self, frame: &Frame) -> Result<Vec<Plane>, Error> {
        Ok(vec![self.0[frame.pts as usize].clone()])
    }

    fn finish_shot(&mut self) -> Result<Vec<Plane>, Error> {
        Ok(Vec::new())
    }
}

fn planes() -> Vec<Plane> {
    let step = SIZE.0 as f32 / SEEN.0 as f32;
    let plane = |t: usize| {
        let scale = 5.0 + 0.3 * (t as f32 * 2.1).sin();
        Plane::from_fn(SEEN.0, SEEN.1, |x, y| {
            scale * depth((x as f32 + 0.5) * step + 3.0 * t as f32, (y as f32 + 0.5) * step)
        })
    };
    (0..FRAMES).map(plane).collect()
}

/// CPU seconds of this process, of all its threads.
fn cpu() -> f64 {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .map_or(f64::NAN, |t| t.tv_sec() as f64 + t.tv_nsec() as f64 * 1e-9)
}

fn time(name: &str, mut all: impl FnMut()) {
    // `cargo bench ... -- WORDS` runs the cases that have them in their name; cargo adds an option.
    if std::env::args().skip(1).any(|word| !word.starts_with("--") && !name.contains(&word)) {
        return;
    }
    let (mut wall, mut busy) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..RUNS {
        let (start, before) = (Instant::now(), cpu());
        all();
        wall = wall.min(start.elapsed().as_secs_f64());
        busy = busy.min(cpu() - before);
    }
    let ms = 1e3 / FRAMES as f64;
    println!("{name}\t{:.2}\t{:.2}", wall * ms, busy * ms);
}

fn main() {
    let format = Arc::new(VideoFormat {
        width: SIZE.0 as u32,
        height: SIZE.1 as u32,
        pixels: PixelFormat::YUV420P,
        colour: Colour::default(),
    });
    let clip = Clip { format: Arc::clone(&format), rate: FrameRate { num: 25, den: 1 } };
    let frames: Vec<Frame> = (0..FRAMES).map(|t| frame(&format, t)).collect();
    let planes = planes();
    let chain = |options: ChainOptions| {
        let network = Knowing(planes.clone());
        let estimator = SteadyDepth::new(network, &clip, &Run::default(), options);
        let Ok(mut estimator) = estimator else { return };
        for frame in &frames {
            let _ = estimator.push(frame.clone());
        }
        let _ = estimator.finish();
    };
    let steps = |steps| ChainOptions { steps, ..ChainOptions::default() };
    let all = ChainSteps::default();
    time("finding shots alone", || {
        let mut shots = Shots::default();
        let begun = frames.iter().filter(|frame| shots.begins(frame)).count();
        black_box(begun);
    });
    time("no step", || chain(steps(ChainSteps::none())));
    time("all steps", || chain(ChainOptions::default()));
    time("all steps, every 2nd frame", || {
        chain(ChainOptions { every: 2, ..ChainOptions::default() });
    });
    time("without alignment", || chain(steps(ChainSteps { align: false, ..all })));
    time("without alignment and blending", || {
        chain(steps(ChainSteps { align: false, blend: false, ..all }));
    });
    time("without sharpening", || chain(steps(ChainSteps { sharpen: false, ..all })));
    time("without spreading", || chain(steps(ChainSteps { spread: false, ..all })));
}
