//! Frames of a film at their own times, and what the model sees in them.

use std::path::Path;

use parallax_frame::Frame;
use parallax_media::{DecodeOptions, Shown, Tools, probe, scan};
use parallax_serving::{Failure, FailureKind};
use parallax_stereo::Rgb;
use tokio_util::sync::CancellationToken;

use crate::embedder::Embedder;
use crate::picture::{Channels, failure};
use crate::sampling::Sampler;

/// Frames that one film may be looked at: each has its vector in memory and, where it is asked for, in the answer.
pub const MOST_FRAMES: usize = 3000;

/// A frame that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Its number in the film, from 0.
    pub source_frame: u64,
    /// Seconds after the film's first frame, by its presentation time.
    pub seconds: f64,
    /// The class token, as the network gives it.
    pub class: Vec<f32>,
}

/// A film that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Looks {
    /// The frames, in order.
    pub frames: Vec<Look>,
    /// Width and height of the film's frames, upright.
    pub size: (usize, usize),
    /// Frames a second on average, by the film's headers.
    pub source_fps: f64,
    /// What was mended of a damaged film, a line each.
    pub damage: Vec<String>,
}

/// How a film is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Manner {
    /// Frames a second, at most; those of the film where it has fewer.
    pub fps: f64,
}

/// Who stands by while a film is looked at.
pub trait Watch {
    /// The film has so many frames, as far as its packets tell.
    fn begins(&mut self, _frames: u64) {}

    /// A frame of the film, `seconds` after its first: each one, in order.
    ///
    /// # Errors
    /// Whatever ends the look.
    fn passes(&mut self, _frame: &Frame, _number: u64, _seconds: f64) -> Result<(), Failure> {
        Ok(())
    }

    /// That frame was looked at.
    ///
    /// # Errors
    /// Whatever ends the look.
    fn looked(&mut self, _look: &Look, _channels: &Channels) -> Result<(), Failure> {
        Ok(())
    }
}

/// Looks at the film at `path`, and shows `watch` every frame.
///
/// # Errors
/// `Invalid` when it is no film, or more than [`MOST_FRAMES`] frames would be looked at; `Cancelled`; `Internal`;
/// as `watch` says.
pub fn look(
    tools: &Tools,
    path: &Path,
    manner: Manner,
    model: &Embedder,
    cancel: &CancellationToken,
    watch: &mut dyn Watch,
) -> Result<Looks, Failure> {
    let told = |error: parallax_media::Error| failure(&error, path);
    let Film { mut shown, rgb, count, rate, size: (width, height) } =
        Film::open(tools, path, cancel)?;
    watch.begins(count as u64);
    let base = shown.decoder().time_base();
    let (mut sampler, mut first, mut frames) = (Sampler::new(manner.fps), None, Vec::new());
    for (frame, number) in shown.by_ref().zip(0..) {
        let frame = frame.map_err(told)?;
        if cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        let seconds = base.seconds(frame.pts - *first.get_or_insert(frame.pts));
        watch.passes(&frame, number, seconds)?;
        if sampler.takes(seconds) {
            if frames.len() == MOST_FRAMES {
                return Err(too_many(manner.fps));
            }
            let channels = Channels(rgb.planes(&frame));
            let class = channels.seen_by(model, None)?.class;
            let look = Look { source_frame: number, seconds, class };
            watch.looked(&look, &channels)?;
            frames.push(look);
        }
    }
    if frames.is_empty() {
        return Err(Failure::new(FailureKind::Invalid, "the film has no frames"));
    }
    let damage = shown.decoder().damage().lines();
    Ok(Looks { frames, size: (width, height), source_fps: rate, damage })
}

/// A film that is being read.
struct Film {
    shown: Shown,
    rgb: Rgb,
    /// Frames, by its packets.
    count: usize,
    /// Frames a second on average, by its headers.
    rate: f64,
    /// Width and height of its frames, upright.
    size: (usize, usize),
}

impl Film {
    fn open(tools: &Tools, path: &Path, cancel: &CancellationToken) -> Result<Self, Failure> {
        let told = |error: parallax_media::Error| failure(&error, path);
        let media = probe(tools, path, cancel).map_err(told)?;
        let packets = scan(tools, &media, cancel).map_err(told)?;
        let options = DecodeOptions::default();
        let shown = Shown::open(tools, &media, &packets, &packets, options, cancel);
        let shown = shown.map_err(told)?;
        let format = shown.decoder().format().clone();
        let rgb = Rgb::of(&format);
        let rgb = rgb.map_err(|error| Failure::new(FailureKind::Invalid, error.to_string()))?;
        let size = (format.width as usize, format.height as usize);
        let count = usize::try_from(packets.shown()).unwrap_or(usize::MAX);
        Ok(Self { shown, rgb, count, rate: media.video.rate.fps(), size })
    }
}

/// Gives `take` those frames of the film at `path` whose numbers `choose` says of (how many there are, how many a second,
/// their height and width), in order, and says when they are shown: seconds after the first frame.
///
/// # Errors
/// `Invalid` when it is no film, `Cancelled`; and those of `choose` and `take`.
pub(crate) fn spread(
    tools: &Tools,
    path: &Path,
    cancel: &CancellationToken,
    choose: impl FnOnce(usize, f64, (usize, usize)) -> Result<Vec<usize>, Failure>,
    take: &mut dyn FnMut(&Channels) -> Result<(), Failure>,
) -> Result<Vec<f64>, Failure> {
    let Film { mut shown, rgb, count, rate, size: (width, height) } =
        Film::open(tools, path, cancel)?;
    let base = shown.decoder().time_base();
    let (numbers, mut first, mut seconds) =
        (choose(count, rate, (height, width))?, None, Vec::new());
    for (frame, number) in shown.by_ref().zip(0..) {
        if seconds.len() == numbers.len() {
            break;
        }
        let frame = frame.map_err(|error| failure(&error, path))?;
        if cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        let at = base.seconds(frame.pts - *first.get_or_insert(frame.pts));
        if numbers.get(seconds.len()) == Some(&number) {
            take(&Channels(rgb.planes(&frame)))?;
            seconds.push(at);
        }
    }
    if seconds.is_empty() {
        return Err(Failure::new(FailureKind::Invalid, "the film has no frames"));
    }
    Ok(seconds)
}

fn too_many(fps: f64) -> Failure {
    let message = format!(
        "{fps}: of this film more than {MOST_FRAMES} frames would be looked at; ask for fewer"
    );
    Failure::field("fps", message)
}
