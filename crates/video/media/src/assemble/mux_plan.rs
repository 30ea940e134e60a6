//! What the final file will hold, decided before its first frame and done after its last.
//!
//! One function decides, for the check before a conversion and for the joining after it: every way
//! that [`super::streams`] knows for a stream is tried on the real source and the real muxer
//! ([`super::trial`]) until one is taken.

use std::path::Path;
use std::process::Command;

use tokio_util::sync::CancellationToken;

use super::captions;
use super::edits::{Cut, Cuts};
use super::streams::{Container, Cost, Dropped, Kept, Treatment, Ways, shown, ways};
use super::tags;
use super::trial::Trial;
use crate::error::{Error, Result, escape};
use crate::media::{Media, Stream, StreamKind};
use crate::programs::Tools;
use crate::stream_clock::Clock;

/// Something of the source that does not reach the final file, other than a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What it is.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// What becomes of everything in a source but its pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MuxPlan {
    /// The container of the final file.
    pub container: Container,
    /// Why it is Matroska, when nobody asked for that: the streams that MP4 does not hold as well.
    pub because: Vec<String>,
    /// Streams that are kept, in their order behind the pictures.
    pub kept: Vec<Kept>,
    /// Streams that are left out, and why.
    pub dropped: Vec<Dropped>,
    /// What else is left out, as far as the source's headers and first pictures tell.
    pub losses: Vec<Loss>,
    /// Captions inside the pictures become a stream of text.
    pub captions: bool,
    /// The first frame's timecode.
    timecode: Option<String>,
    /// Sounds that are not played as they are stored.
    cuts: Vec<Cut>,
}

/// Where a plan is tried.
#[derive(Debug, Clone, Copy)]
pub struct Scratch<'a> {
    /// A short film whose pictures are like those of the final file: see [`crate::sample`].
    pub sample: &'a Path,
    /// A folder for passing files.
    pub folder: &'a Path,
}

/// A stream and how far its ways were tried.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) stream: &'a Stream,
    ways: Ways,
    /// Its packets hold what is not to be heard.
    cut: bool,
    /// It holds the titles of chapters, which the final file gets anyway.
    names_chapters: bool,
    tried: usize,
    /// What the muxer or an encoder said of the first way.
    refused: Option<String>,
}

impl MuxPlan {
    /// Decides about the streams of `media` in `container`; without one it is MP4, or Matroska when
    /// more of a stream is kept there.
    ///
    /// # Errors
    /// `Input` when the streams that are accepted one by one are refused together; `Space`; `Io`;
    /// `Tool`; `Cancelled`.
    pub fn decide(
        tools: &Tools,
        media: &Media,
        container: Option<Container>,
        scratch: Scratch<'_>,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let seen = captions::in_pictures(tools, media, cancel)?;
        let of = |container| {
            let trial = Trial { tools, media, scratch, cancel };
            settled(&trial, container, &seen)
        };
        let first = of(container.unwrap_or(Container::Mp4))?;
        let whole = first.1.iter().all(|candidate| candidate.cost() == Cost::Nothing);
        if container.is_some() || whole {
            return Ok(first.0);
        }
        let mut second = of(Container::Matroska)?;
        let better = first.1.iter().zip(&second.1).filter(|(mp4, other)| other.cost() < mp4.cost());
        let better = better.map(|(mp4, _)| format!("{} ({})", mp4.stream.index, shown(mp4.stream)));
        second.0.because = better.collect();
        Ok(if second.0.because.is_empty() { first.0 } else { second.0 })
    }

