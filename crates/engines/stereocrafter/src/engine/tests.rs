//! The engine on tiny random models.

use std::sync::{Mutex, OnceLock};

use candle_core::{DType, Tensor};
use parallax_frame::{Colour, Frame, FrameRate, PixelFormat, VideoFormat};
use parallax_nn::noise::Generator;
use parallax_nn::resize::resize_antialiased;
use parallax_stereo::{
    Comfort, Geometry, Plane, Retry, ShotReport, Stage, Staging, StereoPair, Watch, reference,
};

use super::desk::Seen;
use super::*;
use crate::memory::Memory;
use crate::plan::{Pieces, Plan, Residency};
use crate::precision::Precision;

/// Tiny models, written once.
fn weights() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        parallax_tiny_weights::write(folder.path(), 11).unwrap();
        folder
    });
    folder.path()
}

fn engine(reference: bool) -> StereoCrafter {
    let options = Options { reference, steps: 1, ..Options::default() };
    StereoCrafter::within(weights(), &Device::Cpu, options).unwrap()
}

fn format(width: u32, height: u32) -> Arc<VideoFormat> {
    let pixels = PixelFormat::YUV420P;
    Arc::new(VideoFormat { width, height, pixels, colour: Colour::default() })
}

/// A box over stripes that both move; another `scene` looks different.
fn film(format: &Arc<VideoFormat>, scene: usize, frames: std::ops::Range<usize>) -> Vec<Frame> {
    let (width, height) = (format.width as usize, format.height as usize);
    let paint = |t: usize| {
        let mut frame = Frame::zeroed(Arc::clone(format), 40 * t as i64);
        let value = |x: usize, y: usize| {
            let boxed = (x + t) % width / (width / 3) == 1 && y > height / 3;
            let stripe = ((x + 2 * t) / 5 + y / 7) % (2 + scene);
            if boxed { 180.0 } else { 40.0 + 60.0 * stripe as f32 / (1.0 + scene as f32) }
        };
        let luma: Vec<f32> = (0..width * height)
            .map(|i| value(i % width, i / width) + 20.0 * scene as f32)
            .collect();
        frame.set_plane_f32(0, &luma);
        for plane in [1, 2] {
            let count = frame.plane(plane).len();
            frame.set_plane_f32(plane, &vec![110.0 + 15.0 * plane as f32; count]);
        }
        frame
    };
    frames.map(paint).collect()
}

fn run(seed: u64) -> Run {
    let geometry = Geometry { disparity_percent: 6.0, ..Geometry::default() };
    Run { geometry, seed, ..Run::default() }
}

fn clip(format: &Arc<VideoFormat>) -> Clip {
    Clip { format: Arc::clone(format), rate: FrameRate { num: 25, den: 1 } }
}

/// All pairs, and the most that came at once.
fn convert(engine: &StereoCrafter, frames: &[Frame], run: &Run) -> Result<Vec<StereoPair>, Error> {
    let mut session = engine.start(&clip(frames[0].format()), run)?;
    let mut pairs = Vec::new();
    for frame in frames {
        pairs.extend(session.push(frame.clone())?);
    }
    loop {
        let more = session.finish()?;
        if more.is_empty() {
            return Ok(pairs);
        }
        pairs.extend(more);
    }
}

fn rights(pairs: &[StereoPair]) -> Vec<Frame> {
    pairs.iter().map(|pair| pair.right.clone()).collect()
}

#[test]
fn every_frame_becomes_a_pair_whatever_the_size_and_the_length() {
    let engine = engine(false);
    for (size, length) in [((70, 46), 1), ((64, 36), 3), ((90, 34), 26)] {
        let frames = film(&format(size.0, size.1), 0, 0..length);
        let pairs = convert(&engine, &frames, &run(1)).unwrap();
        let lefts: Vec<Frame> = pairs.iter().map(|pair| pair.left.clone()).collect();
        assert_eq!(lefts, frames, "{size:?}: the left eye is the source");
        for pair in &pairs {
            assert_eq!((pair.right.pts, pair.right.format()), (pair.left.pts, pair.left.format()));
            assert_ne!(pair.right.plane(0), pair.left.plane(0));
        }
    }
}

