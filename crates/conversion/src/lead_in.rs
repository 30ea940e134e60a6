//! What precedes a segment, so that its first pairs join the last ones of the segment before.
//!
//! An engine that remembers begins each segment by looking at the frames right before it. They are
//! read from the segment objects before it, which were published before it and never change, so
//! every attempt sees the same frames wherever it runs, and segments still wait for nobody. See
//! `docs/adr/0018-a-segment-looks-at-those-before-it.md`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use parallax_frame::VideoFormat;
use parallax_job::{ObjectKey, Segment, Uri};
use parallax_media::{DecodeOptions, Decoder, Media, Packets, Span, Tools, probe, scan};
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// The files to fetch for a segment's lead-in, one after the other, back in time.
#[derive(Debug)]
pub struct LeadIn {
    missing: Duration,
    folder: PathBuf,
    /// The address of the segment before the last that was taken.
    next: Option<Uri>,
    /// Back in time.
    files: Vec<PathBuf>,
}

impl LeadIn {
    /// For the segment at `uri`, whose engine looks back over `wanted`; files go into `folder`.
    /// Addresses that are not those of a segment have no lead-in.
    pub fn of(uri: &Uri, wanted: Duration, folder: &Path) -> Self {
        let (next, folder) = (before(uri), folder.to_owned());
        Self { missing: wanted, folder, next, files: Vec::new() }
    }

    /// What to fetch next, and where to; `None` when there is enough.
    pub fn wants(&self) -> Option<(Uri, PathBuf)> {
        let uri = self.next.clone().filter(|_| !self.missing.is_zero())?;
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
        let seconds = length(&media, &scan(tools, &media, cancel)?);
        self.missing = self.missing.saturating_sub(Duration::from_secs_f64(seconds));
        self.next = self.next.as_ref().and_then(before);
        self.files.push(path);
        Ok(self)
    }

    /// The files, in order of time.
    pub fn files(mut self) -> Vec<PathBuf> {
        self.files.reverse();
        self.files
    }
}

/// The address of the segment before the one at `uri`, if it is one and not the first.
fn before(uri: &Uri) -> Option<Uri> {
    let text = uri.to_string();
    // The key of a segment has three parts.
    let (at, _) = text.rmatch_indices('/').nth(2)?;
    let (root, key) = text.split_at(at + 1);
    let ObjectKey::Segment(segment) = key.parse().ok()? else { return None };
    let index = segment.index.checked_sub(1)?;
    let key = ObjectKey::Segment(Segment { index, ..segment });
    format!("{root}{key}").parse().ok()
}

/// Seconds.
fn length(media: &Media, packets: &Packets) -> f64 {
    let ticks = packets.end().unwrap_or(0) - first_time(packets);
    media.video.time_base.seconds(ticks).max(0.0)
}

fn first_time(packets: &Packets) -> i64 {
    packets.packets.iter().filter(|p| !p.hidden).filter_map(|p| p.pts).min().unwrap_or(0)
}

/// A file of a lead-in and the part of it that counts.
#[derive(Debug)]
pub(crate) struct Part {
    media: Media,
    packets: Packets,
    span: Span,
    decode: DecodeOptions,
}

impl Part {
    /// Its frames.
    pub(crate) fn open(
        &self,
        tools: &Tools,
        cancel: &CancellationToken,
    ) -> parallax_media::Result<Decoder> {
        let span = self.span.clone();
        Decoder::open_span(tools, &self.media, &self.packets, span, self.decode, cancel)
    }
}

/// The last `wanted` of `files`, in order of time: of as many of them as decode to frames of
/// `format`.
pub(crate) fn parts(
    tools: &Tools,
    files: &[PathBuf],
    wanted: Duration,
    (format, decode): (&VideoFormat, DecodeOptions),
    cancel: &CancellationToken,
) -> Result<Vec<Part>, Error> {
    let mut missing = wanted.as_secs_f64();
    let mut parts = Vec::new();
    for file in files.iter().rev() {
        if missing <= 0.0 {
            break;
        }
        let media = probe(tools, file, cancel)?;
        let (width, height) = decode.size(&media);
        if *format != (VideoFormat { width, height, ..VideoFormat::clone(&media.video.format) }) {
            tracing::warn!("the segment before has pictures of another format: no lead-in");
            break;
        }
        let packets = scan(tools, &media, cancel)?;
        let base = media.video.time_base;
        let back = missing * f64::from(base.den) / f64::from(base.num);
        let end = packets.end().unwrap_or(0);
        let from = (end - back.round() as i64).max(first_time(&packets));
        missing -= length(&media, &packets);
        let span = Span { times: from..i64::MAX, longest: None };
        parts.push(Part { media, packets, span, decode });
    }
    parts.reverse();
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segment_before_is_found_wherever_segments_are() {
        let address = |text: &str| text.parse::<Uri>().unwrap();
        for (of, found) in [
            (
                "s3://input/segments/job/00002_00007_sbs.mp4",
                Some("s3://input/segments/job/00001_00007_sbs.mp4"),
            ),
            (
                "file:///a%20b/input/segments/job/00001_00002_anaglyph.mp4",
                Some("file:///a%20b/input/segments/job/00000_00002_anaglyph.mp4"),
            ),
            ("s3://input/segments/job/00000_00007_sbs.mp4", None),
            ("s3://input/other/job/00001_00007_sbs.mp4", None),
            ("s3://input/film.mp4", None),
        ] {
            assert_eq!(before(&address(of)).map(|uri| uri.to_string()).as_deref(), found, "{of}");
        }
    }

    #[test]
    fn an_engine_without_memory_wants_nothing() {
        let uri = "s3://input/segments/job/00002_00007_sbs.mp4".parse().unwrap();
        assert!(LeadIn::of(&uri, Duration::ZERO, Path::new("/x")).wants().is_none());
        let (uri, path) =
            LeadIn::of(&uri, Duration::from_secs(1), Path::new("/x")).wants().unwrap();
        assert!(uri.to_string().ends_with("00001_00007_sbs.mp4"));
        assert_eq!(path, Path::new("/x/before-1.mp4"));
    }
}