    /// Options that continue the clocks of kept streams where the source's jumps, and forget lengths
    /// that are none.
    pub(super) fn continue_clocks(&self, media: &Media, clocks: &[Clock], command: &mut Command) {
        for (place, kept) in (1..).zip(&self.kept).filter(|(_, kept)| !kept.cut) {
            let clock = clocks.iter().find(|clock| clock.stream == kept.index);
            if let Some(clock) = clock {
                // By number of packet, so that none may be missing.
                command.arg(format!("-copyinkf:{place}"));
                let unit = if self.container == Container::Mp4 { "1/SR" } else { "0.001" };
                command.arg(format!("-bsf:{place}")).arg(clock.filter(unit));
            } else if media.container == "ogg" && is_sound(media, kept.index) {
                // Where sound ends inside a packet, ffmpeg reads the length of that one as what is
                // missing, below 0 and without a sign. In no unit is a packet of sound as long.
                let length = "if(lt(DURATION\\,16777216)\\,DURATION\\,0)";
                let filter = format!("setts=pts=PTS:dts=DTS:duration={length}");
                command.arg(format!("-bsf:{place}")).arg(filter);
            }
        }
    }

    /// The inputs that [`Self::arguments`] takes besides the pictures, the source and the captions;
    /// `limit` goes before each.
    pub(super) fn inputs(&self, media: &Media, tools: &Tools, limit: &[&str], to: &mut Command) {
        self.cut().for_each(|(_, _, cut)| cut.inputs(tools, &media.path, limit, to));
    }

    /// Places in the final file of sounds that are cut, what they become, and how.
    fn cut(&self) -> impl Iterator<Item = (usize, &Kept, &Cut)> {
        let kept = (1..).zip(&self.kept).filter(|(_, kept)| kept.cut);
        kept.filter_map(|(place, kept)| {
            let cut = self.cuts.iter().find(|cut| cut.stream == kept.index)?;
            Some((place, kept, cut))
        })
    }

    /// Output options; the pictures are input 0, the source is input 1, input 2 is the text of
    /// captions when `with_captions`, and then come those of [`Self::inputs`].
    pub(super) fn arguments(
        &self,
        media: &Media,
        tools: &Tools,
        with_captions: bool,
        command: &mut Command,
    ) {
        command.args(["-map", "0:v:0", "-c", "copy"]);
        let main = media.stream(media.video.index);
        if let Some(main) = main {
            for (name, value) in tags::of_stream(main) {
                command.args(["-metadata:s:0", &format!("{name}={value}")]);
            }
            self.describe(command, 0, main);
        }
        if let Some(timecode) = &self.timecode {
            command.args(["-metadata:s:0", &format!("timecode={timecode}")]);
            if self.container == Container::Mp4 {
                command.args(["-write_tmcd", "1"]);
            }
        }
        let mut input = if with_captions { 3 } else { 2 };
        for (place, kept, cut) in self.cut() {
            let encoder = kept.converted_to.unwrap_or_default();
            command.arg("-filter_complex").arg(cut.graph(input, &format!("cut{place}"), encoder));
            input += cut.input_count();
        }
        for (place, kept) in (1..).zip(&self.kept) {
            if kept.cut {
                command.arg("-map").arg(format!("[cut{place}]"));
                // Streams of filters have no tags of their own.
                for (name, value) in media.stream(kept.index).into_iter().flat_map(tags::of_stream)
                {
                    command.arg(format!("-metadata:s:{place}")).arg(format!("{name}={value}"));
                }
            } else {
                command.arg("-map").arg(format!("1:{}", kept.index));
            }
            if let Some(codec) = kept.converted_to {
                command.arg(format!("-c:{place}")).arg(codec);
                if codec == "aac" {
                    command.arg(format!("-b:{place}")).arg("320k");
                }
            }
            if let Some(stream) = media.stream(kept.index) {
                self.describe(command, place, stream);
            }
        }
        if with_captions {
            let place = self.kept.len() + 1;
            command.args([
                "-map",
                "2:0",
                &format!("-c:{place}"),
                captions::encoder(self.container),
            ]);
            dispositions(command, place, &["hearing_impaired".to_owned()]);
            if let Some(language) = main.and_then(|main| main.language.as_ref()) {
                command.arg(format!("-metadata:s:{place}")).arg(format!("language={language}"));
            }
        }
        command.args(["-map_metadata", "1", "-map_chapters", "1"]);
        command.args(["-strict", "-2", "-max_muxing_queue_size", "9999"]);
        self.container.arguments(command, tools, media.video.time_base);
    }