#[test]
fn the_seed_decides() {
    let engine = engine(false);
    let frames = film(&format(70, 46), 0, 0..4);
    let of = |seed| rights(&convert(&engine, &frames, &run(seed)).unwrap());
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn half_precision_stays_near_single_and_an_unknown_type_is_refused() {
    let open = |dtype| {
        let options = Options { steps: 1, dtype: Some(dtype), ..Options::default() };
        StereoCrafter::within(weights(), &Device::Cpu, options)
    };
    let frames = film(&format(70, 46), 0, 0..3);
    let of = |dtype| rights(&convert(&open(dtype).unwrap(), &frames, &run(1)).unwrap());
    let (single, half) = (of(DType::F32), of(DType::F16));
    assert_eq!(single, rights(&convert(&engine(false), &frames, &run(1)).unwrap()));
    assert_ne!(single, half);
    for (single, half) in single.iter().zip(&half) {
        let (single, half) = (single.plane(0), half.plane(0));
        let off: u32 = single.iter().zip(half).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        assert!((off as usize) < single.len(), "off by {off} over {} pixels", single.len());
    }
    let error = open(DType::BF16).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("bf16") && cause.contains("allowed are f32 and f16"), "{cause}");
}

#[test]
fn nothing_is_shared_across_a_cut() {
    let engine = engine(false);
    let format = format(70, 46);
    let (first, second) = (film(&format, 0, 0..3), film(&format, 3, 0..4));
    let whole = [first.clone(), second].concat();
    let pairs = convert(&engine, &whole, &run(1)).unwrap();
    assert_eq!(pairs.len(), 7);
    // Noise and everything else of the first shot are the same without a second.
    let alone = convert(&engine, &first, &run(1)).unwrap();
    assert_eq!(rights(&pairs)[..3], rights(&alone));
}

/// Depth of the frames of `piece`, led in and out by those of `around`.
fn seen(
    engine: &StereoCrafter,
    frames: &[Frame],
    around: std::ops::Range<usize>,
    piece: std::ops::Range<usize>,
) -> Vec<Seen> {
    engine.desk.seen.lock().unwrap().clear();
    let mut session = engine.start(&clip(frames[0].format()), &run(1)).unwrap();
    let mut pairs = Vec::new();
    frames[around.start..piece.start].iter().for_each(|f| session.lead_in(f.clone()).unwrap());
    for frame in &frames[piece.clone()] {
        pairs.extend(session.push(frame.clone()).unwrap());
    }
    for frame in &frames[piece.end..around.end] {
        pairs.extend(session.lead_out(frame.clone()).unwrap());
    }
    while let more = session.finish().unwrap()
        && !more.is_empty()
    {
        pairs.extend(more);
    }
    let lefts: Vec<Frame> = pairs.into_iter().map(|pair| pair.left).collect();
    assert_eq!(lefts, frames[piece]);
    std::mem::take(&mut *engine.desk.seen.lock().unwrap())
}

