//! One clip: decode, engine, pack, encode, each at its own pace over short queues.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::declare::packing;
use crate::error::Error;
use crate::lead_in::{Part, Reader, Surroundings};
use parallax_frame::{Frame, VideoFormat};
use parallax_media::{
    Codec, Damage, DecodeOptions, EncodeSettings, Encoder, Hdr, Media, Packets, Shown, Timing,
    Tools, probe, scan,
};
use parallax_stereo::{
    Clip, Engine, Error as StereoError, Layout, Run, StereoPair, compose_as, shaped_format,
};
use tokio_util::sync::CancellationToken;

/// Frames or pairs that wait between two steps.
const QUEUE: usize = 4;

/// What to make of a clip.
#[derive(Debug, Clone)]
pub struct Conversion<'a> {
    /// The source clip.
    pub input: &'a Path,
    /// The result (MP4); appears whole or not at all.
    pub output: &'a Path,
    /// How the two views share a frame.
    pub layout: Layout,
    /// Encoder settings; sample aspect, HDR metadata and packing marks follow from source and
    /// layout.
    pub encode: EncodeSettings,
    /// What happens to the source's pictures first.
    pub decode: DecodeOptions,
    /// Chroma at luma resolution in an anaglyph, whatever the source has.
    pub full_chroma: bool,
    /// The clips around this one, as far as the engine looks: see [`crate::LeadIn`].
    pub around: &'a Surroundings,
}

/// How far a conversion is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Frames handed to the encoder.
    pub frames: u64,
    /// Frames in the clip.
    pub total: u64,
    /// Frames per second since the start.
    pub fps: f64,
}

/// What a conversion made.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Frames written.
    pub frames: u64,
    /// Format of the result.
    pub format: VideoFormat,
    /// Wall time.
    pub elapsed: Duration,
    /// What was mended in the clip, on its own clock.
    pub damage: Damage,
}

/// What travels to the engine.
enum Given {
    /// A frame from before the clip.
    Before(Frame),
    /// A frame of the clip.
    Frame(Frame),
    /// A frame from after the clip.
    After(Frame),
}

/// What travels to the encoder. Only `End` makes the output a file: a queue that closes without
/// it had a failure upstream.
enum Step {
    Pair(StereoPair),
    End,
}