    /// Marks and the name of the stream at `place` in the final file.
    fn describe(&self, command: &mut Command, place: usize, stream: &Stream) {
        dispositions(command, place, &stream.dispositions);
        let name = tags::handler(stream).filter(|_| self.container == Container::Mp4);
        if let Some(name) = name {
            command.arg(format!("-metadata:s:{place}")).arg(format!("handler_name={name}"));
        }
    }

    /// The plan with these streams, as far as they are decided.
    pub(super) fn with(&self, candidates: &[Candidate<'_>]) -> Self {
        let mut plan = self.clone();
        for candidate in candidates {
            let (index, codec) = (candidate.stream.index, shown(candidate.stream));
            match candidate.treatment() {
                Some(way) => {
                    let (converted_to, cut) = (way.encoder, candidate.cut);
                    let refused = candidate.copy_refused();
                    plan.kept.push(Kept { index, codec, converted_to, cut, refused });
                }
                None if plan.says_timecode(candidate.stream) || candidate.names_chapters => {}
                None => {
                    let reason = candidate.reason();
                    plan.dropped.push(Dropped { index, codec, reason });
                }
            }
        }
        plan
    }

    /// Whether `stream` is a timecode that the final file has a track of its own for.
    fn says_timecode(&self, stream: &Stream) -> bool {
        let data = stream.kind == StreamKind::Other && self.timecode.is_some();
        data && tags::tag(&stream.tags, "timecode") == self.timecode.as_ref()
    }
}

impl<'a> Candidate<'a> {
    fn new(media: &Media, stream: &'a Stream, plan: &MuxPlan) -> Self {
        let data = stream.kind == StreamKind::Other && stream.codec == "bin_data";
        let names_chapters = data && !media.chapters.is_empty();
        let cut = plan.cuts.iter().any(|cut| cut.stream == stream.index);
        let mut ways = ways(stream, plan.container, cut);
        if let Some(seconds) = goes_on(media, stream) {
            ways.otherwise = format!(
                "the recording goes on in it from {seconds:.3} s, where the pictures that are converted \
                 end: a copy of it can be converted as a film of its own, such as by ffmpeg -map 0:{}",
                stream.index
            );
        }
        Self { stream, ways, cut, names_chapters, tried: 0, refused: None }
    }

    pub(super) fn treatment(&self) -> Option<Treatment> {
        self.ways.treatments.get(self.tried).copied()
    }

    /// The way that was tried does not work: on to the next one.
    pub(super) fn refuse(&mut self, said: String) {
        self.tried += 1;
        self.refused.get_or_insert(said);
    }

    fn cost(&self) -> Cost {
        self.treatment().map_or(Cost::All, |way| way.cost)
    }

    /// What was said against copying, where that was the first way.
    fn copy_refused(&self) -> Option<String> {
        let copied = self.ways.treatments.first().is_some_and(|way| way.encoder.is_none());
        self.refused.clone().filter(|said| copied && !said.is_empty())
    }

    fn reason(&self) -> String {
        match &self.refused {
            Some(said) if !said.is_empty() => format!("{} ({said})", self.ways.otherwise),
            _ => self.ways.otherwise.clone(),
        }
    }
}

/// The plan for `container`, tried, and what it costs.
fn settled<'a>(
    trial: &Trial<'a>,
    container: Container,
    seen: &[String],
) -> Result<(MuxPlan, Vec<Candidate<'a>>)> {
    let media = trial.media;
    let Cuts { cuts, losses: uncut } = Cut::all(media, container)?;
    let mut plan = MuxPlan {
        container,
        because: Vec::new(),
        kept: Vec::new(),
        dropped: Vec::new(),
        losses: losses(media, seen).into_iter().chain(uncut).collect(),
        captions: seen.iter().any(|kind| kind == captions::KIND),
        timecode: timecode(media),
        cuts,
    };
    if let Some(timecode) = &plan.timecode
        && trial.attempt(&plan)?.is_some()
    {
        let what = format!("the timecode {}", escape(timecode, 40));
        let reason = format!("{} does not hold it at this frame rate", container.name());
        plan.losses.push(Loss { what, reason });
        plan.timecode = None;
    }
    let others = media.streams.iter().filter(|stream| stream.index != media.video.index);
    let mut candidates: Vec<Candidate<'a>> =
        others.map(|stream| Candidate::new(media, stream, &plan)).collect();
    trial.settle(&plan, &mut candidates)?;
    // Refusals say something of the streams only when the pictures alone are taken.
    if candidates.iter().any(|candidate| candidate.refused.is_some())
        && let Some(said) = trial.attempt(&plan)?
    {
        let what = format!("{} does not take the pictures: {said}", container.name());
        return Err(Error::input(&media.path, what));
    }
    Ok((plan.with(&candidates), candidates))
}