#[test]
fn a_border_inside_a_shot_changes_neither_depth_nor_its_range() {
    // Several windows in few frames.
    let least = Plan { window: 8, window_overlap: 3, decode: 1, context: 1, ..Plan::default() };
    let pieces = Pieces::Of(least);
    let options = Options { steps: 1, pieces, ..Options::default() };
    let engine = StereoCrafter::within(weights(), &Device::Cpu, options).unwrap();
    let format = format(64, 36);
    // A shot that fades in, between two others.
    let mut shot = film(&format, 0, 0..44);
    for (t, frame) in shot.iter_mut().enumerate() {
        let contrast = (t as f32 / 40.0).min(1.0);
        let luma: Vec<f32> = frame.plane_f32(0).iter().map(|v| 16.0 + v * contrast).collect();
        frame.set_plane_f32(0, &luma);
    }
    let (before, after) = (film(&format, 3, 0..4), film(&format, 3, 0..3));
    let frames = [before.as_slice(), &shot, &after].concat();
    let (begin, border, end) = (4, 28, frames.len());
    let whole = seen(&engine, &frames, 0..end, 0..end);
    let first = seen(&engine, &frames, 0..end, 0..border);
    // With what lies before the shot and without.
    for from in [0, begin] {
        let second = seen(&engine, &frames, from..end, border..end);
        assert!([first.as_slice(), &second].concat() == whole, "led in from {from}");
    }
    let steps = |a: &[Seen], b: &[Seen]| {
        let (a, b) = (a.last().unwrap().2, b[0].2);
        ((a.low - b.low).abs() + (a.high - b.high).abs()) / (a.high - a.low)
    };
    let within = (begin + 1..begin + 44).map(|t| steps(&whole[..t], &whole[t..]));
    let usual = within.fold(0.0, f32::max);
    let blind = seen(&engine, &frames, 0..border, 0..border);
    let cold = seen(&engine, &frames, border..end, border..end);
    let (blind, cold) = (steps(&blind, &whole[border..]), steps(&blind, &cold));
    println!("{usual} {blind} {cold}");
    assert!(cold > 2.0 * usual, "{cold} from nothing, {usual} at most without a border");
    assert!(blind < usual, "{blind} without the frames after it, {usual} without a border");
}

#[test]
fn shots_are_staged_and_measured() {
    static SHOTS: Mutex<Vec<ShotReport>> = Mutex::new(Vec::new());
    let engine = engine(false);
    let format = format(70, 46);
    let frames = [film(&format, 0, 0..3), film(&format, 3, 0..4)].concat();
    let staging = Staging {
        auto_convergence: true,
        comfort: Some(Comfort { front_percent: 0.3, behind_percent: 0.6 }),
        floating_window: true,
    };
    let watch = Watch::default().with_shots(|shot| SHOTS.lock().unwrap().push(*shot));
    let pairs = convert(&engine, &frames, &Run { watch, staging, ..run(1) }).unwrap();
    assert_eq!(pairs.len(), 7);
    let shots = SHOTS.lock().unwrap();
    let spans: Vec<_> = shots.iter().map(|shot| (shot.first_frame, shot.frames)).collect();
    assert_eq!(spans, [(0, 3), (3, 4)]);
    for shot in shots.iter() {
        let (near, far) = shot.parallax_percent;
        assert!((-0.3..-0.2).contains(&near) && (0.4..=0.6).contains(&far), "{shot:?}");
    }
    let refused = self::engine(true).start(&clip(&format), &Run { staging, ..run(1) });
    assert!(matches!(refused, Err(Error::Unsupported(_))));
}

#[test]
fn stages_are_told_and_cancelling_ends_between_steps() {
    static LAST: Mutex<Vec<(Stage, u64)>> = Mutex::new(Vec::new());
    let engine = engine(false);
    let frames = film(&format(70, 46), 0, 0..4);
    let watch = Watch::new(|stage, frames| LAST.lock().unwrap().push((stage, frames)));
    convert(&engine, &frames, &Run { watch, ..run(1) }).unwrap();
    let told = LAST.lock().unwrap().clone();
    for stage in [Stage::Depth, Stage::Warp, Stage::Inpaint] {
        assert!(told.contains(&(stage, 4)), "{told:?}");
    }
    let run = run(1);
    let token = run.cancel.clone();
    // As soon as there is depth, before anything is inpainted.
    let watch = Watch::new(move |stage, _| {
        assert_ne!(stage, Stage::Inpaint, "after cancelling");
        token.cancel();
    });
    let error = convert(&engine, &frames, &Run { watch, ..run }).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
}

