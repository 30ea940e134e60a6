//! A stream of the source on its way into the final file.

use super::streams::{Container, Cost, Treatment, Ways, ways};
use crate::media::{Media, Stream, StreamKind};

/// A stream and how far its ways were tried.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) stream: &'a Stream,
    ways: Ways,
    /// Its packets hold what is not to be heard.
    pub(super) cut: bool,
    /// It holds the titles of chapters, which the final file gets anyway.
    pub(super) names_chapters: bool,
    tried: usize,
    /// What the muxer or an encoder said of the first way.
    pub(super) refused: Option<String>,
}

impl<'a> Candidate<'a> {
    /// Of a `stream` that goes into `container`; `cut` where its packets hold what is not to be heard.
    pub(super) fn new(media: &Media, stream: &'a Stream, container: Container, cut: bool) -> Self {
        let data = stream.kind == StreamKind::Other && stream.codec == "bin_data";
        let names_chapters = data && !media.chapters.is_empty();
        let mut ways = ways(stream, container, cut);
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

    pub(super) fn cost(&self) -> Cost {
        self.treatment().map_or(Cost::All, |way| way.cost)
    }

    /// What was said against copying, where that was the first way.
    pub(super) fn copy_refused(&self) -> Option<String> {
        let copied = self.ways.treatments.first().is_some_and(|way| way.encoder.is_none());
        self.refused.clone().filter(|said| copied && !said.is_empty())
    }

    pub(super) fn reason(&self) -> String {
        match &self.refused {
            Some(said) if !said.is_empty() => format!("{} ({said})", self.ways.otherwise),
            _ => self.ways.otherwise.clone(),
        }
    }
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