/// What is lost besides streams, whatever the container.
fn losses(media: &Media, seen: &[String]) -> Vec<Loss> {
    let mut losses = Vec::new();
    let mut lose = |what: &str, reason: &str| {
        losses.push(Loss { what: what.to_owned(), reason: reason.to_owned() });
    };
    if has_alpha(&media.video.pixel_name) {
        lose("transparency", "the result is opaque: its pictures are taken as they are below it");
    }
    if media.programs > 1 {
        let what = format!("the grouping of streams in {} programs", media.programs);
        lose(&what, "no container of a result has programs");
    }
    let of_headers = media.stream(media.video.index).map_or(&[][..], |main| &main.side_data);
    let mut kinds: Vec<&String> = of_headers.iter().chain(seen).collect();
    kinds.dedup();
    for kind in kinds {
        match kind.as_str() {
            "Spherical Mapping" => lose("the mark of a sphere", "the result's views are its own"),
            "ICC profile" | "ICC Profile" => lose("the ICC profile", "video has no place for it"),
            "Active format description" => {
                lose("the active format description", "it describes the flat picture");
            }
            "SMPTE 12-1 timecode" => {
                lose("timecodes inside the pictures", "the pictures are encoded anew");
            }
            _ => {}
        }
    }
    losses
}

/// Microseconds before the end of the main video from which another one counts as what follows it.
const FOLLOWS_US: i64 = 200_000;

/// When the video `stream` takes over from the main one, in seconds after the start of the film:
/// recorders change their streams in the middle.
fn goes_on(media: &Media, stream: &Stream) -> Option<f64> {
    let (_, end) = media.stream(media.video.index)?.span_us?;
    let (start, _) = stream.span_us.filter(|_| stream.kind == StreamKind::Video)?;
    (start >= end - FOLLOWS_US).then_some((start - media.start_us) as f64 / 1e6)
}

fn is_sound(media: &Media, index: u32) -> bool {
    media.stream(index).is_some_and(|stream| stream.kind == StreamKind::Audio)
}

fn has_alpha(pixels: &str) -> bool {
    ["yuva", "rgba", "argb", "bgra", "abgr", "gbrap", "ya8", "ya16"]
        .iter()
        .any(|with_alpha| pixels.starts_with(with_alpha))
}

/// The timecode of the first frame: of the pictures, of a track of timecodes, or of the file.
fn timecode(media: &Media) -> Option<String> {
    let of = |stream: &Stream| tags::tag(&stream.tags, "timecode").cloned();
    let main = media.stream(media.video.index).and_then(of);
    let track = || media.streams_of(StreamKind::Other).find_map(of);
    let found = main.or_else(track).or_else(|| tags::tag(&media.tags, "timecode").cloned())?;
    let letters = |c: char| c.is_ascii_digit() || matches!(c, ':' | ';' | '.');
    (found.len() <= 16 && found.chars().all(letters)).then_some(found)
}

pub(super) fn dispositions(command: &mut Command, place: usize, marks: &[String]) {
    let marks = if marks.is_empty() { "0".to_owned() } else { marks.join("+") };
    command.arg(format!("-disposition:{place}")).arg(marks);
}