/// Converts one clip. Every output frame has the time of its source frame, in the source's unit;
/// a clip whose first time is negative is shifted to 0.
///
/// # Errors
/// `Media` for the input and the output, `Engine` for everything in between; see
/// [`Error::is_permanent`] and [`Error::is_cancelled`].
pub fn convert_segment(
    tools: &Tools,
    conversion: &Conversion<'_>,
    engine: &dyn Engine,
    run: &Run,
    progress: &dyn Fn(Progress),
) -> Result<Report, Error> {
    let started = Instant::now();
    // Of this clip alone.
    let tools = &tools.clone().with_own_damage();
    // Cancelled when one step fails, so that the others stop too.
    let cancel = run.cancel.child_token();
    let _stop_children = cancel.clone().drop_guard();
    let media = probe(tools, conversion.input, &cancel)?;
    for lost in media.without_dynamic_hdr()? {
        tracing::warn!(lost, "the clip's metadata");
    }
    let packets = scan(tools, &media, &cancel)?;
    let total = packets.shown();
    let (width, height) = conversion.decode.size(&media);
    let format = VideoFormat { width, height, ..VideoFormat::clone(&media.video.format) };
    let clip = Clip { format: Arc::new(format), rate: media.video.rate };
    let mut run = Run { cancel: cancel.clone(), ..run.clone() };
    run.rendering.depth_picture = conversion.layout == Layout::Rgbd;
    let neighbours =
        Reader { tools, format: &clip.format, decode: conversion.decode, cancel: &cancel };
    let before = neighbours.before(&conversion.around.before)?;
    let after = match (&conversion.around.after, engine.reach(&run).ahead) {
        (Some(file), frames @ 1..) => neighbours.after(file, frames)?,
        _ => None,
    };
    let shape = conversion.decode.sample_aspect(&media);
    let (format, aspect) =
        shaped_format(conversion.layout, &clip.format, shape, conversion.full_chroma);
    let settings = settings(conversion, &media, aspect);
    let timing = Timing { time_base: media.video.time_base, rate: media.video.rate };
    let output_format = Arc::new(format);
    let encoder =
        Encoder::create(tools, conversion.output, &output_format, timing, &settings, &cancel)?;

    let written = AtomicU64::new(0);
    let report_progress = || {
        let frames = written.load(Ordering::Relaxed);
        let fps = frames as f64 / started.elapsed().as_secs_f64().max(1e-6);
        progress(Progress { frames, total, fps });
    };
    let (frame_sender, frames) = sync_channel(QUEUE);
    let (pair_sender, pairs) = sync_channel(QUEUE);
    let (engine_result, encoder_result) = std::thread::scope(|scope| {
        let around = (before.as_slice(), after.as_ref());
        let reading = Reading { tools, media: &media, packets: &packets, conversion, around };
        let stop = cancel.clone();
        scope.spawn(move || {
            // Who takes no more frames has a reason of his own.
            let _ = reading.feed(&frame_sender, &stop);
        });
        let stop = cancel.clone();
        let (layout, written) = (conversion.layout, &written);
        let packing = Packing { layout, format: Arc::clone(&output_format), shape };
        let encoding = scope.spawn(move || {
            let result = encode(encoder, &packing, &pairs, written);
            if result.is_err() {
                stop.cancel();
            }
            result
        });
        let result = infer(engine, &clip, &run, frames, &pair_sender, &report_progress);
        if result.is_err() {
            cancel.cancel();
        }
        drop(pair_sender);
        let crashed = || Err(StereoError::Failed("the encoding thread crashed".into()).into());
        (result, encoding.join().unwrap_or_else(|_| crashed()))
    });
    let frames = of_both(engine_result, encoder_result)?;
    report_progress();
    let format = VideoFormat::clone(&output_format);
    let damage = tools.damage.so_far();
    Ok(Report { frames, format, elapsed: started.elapsed(), damage })
}

fn settings(conversion: &Conversion<'_>, media: &Media, aspect: (u32, u32)) -> EncodeSettings {
    let mut settings = conversion.encode.clone();
    settings.sample_aspect = aspect;
    settings.packing = packing(conversion.layout);
    settings.hdr = media.video.hdr;
    if settings.codec == Codec::X264 && settings.hdr != Hdr::default() {
        // Decoders read no HDR metadata in H.264.
        settings.codec = Codec::X265;
    }
    settings
}

/// Nobody takes any more frames.
struct Gone;

type Frames = SyncSender<Result<Given, parallax_media::Error>>;

/// What is read: one file after the other, so that no more than one decoder takes up memory.
struct Reading<'a> {
    tools: &'a Tools,
    media: &'a Media,
    packets: &'a Packets,
    conversion: &'a Conversion<'a>,
    /// What comes before and after.
    around: (&'a [Part], Option<&'a Part>),
}

impl Reading<'_> {
    /// Feeds what comes before the clip, the clip itself and what comes after. If its first time is
    /// negative, it becomes 0.
    fn feed(&self, frames: &Frames, cancel: &CancellationToken) -> Result<(), Gone> {
        // Times of other files mean nothing here; what counts is that they are in order.
        let timed = |mut frame: Frame, time: &mut i64| {
            frame.pts = *time;
            *time += 1;
            frame
        };
        let (before, after) = self.around;
        let mut time = i64::MIN / 2;
        for part in before {
            let given = |frame: Frame| Given::Before(timed(frame, &mut time));
            feed(part.open(self.tools, cancel), frames, given)?;
        }
        let mut shift = None;
        let shifted = |mut frame: Frame| {
            frame.pts -= *shift.get_or_insert(frame.pts.min(0));
            Given::Frame(frame)
        };
        let options = self.conversion.decode;
        let film = Shown::open(self.tools, self.media, self.packets, self.packets, options, cancel);
        feed(film, frames, shifted)?;
        let mut time = i64::MAX / 2;
        if let Some(part) = after {
            let given = |frame: Frame| Given::After(timed(frame, &mut time));
            feed(part.open(self.tools, cancel), frames, given)?;
        }
        Ok(())
    }
}