#[test]
fn a_full_device_keeps_fewer_networks_and_makes_the_same_pictures() {
    static TOLD: Mutex<Vec<Retry>> = Mutex::new(Vec::new());
    let frames = film(&format(70, 46), 0, 0..9);
    let roomy = rights(&convert(&engine(false), &frames, &run(1)).unwrap());
    let engine = engine(false);
    *engine.desk.fault.lock().unwrap() = Some(|_, residency| residency == Residency::Both);
    let watch = Watch::default().with_retries(|retry| TOLD.lock().unwrap().push(retry.clone()));
    let pairs = convert(&engine, &frames, &Run { watch, ..run(1) }).unwrap();
    assert!(rights(&pairs) == roomy);
    assert_eq!(*TOLD.lock().unwrap(), [Retry::OutOfMemory(Stage::Depth)]);
    *engine.desk.fault.lock().unwrap() = Some(|stage, _| stage == Stage::Inpaint);
    let error = convert(&engine, &frames[..2], &run(1)).unwrap_err();
    assert!(matches!(error, Error::OutOfMemory(_)), "{error:?}");
    let error = error.to_string();
    assert!(error.contains("too little memory") && error.contains("--memory-plan"), "{error}");
}

#[test]
fn pixels_depend_on_the_pieces_and_never_on_what_is_free() {
    let size = Size::new(70, 46);
    let memory = Memory::of(&Folders::within(weights()), Precision::SINGLE, size).unwrap();
    let plan = memory.plan(crate::USUAL_BYTES).unwrap();
    let by_stage = Plan { residency: Residency::ByStage, ..plan.clone() };
    let (most, least) = (memory.peak(&plan), memory.peak(&by_stage));
    assert!(most > least);
    let frames = film(&format(70, 46), 0, 0..9);
    let of = |memory_limit, pieces| {
        let options = Options { steps: 1, memory_limit, pieces, ..Options::default() };
        let engine = StereoCrafter::within(weights(), &Device::Cpu, options).unwrap();
        convert(&engine, &frames, &run(1)).map(|pairs| rights(&pairs))
    };
    let roomy = of(None, Pieces::default()).unwrap();
    assert!(of(Some(least), Pieces::default()).unwrap() == roomy);
    assert!(of(Some(least), Pieces::Of(plan)).unwrap() == roomy);
    let error = of(Some(least - (1 << 20)), Pieces::default()).unwrap_err().to_string();
    assert!(error.contains("--memory-plan") && error.contains("windows of 70"), "{error}");
    // Smaller pieces fit, and are other pictures: whoever wants them asks for them.
    let smaller = memory.plan(least - (1 << 20)).unwrap();
    assert!(of(Some(least - (1 << 20)), Pieces::Of(smaller)).unwrap() != roomy);
    let error = of(None, Pieces::For(1 << 16)).unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)), "waiting does not help: {error}");
}

#[test]
fn a_device_that_is_too_small_for_anything_is_told_before_work() {
    let options = Options { memory_limit: Some(1 << 16), ..Options::default() };
    let engine = StereoCrafter::within(weights(), &Device::Cpu, options).unwrap();
    let error = engine.start(&clip(&format(70, 46)), &run(1)).err().unwrap();
    assert!(matches!(error, Error::OutOfMemory(_)), "another time there may be more");
    assert!(error.to_string().contains("70x46"), "{error}");
}

fn planes_of(picture: &Tensor) -> Vec<Plane> {
    picture::planes(picture).unwrap()
}

