//! Joining segment results into the final file, with everything else that the source holds.
//!
//! The results' pictures and the source's sound are copied packet by packet. Each result starts at
//! the presentation time of its first frame in the source, found by counting frames, so that
//! rounding does not accumulate and a variable rate stays in step with the sound.

mod audit;
mod candidate;
mod captions;
mod decide;
mod delay;
mod edits;
mod join;
mod loss;
mod mux_plan;
mod part;
mod streams;
mod tags;
mod trial;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use parallax_frame::TimeBase;
use tokio_util::sync::CancellationToken;

use crate::child;
use crate::declare::{Marks, mark_mp4};
use crate::error::{Error, Kind, Result, show_path};
use crate::excerpt::{Excerpt, excerpt};
use crate::media::{Media, Stream};
use crate::output::Partial;
use crate::packets::Packets;
use crate::probe::probe;
use crate::programs::{Tools, file_url};
use crate::scan::scan;
use crate::seconds::seconds;
use crate::stereo_mode::Declaration;
use crate::window::Window;

pub use loss::Loss;
pub use mux_plan::MuxPlan;
pub use streams::{Container, Dropped, Kept};
pub use trial::Scratch;

/// How to join.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AssembleOptions {
    /// What the pictures hold, for players to know. Defaults to a flat view.
    pub declaration: Declaration,
    /// Indices of the source's streams that are not wanted.
    pub without: BTreeSet<u32>,
    /// What of the source the results are. Defaults to all of it.
    pub excerpt: Excerpt,
}

/// What the final file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// Frames of video.
    pub frames: u64,
    /// Streams of the source that were kept, and how.
    pub kept: Vec<Kept>,
    /// Streams of the source that were left out, and why.
    pub dropped: Vec<Dropped>,
    /// What else of the source is not in it, and why.
    pub losses: Vec<Loss>,
    /// Captions inside the source's pictures became a stream of text.
    pub captions: bool,
    /// What a user should know: timing that could not be kept exactly.
    pub warnings: Vec<String>,
}

/// Joins `results`, in order, with the sound, subtitles, chapters and tags of the file at
/// `source`, into `out`: Matroska when its name ends in `.mkv`, else MP4. What becomes of each stream
/// is what [`MuxPlan::decide`] says.
///
/// # Errors
/// `Input` when a result is missing frames it promises or results differ in format; `Space`; `Io`;
/// `Tool`; `Cancelled`.
pub fn assemble(
    tools: &Tools,
    results: &[PathBuf],
    source: &Path,
    out: &Path,
    options: AssembleOptions,
    cancel: &CancellationToken,
) -> Result<Assembled> {
    let Some(first) = results.first() else {
        return Err(Error::new(Kind::Input, format!("{}: no segments", show_path(out))));
    };
    let mut media = probe(tools, source, cancel)?;
    let left_out = media.leave_out(&options.without);
    let packets = excerpt(scan(tools, &media, cancel)?, &media, &options.excerpt)?;
    let window = packets.window();
    let container = Container::of(out);
    let parts = join::read(tools, results, cancel)?;
    let timeline = join::timeline(&media, &packets, &parts);
    let folder = folder_of(out);
    let mut plan =
        MuxPlan::decide(tools, &media, Some(container), Scratch { sample: first, folder }, cancel)?;
    plan.begin_at(window, tools, &media);
    let captions = read_captions(tools, &media, &mut plan, (folder, window), cancel)?;
    // Of two for one stream the first counts.
    let mut clocks = packets.clocks.clone();
    clocks.extend(delay::shifts(tools, &media, &plan, folder, cancel)?);

    let list = join::write_list(&parts, &timeline, out)?;
    let partial = Partial::create(out)?;
    let inputs = Inputs {
        list: &list.path(),
        source,
        bytes: media.bytes.saturating_add(bytes(results)),
        captions: captions.as_ref().map(|text| text.path()),
        window,
    };
    let mut command = inputs.command(tools, &media, timeline.start_us);
    plan.inputs(&media, tools, &[], &mut command);
    let chapters = inputs.chapters(&media, &timeline, folder)?;
    if let Some(chapters) = &chapters {
        command.args(["-f", "ffmetadata", "-i"]).arg(file_url(&chapters.path()));
    }
    plan.arguments(&media, tools, (captions.is_some(), window), &mut command);
    if chapters.is_some() {
        let input = 2 + usize::from(captions.is_some()) + plan.input_count();
        command.arg("-map_chapters").arg(input.to_string());
    }
    part::cut_to(window, &plan, &media, &mut command);
    if container == Container::Mp4 {
        // Matroska stores no lengths of frames.
        timeline.arguments(&mut command);
    }
    plan.continue_clocks(&media, &clocks, window, &mut command);
    if let (Container::Matroska, Some(mode)) = (container, options.declaration.stereo) {
        command.arg("-metadata:s:v:0").arg(format!("stereo_mode={}", mode.matroska()));
    }
    command.arg(file_url(partial.path()));
    let ended = inputs.join(&mut command, tools, cancel)?;
    ended.check(&format!("assemble {}", show_path(out)), Kind::Input)?;

    if container == Container::Mp4 {
        let written = probe(tools, partial.path(), cancel).map_err(Error::of_own_file)?;
        let marks = Marks {
            declaration: options.declaration,
            tags: tags::missing(&media, &written.tags),
            disabled: audit::unasked(&media, &plan, &written),
        };
        mark_mp4(partial.path(), &marks).map_err(Error::of_own_file)?;
    }
    let mut warnings = timeline.warnings.clone();
    let found = probe(tools, partial.path(), cancel).map_err(Error::of_own_file)?;
    let frames = check(tools, &found, container, &timeline, &mut warnings, cancel)?;
    partial.finish()?;
    let before = part::subtitles_before(window, &plan.kept, tools, &media, cancel)?;
    media.chapters = window.chapters(&media);
    plan.losses.extend(before);
    plan.losses.extend(audit::losses(&media, &plan, &found));
    Ok(concluded(plan, left_out, frames, warnings))
}

