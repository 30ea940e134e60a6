//! What surrounds a segment, so that its first and last pairs join those of its neighbours.
//!
//! An engine that remembers begins each segment by looking at the frames right before it. They are
//! read from the segment objects before it, which were published before it and never change, so
//! every attempt sees the same frames wherever it runs, and segments still wait for nobody's result.
//! An engine that looks ahead is given the first frames of the segment after. See
//! `docs/adr/0018-a-segment-looks-at-those-before-it.md`.

use std::path::{Path, PathBuf};

use parallax_frame::VideoFormat;
use parallax_job::{ObjectKey, Segment, Uri};
use parallax_media::{
    DecodeOptions, Decoder, Media, Packets, Result as MediaResult, Span, Tools, probe, scan,
};
use parallax_stereo::Reach;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::first_frame::first_time;
use crate::shots::{Beginning, Followed};

/// The clips around a clip, as far as an engine looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// What comes before, in order of time.
    pub before: Vec<Preceding>,
    /// What comes after.
    pub after: Option<PathBuf>,
}

/// A file before a clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preceding {
    /// The file.
    pub path: PathBuf,
    /// The presentation time, in ticks of its stream, from which on it counts.
    pub from: i64,
}

/// The files to fetch for a segment's lead-in, one after the other, back in time.
#[derive(Debug)]
pub struct LeadIn {
    within_shot: bool,
    /// Seconds.
    missing: f64,
    segment: PathBuf,
    folder: PathBuf,
    /// The address of the segment before the last that was taken.
    next: Option<Uri>,
    /// What follows the next file, once something is known of it.
    followed: Option<Followed>,
    /// Back in time.
    files: Vec<Preceding>,
}

impl LeadIn {
    /// For the segment at `uri`, of which `segment` is a copy, and an engine of such a reach; files go
    /// into the segment's folder. Addresses that are not those of a segment have no lead-in.
    pub fn of(uri: &Uri, segment: &Path, reach: Reach) -> Self {
        Self {
            within_shot: reach.within_shot,
            missing: reach.back.as_secs_f64(),
            segment: segment.to_owned(),
            folder: segment.parent().unwrap_or(Path::new(".")).to_owned(),
            next: neighbour(uri, |index| index.checked_sub(1)),
            followed: None,
            files: Vec::new(),
        }
    }

    /// What to fetch next, and where to; `None` when there is enough.
    pub fn wants(&self) -> Option<(Uri, PathBuf)> {
        let uri = self.next.clone().filter(|_| self.missing > 0.0)?;
        Some((uri, self.path()))
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("before-{}.mp4", self.files.len() + 1))
    }

    /// Takes what was wanted, now that it is there. Blocks.
    ///
    /// # Errors
    /// `Media` when it cannot be read.
    pub fn took(mut self, tools: &Tools, cancel: &CancellationToken) -> Result<Self, Error> {
        let path = self.path();
        let media = probe(tools, &path, cancel)?;
        let packets = scan(tools, &media, cancel)?;
        let base = media.video.time_base;
        let back = self.missing * f64::from(base.den) / f64::from(base.num);
        let first = first_time(&packets);
        let from = (packets.end().unwrap_or(first) - back.round() as i64).max(first);
        self.missing -= length(&media, &packets);
        self.next = self.next.as_ref().and_then(|uri| neighbour(uri, |index| index.checked_sub(1)));
        let beginning = if self.within_shot {
            let followed = match self.followed.take() {
                Some(followed) => followed,
                None => Followed::by(tools, &self.segment, cancel)?,
            };
            let (beginning, followed) =
                followed.beginning(tools, &media, &packets, from, cancel)?;
            self.followed = Some(followed);
            beginning
        } else {
            Beginning::Earlier
        };
        let from = match beginning {
            Beginning::Earlier => from,
            Beginning::At(time) => {
                self.next = None;
                time
            }
            Beginning::After => {
                self.next = None;
                return Ok(self);
            }
        };
        self.files.push(Preceding { path, from });
        Ok(self)
    }

    /// The files, in order of time.
    pub fn files(mut self) -> Vec<Preceding> {
        self.files.reverse();
        self.files
    }
}

/// The address of the segment after the one at `uri`, if it is one and not the last.
pub(crate) fn after(uri: &Uri) -> Option<Uri> {
    neighbour(uri, |index| index.checked_add(1))
}