/// The published order of things, by the stages alone.
fn by_stages(engine: &StereoCrafter, frames: &[Frame], run: &Run) -> Vec<Frame> {
    let (plan, format) = (Plan::default(), frames[0].format());
    let (width, height) = (format.width as usize, format.height as usize);
    let rgb = Rgb::of(format).unwrap();
    let size = Size::new(width, height);
    let small = working_size(size, 1024).unwrap();
    let mut go = || Ok(());
    let pictures: Vec<[Plane; 3]> = frames.iter().map(|frame| rgb.planes(frame)).collect();
    let tensor = |planes: &[Plane; 3]| {
        picture::stacked(&planes.iter().collect::<Vec<_>>(), &Device::Cpu).unwrap()
    };
    let video = Tensor::cat(&pictures.iter().map(tensor).collect::<Vec<_>>(), 0).unwrap();
    let working = resize_antialiased(&video, (small.height, small.width)).unwrap();
    let working = ((working * 2.0).unwrap() - 1.0).unwrap();
    let depth = engine.desk.depth(&plan, false).unwrap();
    let depth = depth.run(&working, &mut Generator::new(run.seed), &mut go).unwrap();
    let depth = crate::depth::normalise(&depth, size).unwrap();

    let most = run.geometry.disparity_percent / 200.0 * width as f32;
    let sources: Vec<reference::Source> = (0..frames.len())
        .map(|i| reference::Source {
            planes: pictures[i].clone().into(),
            disparity: reference::disparity(&planes_of(&depth.get(i).unwrap())[0], most),
        })
        .collect();
    let splats: Vec<_> = sources.chunks(10).flat_map(reference::splat).collect();
    let cut = |planes: &[Plane]| -> Vec<Vec<u8>> {
        planes.iter().map(|plane| picture::bytes(plane, 0.0)).collect()
    };
    let join = |frames: &[Vec<Vec<u8>>]| {
        let one =
            |p: &Vec<Vec<u8>>| picture::stacked_bytes(p, (width, height), &Device::Cpu).unwrap();
        let all = Tensor::cat(&frames.iter().map(one).collect::<Vec<_>>(), 0).unwrap();
        (all.to_dtype(DType::F32).unwrap() / 255.0).unwrap()
    };
    let warped: Vec<_> = splats.iter().map(|s| cut(&s.planes)).collect();
    let masks: Vec<_> = splats.iter().map(|s| cut(std::slice::from_ref(&s.mask))).collect();
    let inpainting = engine.desk.inpainting(&plan, false).unwrap();
    let mut noise = Generator::new(run.seed + 1);
    let results = inpainting.run(&join(&warped), &join(&masks), &mut noise, &mut go).unwrap();
    let right = |i: usize| {
        let result = planes_of(&results.get(i).unwrap());
        let mut planes = [0, 1, 2].map(|c| picture::unit_plane(&warped[i][c], width, height));
        for (plane, result) in planes.iter_mut().zip(&result) {
            for y in 0..result.height() {
                plane.row_mut(y)[..result.width()].copy_from_slice(result.row(y));
            }
        }
        rgb.frame(&planes, frames[i].pts)
    };
    (0..frames.len()).map(right).collect()
}

#[test]
fn the_reference_mode_is_the_stages_in_the_published_order() {
    let engine = engine(true);
    // Two chunks, of which the last is a short one; the right and lower rims are cut by the reference.
    let frames = film(&format(150, 134), 0, 0..25);
    let pairs = convert(&engine, &frames, &run(3)).unwrap();
    let lefts: Vec<Frame> = pairs.iter().map(|pair| pair.left.clone()).collect();
    assert_eq!(lefts, frames);
    let wanted = by_stages(&engine, &frames, &run(3));
    for (i, (pair, wanted)) in pairs.iter().zip(&wanted).enumerate() {
        let off = pair.right.data().iter().zip(wanted.data()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(pair.right == *wanted, "frame {i}: off by {off:?}");
    }
}

#[test]
fn the_reference_refuses_what_it_would_cut_to_nothing() {
    let error = engine(true).start(&clip(&format(150, 100)), &run(3)).err().unwrap();
    assert!(matches!(error, Error::Unsupported(_)) && error.to_string().contains("150x100"));
}

mod numbers;
