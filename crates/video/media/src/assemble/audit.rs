//! What is missing in a finished file although nothing said that it would be: the source as it was
//! probed beside the result as it is probed.

use std::collections::BTreeMap;

use super::loss::Loss;
use super::mux_plan::MuxPlan;
use super::streams::Container;
use super::tags::lost;
use crate::error::escape;
use crate::media::{Media, Stream, StreamKind};

/// Microseconds by which a chapter may begin earlier or later without being told.
const CHAPTER_MOVES_US: i64 = 100_000;

/// Names the differences between `source` and `result` that `plan` does not announce.
pub(super) fn losses(source: &Media, plan: &MuxPlan, result: &Media) -> Vec<Loss> {
    let mut losses = Losses { container: plan.container, found: Vec::new() };
    for (name, value) in lost(&source.tags, &result.tags) {
        losses.add(tag(&name, &value, "the film"));
    }
    if let (Some(before), Some(after)) =
        (source.stream(source.video.index), result.stream(result.video.index))
    {
        losses.compare(before, after, "the pictures");
    }
    let mut counts = BTreeMap::new();
    for kept in &plan.kept {
        let Some(before) = source.stream(kept.index) else { continue };
        // Attachments may stand elsewhere in the order; within a kind it stays.
        let count = counts.entry(before.kind as u8).or_insert(0);
        let after = others(result, before.kind).nth(*count);
        *count += 1;
        let who = format!("stream {}", kept.index);
        match after {
            None => losses.add(format!("{who} ({})", kept.codec)),
            Some(after) => {
                if kept.converted_to.is_none()
                    && !same_codec(&before.codec, &after.codec, plan.container)
                {
                    losses.add(format!("the codec {} of {who}", before.codec));
                }
                losses.compare(before, after, &who);
            }
        }
    }
    losses.compare_chapters(source, result);
    losses.found
}

fn others(media: &Media, kind: StreamKind) -> impl Iterator<Item = &Stream> {
    media.streams_of(kind).filter(|stream| stream.index != media.video.index)
}

fn same_codec(before: &str, after: &str, container: Container) -> bool {
    let usual = |codec: &str| match codec {
        "ssa" => "ass".to_owned(),
        "srt" => "subrip".to_owned(),
        // MP4 has one name for all layers of MPEG audio; their packets say which they are.
        "mp1" | "mp2" if container == Container::Mp4 => "mp3".to_owned(),
        other => other.to_owned(),
    };
    usual(before) == usual(after)
}

fn tag(name: &str, value: &str, of: &str) -> String {
    format!("the tag {} of {of} (\"{}\")", escape(name, 80), escape(value, 60))
}

struct Losses {
    container: Container,
    found: Vec<Loss>,
}

impl Losses {
    fn add(&mut self, what: String) {
        let reason = format!("{} does not hold it as it is written here", self.container.name());
        self.found.push(Loss { what, reason });
    }

    fn compare(&mut self, before: &Stream, after: &Stream, who: &str) {
        let told = |stream: &Stream| stream.language.clone().filter(|language| language != "und");
        if let (Some(language), None) = (told(before), told(after)) {
            self.add(format!("the language {language} of {who}"));
        }
        for mark in &before.dispositions {
            if !after.dispositions.contains(mark) {
                self.add(format!("the mark \"{mark}\" of {who}"));
            }
        }
        for (name, value) in lost(&before.tags, &after.tags) {
            // A track's name in MP4, which ffprobe does not read before 6.1.
            let named = self.container == Container::Mp4 && name.eq_ignore_ascii_case("title");
            if !named {
                self.add(tag(&name, &value, who));
            }
        }
    }

    fn compare_chapters(&mut self, source: &Media, result: &Media) {
        let (before, after) = (&source.chapters, &result.chapters);
        if before.len() != after.len() {
            self.add(format!(
                "{} of {} chapters",
                before.len().abs_diff(after.len()),
                before.len()
            ));
            return;
        }
        let titles =
            before.iter().zip(after).filter(|(b, a)| b.title.is_some() && b.title != a.title);
        let titles = titles.count();
        if titles > 0 {
            self.add(format!("titles of {titles} chapters"));
        }
        // By the clock of the file, or after its start: programs differ in what chapters count from.
        let apart = |a: i64, b: i64| (a - b).abs() > CHAPTER_MOVES_US;
        let moved = before.iter().zip(after).filter(|(b, a)| {
            apart(b.start_us, a.start_us) && apart(b.start_us - source.start_us, a.start_us)
        });
        for (before, after) in moved {
            let title = before.title.as_deref().unwrap_or_default();
            let seconds = |us: i64| us as f64 / 1e6;
            self.add(format!(
                "the beginning of the chapter \"{}\" at {:.3} s, which is now at {:.3} s",
                escape(title, 60),
                seconds(before.start_us),
                seconds(after.start_us)
            ));
        }
    }
}

/// Indices of the subtitles in the MP4 `written` that players would show unasked, although nothing in
/// the source says so: the muxer makes the first track of a kind a default where none is.
pub(super) fn unasked(source: &Media, plan: &MuxPlan, written: &Media) -> Vec<usize> {
    let default = |stream: &Stream| stream.dispositions.iter().any(|mark| mark == "default");
    let kept = plan.kept.iter().filter_map(|kept| source.stream(kept.index));
    let wanted = kept.filter(|stream| stream.kind == StreamKind::Subtitle).map(default);
    // Captions of the pictures come last.
    let wanted = wanted.chain(std::iter::once(false));
    let tracks = written.streams_of(StreamKind::Subtitle).zip(wanted);
    tracks.filter(|(t, wanted)| default(t) && !wanted).map(|(t, _)| t.index as usize).collect()
}
