//! Depth does not depend on where a part of a film begins.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use parallax_depth_anything::{DepthAnything, Family, Options};
use parallax_engine_spec::DepthMode;
use parallax_frame::{Colour, Frame, FrameRate, PixelFormat, VideoFormat};
use parallax_stereo::{Clip, DepthEstimator, DepthModel, Plane, Run};
use parallax_weights::DType;

const SIZE: (u32, u32) = (128, 72);
/// Where the film's second shot begins, and the film's length.
const CUT: i64 = 3;
const LENGTH: i64 = 40;

fn clip() -> Clip {
    let (width, height) = SIZE;
    let (pixels, colour) = (PixelFormat::YUV420P, Colour::default());
    let format = Arc::new(VideoFormat { width, height, pixels, colour });
    Clip { format, rate: FrameRate { num: 25, den: 1 } }
}

/// Blocks that move over a slope; another picture after the cut.
fn frame(clip: &Clip, number: i64) -> Frame {
    let mut frame = Frame::zeroed(Arc::clone(&clip.format), number);
    let width = i64::from(SIZE.0);
    for (i, sample) in frame.data_mut().iter_mut().enumerate() {
        let (x, y) = (i as i64 % width, i as i64 / width);
        let block = (x - number) / 16 + y / 12;
        let value =
            if number < CUT { 40 + block % 5 * 20 } else { 230 - (block * 29).rem_euclid(160) };
        *sample = value.clamp(0, 255) as u8;
    }
    frame
}

fn model(family: Family, mode: DepthMode, weights: &std::path::Path) -> DepthAnything {
    let device = parallax_nn::device::Device::Cpu;
    let options = Options { side: Some(140), mode, ..Options::default() };
    DepthAnything::within(weights, None, family, (&device, DType::F32), options).unwrap()
}

fn kept(ready: Vec<(Frame, Plane)>, known: &mut Vec<(i64, Plane)>) {
    known.extend(ready.into_iter().map(|(frame, plane)| (frame.pts, plane)));
}

/// The depth of the frames from `from` on, led in from frame `lead`.
fn depth(model: &DepthAnything, lead: i64, from: i64) -> Vec<(i64, Plane)> {
    let clip = clip();
    let mut estimator = model.estimator(&clip, &Run::default()).unwrap();
    let mut known = Vec::new();
    for number in lead..LENGTH {
        let frame = frame(&clip, number);
        let ready = if number < from { estimator.lead_in(frame) } else { estimator.push(frame) };
        kept(ready.unwrap(), &mut known);
    }
    kept(estimator.finish().unwrap(), &mut known);
    known.retain(|(number, _)| *number >= from);
    known
}

#[test]
fn parts_have_the_depth_that_the_whole_has() {
    let folder = tempfile::tempdir().unwrap();
    parallax_tiny_weights::write_depth(folder.path(), 5).unwrap();
    let mut seen = Vec::new();
    for (family, mode) in [
        (Family::Single, DepthMode::Windows),
        (Family::Video, DepthMode::Windows),
        (Family::Video, DepthMode::Streaming),
    ] {
        let what = format!("{family:?}, {mode}");
        let model = model(family, mode, folder.path());
        let whole = depth(&model, 0, 0);
        assert_eq!(whole.len(), LENGTH as usize, "{what}");
        assert!(
            whole.iter().all(|(_, plane)| plane.data().iter().all(|v| (0.0..=1.0).contains(v)))
        );
        // From the beginning of its shot on, a part needs nothing else of what lies before it.
        assert!(depth(&model, CUT, 30) == whole[30..], "{what}");
        assert!(!seen.contains(&whole), "{what}: as another");
        seen.push(whole);
    }
}