/// What is told of a finished film.
fn concluded(
    plan: MuxPlan,
    left_out: Vec<Stream>,
    frames: u64,
    warnings: Vec<String>,
) -> Assembled {
    let MuxPlan { kept, mut dropped, captions, losses, .. } = plan;
    dropped.extend(left_out.into_iter().map(|stream| Dropped {
        index: stream.index,
        codec: stream.codec,
        reason: "it was not wanted".to_owned(),
    }));
    Assembled { frames, kept, dropped, losses, captions, warnings }
}

/// What a film is joined from.
struct Inputs<'a> {
    /// The list of results.
    list: &'a Path,
    source: &'a Path,
    /// Of the results and the source.
    bytes: u64,
    /// Captions as a file of their own.
    captions: Option<PathBuf>,
    /// What the pictures were cut to.
    window: Window,
}

/// The size of files; whoever reads one that is not there says so.
fn bytes(files: &[PathBuf]) -> u64 {
    files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|meta| meta.len()).sum()
}

impl Inputs<'_> {
    /// ffmpeg with the inputs in this order, whose pictures begin at `start_us`.
    fn command(&self, tools: &Tools, media: &Media, start_us: i64) -> Command {
        let mut command = tools.ffmpeg_copying(self.bytes);
        // Our own list names our own links; what they lead to must still be an allowed container.
        let demuxers = format!("concat,{}", crate::limits::DEMUXERS);
        command.args(["-protocol_whitelist", "file,pipe", "-format_whitelist", &demuxers]);
        // With -copyts and explicit offsets both inputs keep their distance, whatever start ffmpeg
        // would give them from the streams that happen to be used.
        let origin_us = self.window.origin_us(media);
        command.args(["-copyts", "-itsoffset", &seconds(start_us - origin_us)]);
        command.args(["-f", "concat", "-safe", "1", "-i"]).arg(file_url(self.list));
        tools.guard(&mut command);
        self.window.input(media, &mut command);
        command.arg("-i").arg(file_url(self.source));
        if let Some(text) = &self.captions {
            command.args(["-itsoffset", &seconds(-origin_us), "-i"]).arg(file_url(text));
        }
        command
    }

    /// Runs what [`Inputs::command`] began.
    fn join(
        &self,
        command: &mut Command,
        tools: &Tools,
        cancel: &CancellationToken,
    ) -> Result<child::Ended> {
        // Its last step writes the whole file once more.
        let patience = tools.patience(self.bytes.saturating_mul(2));
        child::run(command, cancel, patience, |_| Ok(()))
    }

    /// The chapters of a part of the film; `None` where the source's own are taken.
    fn chapters(
        &self,
        media: &Media,
        timeline: &join::Timeline,
        folder: &Path,
    ) -> Result<Option<part::Chapters>> {
        if self.window.is_whole() || media.chapters.is_empty() {
            return Ok(None);
        }
        let all_us = media.duration_seconds.map(|seconds| (seconds * 1e6) as i64);
        let start_us = self.window.origin_us(media) - media.start_us;
        let last_us = timeline.times_us.last().copied().unwrap_or(0);
        let end_us = self.window.length_us(media).or(all_us.map(|all| all - start_us));
        let chapters = self.window.chapters(media);
        part::Chapters::write(&chapters, end_us.unwrap_or(last_us), folder).map(Some)
    }
}

