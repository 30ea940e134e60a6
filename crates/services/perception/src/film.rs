//! Frames of a film at their own times, and what the model sees in them.

use std::path::Path;

use parallax_frame::Frame;
use parallax_media::{DecodeOptions, Shown, Tools, probe, scan};
use parallax_serving::{Failure, FailureKind};
use parallax_stereo::{Plane, Rgb};
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
    fn passes(&mut self, frame: &Frame, number: u64, seconds: f64) -> Result<(), Failure>;

    /// That frame was looked at: red, green and blue, 0 to 1.
    ///
    /// # Errors
    /// Whatever ends the look.
    fn looked(&mut self, look: &Look, rgb: &[Plane; 3]) -> Result<(), Failure>;
}

/// Counts the frames that were looked at.
struct Counting<'a>(u64, &'a dyn Fn(u64));

impl Watch for Counting<'_> {
    fn passes(&mut self, _: &Frame, _: u64, _: f64) -> Result<(), Failure> {
        Ok(())
    }

    fn looked(&mut self, _: &Look, _: &[Plane; 3]) -> Result<(), Failure> {
        self.0 += 1;
        (self.1)(self.0);
        Ok(())
    }
}

/// Looks at the film at `path`. `report` is told how many frames were looked at.
///
/// # Errors
/// As [`look_with`].
pub fn look(
    tools: &Tools,
    path: &Path,
    manner: Manner,
    model: &Embedder,
    cancel: &CancellationToken,
    report: &dyn Fn(u64),
) -> Result<Looks, Failure> {
    look_with(tools, path, manner, model, cancel, &mut Counting(0, report))
}

/// Looks at the film at `path`, and shows `watch` every frame.
///
/// # Errors
/// `Invalid` when it is no film, or more than [`MOST_FRAMES`] frames would be looked at; `Cancelled`; `Internal`;
/// as `watch` says.
pub fn look_with(
    tools: &Tools,
    path: &Path,
    manner: Manner,
    model: &Embedder,
    cancel: &CancellationToken,
    watch: &mut dyn Watch,
) -> Result<Looks, Failure> {
    let told = |error: parallax_media::Error| failure(&error, path);
    let media = probe(tools, path, cancel).map_err(told)?;
    let packets = scan(tools, &media, cancel).map_err(told)?;
    watch.begins(packets.shown());
    let film = Shown::open(tools, &media, &packets, &packets, DecodeOptions::default(), cancel);
    let mut film = film.map_err(told)?;
    let (format, base) = (film.decoder().format().clone(), film.decoder().time_base());
    let rgb = Rgb::of(&format);
    let rgb = rgb.map_err(|error| Failure::new(FailureKind::Invalid, error.to_string()))?;
    let (mut sampler, mut first, mut frames) = (Sampler::new(manner.fps), None, Vec::new());
    for (frame, number) in film.by_ref().zip(0..) {
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
            watch.looked(&look, &channels.0)?;
            frames.push(look);
        }
    }
    if frames.is_empty() {
        return Err(Failure::new(FailureKind::Invalid, "the film has no frames"));
    }
    let damage = film.decoder().damage().lines();
    let size = (format.width as usize, format.height as usize);
    Ok(Looks { frames, size, source_fps: media.video.rate.fps(), damage })
}

fn too_many(fps: f64) -> Failure {
    let message = format!(
        "{fps}: of this film more than {MOST_FRAMES} frames would be looked at; ask for fewer"
    );
    Failure::field("fps", message)
}
