//! Engines on this machine: whether their weights are here, and how fast they are.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parallax_catalogue::{ALL, is_there};
use parallax_engine_spec::{Choice, Choices, EngineSpec, Published};
use parallax_frame::{Colour, Frame, FrameRate, PixelFormat, VideoFormat};
use parallax_stereo::{Clip, Run};

use super::finding::Finding;
use crate::convert::network::weights_folder;

/// How long an engine is looked at.
const PROBE: Duration = Duration::from_millis(500);
/// The pictures that it is shown.
const SIZE: (u32, u32) = (1280, 720);

/// A line for each engine that converts any film, but for `copy`.
pub(super) fn findings() -> Vec<Finding> {
    let folder = weights_folder(None);
    let engines = ALL.iter().filter(|spec| !spec.takes(Choice::Depth) && spec.name != "copy");
    engines.map(|spec| finding(spec, folder.as_deref())).collect()
}

fn finding(spec: &'static EngineSpec, folder: Option<&Path>) -> Finding {
    let found = |ok, found, remedy| Finding { what: spec.name, ok, required: false, found, remedy };
    let needed = spec.weights.map_or(&[][..], |weights| weights.needed(None));
    let there = |model: &&Published| folder.is_some_and(|folder| is_there(model, folder));
    // Of models that are instead of each other any one will do.
    let of_one = spec.takes(Choice::Model);
    let models = spec.weights.map_or(&[][..], |weights| weights.models);
    let model = if of_one { models.iter().find(there) } else { None };
    let complete = if of_one { model.is_some() } else { needed.iter().all(|model| there(&model)) };
    if !complete {
        let bytes: u64 = needed.iter().map(|model| model.bytes).sum();
        let missing = format!("its weights are not here ({} MB)", bytes.div_ceil(1_000_000));
        let name =
            if of_one { needed.first().map_or(spec.name, |model| model.name) } else { spec.name };
        return found(false, missing, Some(format!("parallax weights fetch {name}")));
    }
    let title = model.map_or_else(String::new, |model| format!("{}, ", model.title));
    if spec.weights.is_some() && !of_one {
        return found(
            true,
            "its weights are here; seconds to minutes a frame without a GPU".into(),
            None,
        );
    }
    match frames_per_second(spec, folder) {
        Ok(speed) => {
            let (width, height) = SIZE;
            found(
                true,
                format!("{title}{speed:.1} frames/s of {width}x{height} on the processor"),
                None,
            )
        }
        Err(error) => found(false, format!("{error:#}"), None),
    }
}

/// How many frames an engine converts in a second on the processor, by a short look.
fn frames_per_second(spec: &EngineSpec, folder: Option<&Path>) -> anyhow::Result<f64> {
    let choices = Choices { weights: folder.map(Path::to_owned), ..Choices::default() };
    let engine = (spec.select)(&choices)?.prepare(Some(SIZE))?.open()?;
    let (width, height) = SIZE;
    let (pixels, colour) = (PixelFormat::YUV420P, Colour::default());
    let format = Arc::new(VideoFormat { width, height, pixels, colour });
    let clip = Clip { format: Arc::clone(&format), rate: FrameRate { num: 25, den: 1 } };
    let mut session = engine.start(&clip, &Run::default())?;
    let begun = Instant::now();
    let mut frames = 0;
    while begun.elapsed() < PROBE {
        session.push(picture(&format, frames))?;
        frames += 1;
    }
    while !session.finish()?.is_empty() {}
    Ok(frames as f64 / begun.elapsed().as_secs_f64())
}

/// A slope that moves by a few pixels from frame to frame.
fn picture(format: &Arc<VideoFormat>, number: i64) -> Frame {
    let mut frame = Frame::zeroed(Arc::clone(format), number);
    for (i, sample) in frame.data_mut().iter_mut().enumerate() {
        *sample = (i as i64 / 7 + 3 * number) as u8;
    }
    frame
}