fn folder_of(out: &Path) -> &Path {
    match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The captions that `plan` promises, as text; what cannot be read of them is a loss, no failure.
fn read_captions(
    tools: &Tools,
    media: &Media,
    plan: &mut MuxPlan,
    (folder, window): (&Path, Window),
    cancel: &CancellationToken,
) -> Result<Option<captions::Text>> {
    if !plan.captions {
        return Ok(None);
    }
    let text = match captions::read(tools, media, (folder, window), cancel) {
        Err(error) if matches!(error.kind(), Kind::Cancelled | Kind::Space) => return Err(error),
        Err(error) => {
            let what = "captions inside the pictures".to_owned();
            plan.losses.push(Loss { what, reason: error.to_string() });
            None
        }
        Ok(text) => text,
    };
    plan.captions = text.is_some();
    Ok(text)
}

impl Container {
    /// By the name of the file to make.
    fn of(out: &Path) -> Self {
        match out.extension() {
            Some(name) if name.eq_ignore_ascii_case("mkv") => Container::Matroska,
            _ => Container::Mp4,
        }
    }

    fn arguments(self, command: &mut Command, tools: &Tools, unit: TimeBase) {
        match self {
            Container::Mp4 => {
                let timescale = unit.den.min(i32::MAX as u32).to_string();
                command.args(["-f", "mp4", "-movflags", "+faststart"]);
                command.args(["-video_track_timescale", &timescale]);
                // A late start is stored in the movie's unit, by default a coarse 1/1000 s.
                if tools.version.at_least(5, 0) && unit.den >= 1000 && unit.den <= 1_000_000 {
                    command.args(["-movie_timescale", &timescale]);
                }
            }
            Container::Matroska => {
                command.args(["-f", "matroska"]);
            }
        }
    }
}

/// Counts the frames of the finished file and compares their times with the timeline's.
fn check(
    tools: &Tools,
    media: &Media,
    container: Container,
    timeline: &join::Timeline,
    warnings: &mut Vec<String>,
    cancel: &CancellationToken,
) -> Result<u64> {
    let packets: Packets = scan(tools, media, cancel).map_err(Error::of_own_file)?;
    let found = packets.frame_times().unwrap_or_default();
    if found.len() != timeline.times_us.len() {
        let (found, expected) = (found.len(), timeline.times_us.len());
        let what = format!("the joined video has {found} frames; expected are {expected}");
        return Err(Error::new(Kind::Output, what));
    }
    // One microsecond of rounding, and Matroska's own unit of a millisecond.
    let unit_us = media.video.time_base.seconds(1_000_000) as i64;
    let tolerance = 1 + if container == Container::Matroska { 1000 } else { unit_us / 2 };
    let us = |pts: i64| media.video.time_base.rescale(pts, 1_000_000);
    let first = found.first().copied().unwrap_or(0);
    let moved = found
        .iter()
        .zip(&timeline.times_us)
        .filter(|(pts, expected)| (us(**pts) - us(first) - **expected).abs() > tolerance)
        .count();
    if moved > 0 {
        warnings.push(format!("{moved} frames are not at their source's time"));
    }
    Ok(found.len() as u64)
}