/// The address of the segment whose index is that of `uri` changed, if there is one.
fn neighbour(uri: &Uri, change: impl Fn(u32) -> Option<u32>) -> Option<Uri> {
    let text = uri.to_string();
    // The key of a segment has three parts.
    let (at, _) = text.rmatch_indices('/').nth(2)?;
    let (root, key) = text.split_at(at + 1);
    let ObjectKey::Segment(segment) = key.parse().ok()? else { return None };
    let index = change(segment.index).filter(|&index| index < segment.total)?;
    let key = ObjectKey::Segment(Segment { index, ..segment });
    format!("{root}{key}").parse().ok()
}

/// Seconds.
fn length(media: &Media, packets: &Packets) -> f64 {
    let ticks = packets.end().unwrap_or(0) - first_time(packets);
    media.video.time_base.seconds(ticks).max(0.0)
}

/// A neighbouring file and the part of it that counts.
#[derive(Debug)]
pub(crate) struct Part {
    media: Media,
    packets: Packets,
    span: Span,
    decode: DecodeOptions,
}

impl Part {
    /// Its frames.
    pub(crate) fn open(&self, tools: &Tools, cancel: &CancellationToken) -> MediaResult<Decoder> {
        let span = self.span.clone();
        Decoder::open_span(tools, &self.media, &self.packets, span, self.decode, cancel)
    }
}

/// How neighbours are read: as frames of a format, or not at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) format: &'a VideoFormat,
    pub(crate) decode: DecodeOptions,
    pub(crate) cancel: &'a CancellationToken,
}

impl Reader<'_> {
    /// The parts of `files`, in order of time: of the last of them that decode to the format.
    pub(crate) fn before(&self, files: &[Preceding]) -> Result<Vec<Part>, Error> {
        let mut parts = Vec::new();
        for file in files.iter().rev() {
            let Some(part) = self.part(&file.path, |_| file.from..i64::MAX)? else { break };
            parts.push(part);
        }
        parts.reverse();
        Ok(parts)
    }

    /// The first `frames` of `file`.
    pub(crate) fn after(&self, file: &Path, frames: usize) -> Result<Option<Part>, Error> {
        self.part(file, |packets| {
            let times = packets.frame_times().unwrap_or_default();
            let first = times.first().copied().unwrap_or_default();
            first..times.get(frames).copied().unwrap_or(i64::MAX)
        })
    }

    fn part(
        &self,
        file: &Path,
        times: impl Fn(&Packets) -> std::ops::Range<i64>,
    ) -> Result<Option<Part>, Error> {
        let Self { tools, format, decode, cancel } = *self;
        let media = probe(tools, file, cancel)?;
        let (width, height) = decode.size(&media);
        if *format != (VideoFormat { width, height, ..VideoFormat::clone(&media.video.format) }) {
            tracing::warn!("a neighbouring segment has pictures of another format: not looked at");
            return Ok(None);
        }
        let packets = scan(tools, &media, cancel)?;
        let span = Span { times: times(&packets), longest: None };
        Ok(Some(Part { media, packets, span, decode }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_segments_before_and_after_are_found_wherever_segments_are() {
        let address = |text: &str| text.parse::<Uri>().unwrap();
        for (of, found, next) in [
            (
                "s3://input/segments/job/00002_00007_sbs.mp4",
                Some("s3://input/segments/job/00001_00007_sbs.mp4"),
                Some("s3://input/segments/job/00003_00007_sbs.mp4"),
            ),
            (
                "file:///a%20b/input/segments/job/00001_00002_anaglyph.mp4",
                Some("file:///a%20b/input/segments/job/00000_00002_anaglyph.mp4"),
                None,
            ),
            (
                "s3://input/segments/job/00000_00007_sbs.mp4",
                None,
                Some("s3://input/segments/job/00001_00007_sbs.mp4"),
            ),
            ("s3://input/other/job/00001_00007_sbs.mp4", None, None),
            ("s3://input/film.mp4", None, None),
        ] {
            let before = neighbour(&address(of), |index| index.checked_sub(1));
            assert_eq!(before.map(|uri| uri.to_string()).as_deref(), found, "{of}");
            assert_eq!(after(&address(of)).map(|uri| uri.to_string()).as_deref(), next, "{of}");
        }
    }

    #[test]
    fn an_engine_without_memory_wants_nothing() {
        let uri = "s3://input/segments/job/00002_00007_sbs.mp4".parse().unwrap();
        let segment = Path::new("/x/in.mp4");
        assert!(LeadIn::of(&uri, segment, Reach::default()).wants().is_none());
        let reach = Reach { back: Duration::from_secs(1), ..Reach::default() };
        let (uri, path) = LeadIn::of(&uri, segment, reach).wants().unwrap();
        assert!(uri.to_string().ends_with("00001_00007_sbs.mp4"));
        assert_eq!(path, Path::new("/x/before-1.mp4"));
    }
}