/// Feeds every frame of a file.
fn feed(
    film: parallax_media::Result<impl Iterator<Item = parallax_media::Result<Frame>>>,
    frames: &Frames,
    mut given: impl FnMut(Frame) -> Given,
) -> Result<(), Gone> {
    match film {
        Ok(film) => {
            for frame in film {
                frames.send(frame.map(&mut given)).map_err(|_| Gone)?;
            }
            Ok(())
        }
        Err(error) => frames.send(Err(error)).map_err(|_| Gone),
    }
}

/// Runs the engine and checks that every frame comes back as a pair, in order, at its time.
fn infer(
    engine: &dyn Engine,
    clip: &Clip,
    run: &Run,
    frames: Receiver<Result<Given, parallax_media::Error>>,
    pairs: &SyncSender<Step>,
    report_progress: &dyn Fn(),
) -> Result<(), Error> {
    let mut session = engine.start(clip, run)?;
    let mut waiting = VecDeque::new();
    let forward = |waiting: &mut VecDeque<i64>, ready: Vec<StereoPair>| {
        for pair in ready {
            if waiting.pop_front() != Some(pair.left.pts) {
                let what = format!("{} gave a pair for no frame", engine.name());
                return Err(Error::Engine(StereoError::Failed(what)));
            }
            // The encoder ended early: it knows why.
            pairs.send(Step::Pair(pair)).map_err(|_| Error::Engine(StereoError::Cancelled))?;
        }
        report_progress();
        Ok(())
    };
    for frame in frames {
        if run.cancel.is_cancelled() {
            return Err(StereoError::Cancelled.into());
        }
        let ready = match frame? {
            Given::Before(frame) => {
                session.lead_in(frame)?;
                continue;
            }
            Given::Frame(frame) => {
                waiting.push_back(frame.pts);
                session.push(frame)?
            }
            Given::After(frame) => session.lead_out(frame)?,
        };
        forward(&mut waiting, ready)?;
    }
    if run.cancel.is_cancelled() {
        return Err(StereoError::Cancelled.into());
    }
    loop {
        let ready = session.finish()?;
        if ready.is_empty() {
            break;
        }
        forward(&mut waiting, ready)?;
        if run.cancel.is_cancelled() {
            return Err(StereoError::Cancelled.into());
        }
    }
    if !waiting.is_empty() {
        let what = format!("{} gave no pair for {} frames", engine.name(), waiting.len());
        return Err(StereoError::Failed(what).into());
    }
    pairs.send(Step::End).map_err(|_| StereoError::Cancelled.into())
}

/// How pairs become frames of the result.
struct Packing {
    layout: Layout,
    format: Arc<VideoFormat>,
    /// Of the source's pixels.
    shape: (u32, u32),
}

impl Packing {
    fn compose(&self, pair: &StereoPair) -> Result<Frame, StereoError> {
        compose_as(pair, self.layout, Arc::clone(&self.format), self.shape)
    }
}

/// What both steps came to: the cause, not the cancellation that it set off in the other one.
fn of_both(engine: Result<(), Error>, encoder: Result<u64, Error>) -> Result<u64, Error> {
    match (engine, encoder) {
        (Ok(()), encoder) => encoder,
        (Err(engine), Err(encoder)) if engine.is_cancelled() => Err(encoder),
        (Err(engine), _) => Err(engine),
    }
}

/// Packs and encodes; returns the number of frames.
fn encode(
    mut encoder: Encoder,
    packing: &Packing,
    pairs: &Receiver<Step>,
    written: &AtomicU64,
) -> Result<u64, Error> {
    while let Ok(step) = pairs.recv() {
        match step {
            Step::Pair(pair) => {
                let frame = packing.compose(&pair)?;
                encoder.write(&frame)?;
                written.store(encoder.frames(), Ordering::Relaxed);
            }
            Step::End => {
                let frames = encoder.frames();
                encoder.finish()?;
                return Ok(frames);
            }
        }
    }
    Err(StereoError::Cancelled.into())
}
