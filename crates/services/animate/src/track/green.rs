//! A clip with plain green wherever nothing is that is followed.

use std::ops::Range;
use std::path::Path;

use parallax_frame::Frame;
use parallax_media::{EncodeSettings, Encoder, Timing, Tools};
use parallax_serving::Failure;
use parallax_stereo::Plane;
use rayon::prelude::*;
use tokio_util::sync::CancellationToken;

use super::clip::{Clip, told};
use super::found::Store;

/// Red, green and blue of the green that keyers look for.
const GREEN: [f32; 3] = [0.0, 177.0 / 255.0, 64.0 / 255.0];

/// Writes the film to `path` (MP4).
///
/// # Errors
/// `Invalid` for a clip that cannot be encoded; `Cancelled`; `Unavailable`.
pub(crate) fn write(
    tools: &Tools,
    clip: &Clip<'_>,
    (store, path): (&mut Store, &Path),
    cancel: &CancellationToken,
    report: &dyn Fn(u64),
) -> Result<(), Failure> {
    let video = &clip.media.video;
    let settings =
        EncodeSettings { sample_aspect: video.sample_aspect, ..EncodeSettings::default() };
    let (mut encoder, mut green, mut first) = (None, None, 0);
    for (frame, number) in clip.all()?.zip(0..) {
        let mut frame = frame?;
        if encoder.is_none() {
            // What comes may be named more exactly than what was promised.
            let timing = Timing { time_base: video.time_base, rate: video.rate };
            let made = Encoder::create(tools, path, frame.format(), timing, &settings, cancel);
            encoder = Some(made.map_err(|error| told(&error, path))?);
            green = Some(plain(clip, &frame));
            first = frame.pts;
        }
        let inside = Inside::of(store, number as usize, clip.size())?;
        if let Some(green) = &green {
            cover(&mut frame, green, &inside);
        }
        frame.pts -= first;
        if let Some(encoder) = &mut encoder {
            encoder.write(&frame).map_err(|error| told(&error, path))?;
        }
        report(number + 1);
    }
    let encoder = encoder.ok_or_else(|| Failure::field("video_url", "the clip has no frames"))?;
    encoder.finish().map_err(|error| told(&error, path))
}

/// A frame of nothing but green, of the format of `frame`.
fn plain(clip: &Clip<'_>, frame: &Frame) -> Frame {
    let (width, height) = clip.size();
    let planes = GREEN.map(|level| Plane::filled(width, height, level));
    clip.rgb().frame(&planes, frame.pts)
}

/// Where anything that is followed is: not 0 there, row by row.
struct Inside {
    samples: Vec<u8>,
    width: usize,
    height: usize,
}

impl Inside {
    fn of(
        store: &mut Store,
        frame: usize,
        (width, height): (usize, usize),
    ) -> Result<Self, Failure> {
        let mut inside = vec![0u8; width * height];
        for found in store.of(frame)? {
            let samples = found.mask.samples();
            inside.iter_mut().zip(&samples).for_each(|(inside, sample)| *inside |= sample);
        }
        Ok(Self { samples: inside, width, height })
    }

    /// How much of these columns and rows is outside, 0 to 1.
    fn outside(&self, columns: Range<usize>, rows: Range<usize>) -> f32 {
        let (mut outside, mut all) = (0, 0);
        for y in rows.start..rows.end.min(self.height) {
            for x in columns.start..columns.end.min(self.width) {
                all += 1;
                outside += usize::from(self.samples[y * self.width + x] == 0);
            }
        }
        outside as f32 / all.max(1) as f32
    }
}

/// Puts `green` over what is not inside. A sample of chroma takes as much of it as of its pixels are.
fn cover(frame: &mut Frame, green: &Frame, inside: &Inside) {
    for plane in 0..frame.format().pixels.chroma().planes() {
        let shape = frame.format().plane(plane);
        let columns = inside.width.div_ceil(shape.width);
        let rows = inside.height.div_ceil(shape.height);
        let mut samples = frame.plane_f32(plane);
        let over = green.plane_f32(plane);
        samples.par_chunks_mut(shape.width).enumerate().for_each(|(y, row)| {
            for (x, sample) in row.iter_mut().enumerate() {
                let across = x * columns..(x + 1) * columns;
                let share = inside.outside(across, y * rows..(y + 1) * rows);
                *sample = (1.0 - share) * *sample + share * over[y * shape.width + x];
            }
        });
        frame.set_plane_f32(plane, &samples);
    }
}
