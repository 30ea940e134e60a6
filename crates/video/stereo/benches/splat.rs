//! Splatting and mask of 1080p frames: `cargo bench -p parallax-stereo --bench splat`.
//!
//! One line per case, name TAB milliseconds of wall time and of CPU time per frame, best of a few runs.
//! `tools/golden/bench_splat.py` runs the published computation in PyTorch on the same cores, alternating,
//! on the same depth: a tilted wall with cards before it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use nix::time::{ClockId, clock_gettime};
use parallax_frame::{Colour, Frame, PixelFormat, VideoFormat};
use parallax_stereo::{Geometry, Plane, ViewSynthesis, Warp, reference};

const WIDTH: usize = 1920;
const HEIGHT: usize = 1080;
/// Half of the range of parallax, in pixels, as published.
const MOST_PX: f32 = 20.0;
const RUNS: usize = 5;
const FRAMES: usize = 6;

fn depth() -> Plane {
    Plane::from_fn(WIDTH, HEIGHT, |x, y| {
        let card = (x / 160 + y / 120) % 3 == 0;
        let slope = 0.1 + 0.3 * (x as f32 / WIDTH as f32) + 0.2 * (y as f32 / HEIGHT as f32);
        if card { slope + 0.4 } else { slope }
    })
}

/// CPU seconds of this process, of all its threads.
fn cpu() -> f64 {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .map_or(f64::NAN, |t| t.tv_sec() as f64 + t.tv_nsec() as f64 * 1e-9)
}

fn time(name: &str, mut frame: impl FnMut()) {
    // `cargo bench ... -- WORDS` runs the cases that have them in their name; cargo adds an option.
    if std::env::args().skip(1).any(|word| !word.starts_with("--") && !name.contains(&word)) {
        return;
    }
    frame();
    let (mut wall, mut busy) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..RUNS {
        let (start, before) = (Instant::now(), cpu());
        (0..FRAMES).for_each(|_| frame());
        wall = wall.min(start.elapsed().as_secs_f64());
        busy = busy.min(cpu() - before);
    }
    let ms = 1e3 / FRAMES as f64;
    println!("{name}\t{:.3}\t{:.3}", wall * ms, busy * ms);
}

fn main() {
    let disparity = reference::disparity(&depth(), MOST_PX);
    let plane = |n: usize| {
        Plane::from_fn(WIDTH, HEIGHT, |x, y| ((x * 7 + y * 13 + n * 5) % 251) as f32 / 250.0)
    };
    let colours = [plane(0), plane(1), plane(2)];
    let [r, g, b] = &colours;

    let mut warp = Warp::new(WIDTH, HEIGHT);
    time("map and mask", || warp.splat(black_box(&disparity)));
    let mut eye = [plane(0), plane(1), plane(2)];
    time("map, mask and three f32 planes", || {
        warp.splat(black_box(&disparity));
        warp.planes([r, g, b], &mut eye);
        black_box(&eye);
    });

    let format = VideoFormat {
        width: WIDTH as u32,
        height: HEIGHT as u32,
        pixels: PixelFormat::YUV420P,
        colour: Colour::default(),
    };
    let mut frame = Frame::zeroed(Arc::new(format), 0);
    frame.data_mut().iter_mut().enumerate().for_each(|(i, v)| *v = (i * 7 % 251) as u8);
    time("map, mask and an 8-bit 4:2:0 frame", || {
        warp.splat(black_box(&disparity));
        black_box(warp.frame(&frame));
    });

    let geometry =
        Geometry { disparity_percent: 2.0 * MOST_PX / WIDTH as f32 * 100.0, convergence: 0.5 };
    let depth = depth();
    if let Ok(mut synthesis) = ViewSynthesis::new(frame.format(), geometry) {
        time("right eye of an 8-bit 4:2:0 frame, filled", || {
            black_box(synthesis.right_eye(black_box(&frame), black_box(&depth)).is_ok());
        });
    }

    let source = reference::Source { planes: colours.to_vec(), disparity };
    let mut scattered = reference::Splat::black(3, WIDTH, HEIGHT);
    time("reference: mask and three f32 planes", || {
        scattered.warp(black_box(&source));
        black_box(&scattered);
    });
}
