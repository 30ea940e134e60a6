//! What the final file will hold, and how the muxer is told.

use std::process::Command;

use super::candidate::Candidate;
use super::captions;
use super::edits::Cut;
use super::loss::Loss;
use super::streams::{Container, Dropped, Kept, shown};
use super::tags;
use crate::error::escape;
use crate::media::{Media, Stream, StreamKind};
use crate::programs::Tools;
use crate::stream_clock::Clock;
use crate::window::Window;

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
    pub(super) timecode: Option<String>,
    /// Sounds that are not played as they are stored.
    pub(super) cuts: Vec<Cut>,
}

impl MuxPlan {
    /// Options that continue the clocks of kept streams where the source's jumps, and forget lengths
    /// that are none.
    pub(super) fn continue_clocks(
        &self,
        media: &Media,
        clocks: &[Clock],
        window: Window,
        command: &mut Command,
    ) {
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
            } else if let Some(filter) = subtitle_filter(media, kept, window) {
                command.arg(format!("-bsf:{place}")).arg(filter);
            }
        }
    }

    /// The inputs that [`Self::arguments`] takes besides the pictures, the source and the captions;
    /// `limit` goes before each.
    pub(super) fn inputs(&self, media: &Media, tools: &Tools, limit: &[&str], to: &mut Command) {
        self.cut().for_each(|(_, _, cut)| cut.inputs(tools, &media.path, limit, to));
    }

    /// How many these are.
    pub(super) fn input_count(&self) -> usize {
        self.cut().map(|(_, _, cut)| cut.input_count()).sum()
    }

    /// Leaves out what is said of the film's first picture, where `window` begins at another one.
    /// What this ffmpeg cannot cut is left out.
    pub(super) fn begin_at(&mut self, window: Window, tools: &Tools, media: &Media) {
        if window.start_us.is_some() && !tools.version.at_least(5, 0) {
            let uncut = |kept: &mut Kept| {
                let subtitle = |s: &Stream| s.kind == StreamKind::Subtitle;
                kept.converted_to.is_some() && media.stream(kept.index).is_some_and(subtitle)
            };
            let reason = "only ffmpeg 5.0 and later cut it to a part of the film".to_owned();
            self.dropped.extend(self.kept.extract_if(.., uncut).map(|kept| {
                let Kept { index, codec, .. } = kept;
                Dropped { index, codec, reason: reason.clone() }
            }));
        }
        if window.start_us.is_some()
            && let Some(timecode) = self.timecode.take()
        {
            let what = format!("the timecode {}", escape(&timecode, 40));
            let reason = "it is that of a picture before the part".to_owned();
            self.losses.push(Loss { what, reason });
        }
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
        (with_captions, window): (bool, Window),
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
            let part = (
                window.start_us.map_or(0, |start| start - media.start_us),
                window.length_us(media),
            );
            let graph = cut.graph(input, &format!("cut{place}"), encoder, part);
            command.arg("-filter_complex").arg(graph);
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

/// What cuts a subtitle to `window`. What is copied goes from the screen where the part ends; what is
/// converted keeps its length there, for ffmpeg would lose the last packet in the filter. But it comes
/// from before the part's beginning, too, which muxers would begin the film with.
fn subtitle_filter(media: &Media, kept: &Kept, window: Window) -> Option<String> {
    media.stream(kept.index).filter(|stream| stream.kind == StreamKind::Subtitle)?;
    if kept.converted_to.is_some() {
        return window.start_us.map(|_| "noise=amount=0:drop=lt(pts\\,0)".to_owned());
    }
    let end = window.length_us(media)?;
    let rest = format!("max(1\\,{end}/1000000/TB-PTS)");
    Some(format!("setts=pts=PTS:dts=DTS:duration=min(DURATION\\,{rest})"))
}

fn is_sound(media: &Media, index: u32) -> bool {
    media.stream(index).is_some_and(|stream| stream.kind == StreamKind::Audio)
}

pub(super) fn dispositions(command: &mut Command, place: usize, marks: &[String]) {
    let marks = if marks.is_empty() { "0".to_owned() } else { marks.join("+") };
    command.arg(format!("-disposition:{place}")).arg(marks);
}
